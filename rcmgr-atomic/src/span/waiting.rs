//! What a span does for requests that wait: those that it makes, and those that wait for it.

use rcmgr_core::{Error, Resource, Result, ScopeClass, ScopeId};

use super::direct::nodes_of;
use super::state::{Owner, SpanState};
use crate::charge::Memory;
use crate::engine::{Engine, Operation, Record};
use crate::limits::LimitReached;
use crate::node::threshold;
use crate::waiting::NodesOfScope;
use crate::words::SpanWord;

impl Owner {
    /// The nodes of this scope that it is charged on.
    fn nodes_of(&self, scope: &ScopeId) -> NodesOfScope {
        match self {
            Self::Leaf(leaf) => leaf.path().nodes_of(scope).cloned().collect(),
            Self::Span(span) => span.owner().nodes_of(scope),
            Self::Node(node, _) => nodes_of(node, scope),
        }
    }

    /// Called before a request of a span waits: the owner looks for it when it is closed.
    fn prepare_to_wait(&self) -> Result<()> {
        match self {
            Self::Leaf(leaf) => leaf.prepare_for_spans(),
            Self::Span(span) => span.prepare_to_wait(),
            Self::Node(..) => Ok(()),
        }
    }

    /// Checks whether there would be room if the owner and its nodes held nothing.
    fn check_alone(&self, charge: Memory) -> Result<()> {
        match self {
            Self::Leaf(leaf) => leaf.check_alone(charge),
            Self::Span(span) => span.check_alone(charge),
            Self::Node(node, engine) => engine.under_current_limits(|version| {
                engine.check_alone(node.lineage(), version, charge)
            }),
        }
    }
}

impl SpanState {
    /// The nodes of this scope that it is charged on.
    pub fn nodes_of(&self, scope: &ScopeId) -> NodesOfScope {
        self.owner().nodes_of(scope)
    }

    /// Called before a request waits: the leaf looks for it when it is closed.
    ///
    /// # Errors
    ///
    /// If the span or the leaf is closed.
    pub fn prepare_to_wait(&self) -> Result<()> {
        if self.load().is_closed() {
            return Err(self.closed());
        }
        self.owner()
            .prepare_to_wait()
            .map_err(|why| self.owner_refused(why))
    }

    /// The record of a reservation that was refused.
    pub fn reserve_record(&self, charge: Memory) -> Record {
        let held = self.load().memory();
        let record = Record::of_span(Operation::Reserve, self.name(), None);
        record.memory(charge.size, held).priority(charge.level)
    }

    /// Counts a refusal by the span itself, if it is final.
    pub(super) fn count_refusal(&self, charge: Memory) {
        if !charge.ticket.may_wait() {
            let refusals = self.engine().class_refusals().past(ScopeClass::Span);
            refusals.count(Resource::Memory, None);
        }
    }

    /// Checks whether there would be room if the span, its owner and its nodes held nothing.
    ///
    /// # Errors
    ///
    /// The refusal. It is not counted.
    pub fn check_alone(&self, charge: Memory) -> Result<()> {
        let engine = self.engine();
        engine.under_current_limits(|version| {
            let limit = self.memory_limit(engine, version);
            if charge.size <= threshold(limit, charge.level, SpanWord::MAX_MEMORY) {
                return Ok(());
            }
            let held = self.load().memory();
            let reached = LimitReached::new(Resource::Memory, held, limit);
            Err(engine.refused_for_good(version, || charge.limit_exceeded(self.name(), reached)))
        })?;
        self.owner().check_alone(charge)
    }

    /// Wakes a request that waits for the span itself.
    #[inline]
    pub(super) fn wake_own(&self, engine: &Engine) {
        if engine.waiters().any() {
            engine.waiters().wake_head(self.name(), Resource::Memory);
        }
    }

    #[cold]
    pub(super) fn refused(&self, charge: Memory, reached: LimitReached) -> Error {
        self.count_refusal(charge);
        charge.limit_exceeded(self.name(), reached)
    }
}
