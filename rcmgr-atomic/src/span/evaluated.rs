//! How a reservation on a span is evaluated in a dry run: the span, its owners from the inside out,
//! then the nodes.

use arrayvec::ArrayVec;
use rcmgr_core::{LimitValue, Resource, ScopeClass};

use super::state::{Owner, SpanState};
use crate::engine::{Engine, Granted, LetPass};
use crate::limits::LimitsVersion;
use crate::node::{MAX_NODES, Node};

impl SpanState {
    /// Evaluates a reservation for the span itself.
    #[cold]
    pub(super) fn evaluate_reserved(&self, granted: Granted) {
        let engine = self.engine();
        let own = |version| self.let_pass(engine, version, granted);
        let nodes = self.nodes();
        engine.evaluate(granted, own, nodes.iter().copied());
    }

    /// Whether the limit of this span or of one of its owners would have refused a reservation.
    fn let_pass<'a>(
        &self,
        engine: &'a Engine,
        version: LimitsVersion,
        granted: Granted,
    ) -> Option<LetPass<'a>> {
        let limit = self.dry_run_memory_limit(engine, version);
        if granted.memory_refused_by(limit, self.stat().memory) {
            let spans = engine.dry_run().refusals().past(ScopeClass::Span);
            return Some((spans, Resource::Memory));
        }
        match self.owner() {
            Owner::Leaf(leaf) => leaf.let_pass(engine, version, granted),
            Owner::Span(span) => span.let_pass(engine, version, granted),
            Owner::Node(..) => None,
        }
    }

    /// The limit of memory in the dry run: that of the owner, or the override of the span if that is
    /// lower.
    fn dry_run_memory_limit(&self, engine: &Engine, version: LimitsVersion) -> LimitValue {
        let owner = match self.owner() {
            Owner::Leaf(leaf) => leaf.dry_run_memory_limit(engine, version),
            Owner::Span(span) => span.dry_run_memory_limit(engine, version),
            Owner::Node(node, _) => node.dry_run.limit(version).memory,
        };
        let own = self.limit_override(version);
        own.map_or(owner, |own| own.memory.min(owner))
    }

    /// The nodes that the span is charged on.
    pub(super) fn nodes(&self) -> ArrayVec<&Node, MAX_NODES> {
        match self.owner() {
            Owner::Leaf(leaf) => leaf.path().iter().collect(),
            Owner::Span(span) => span.nodes(),
            Owner::Node(node, _) => node.lineage().collect(),
        }
    }
}
