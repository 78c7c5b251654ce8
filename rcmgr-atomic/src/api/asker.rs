//! A scope that asks for memory, whatever its kind.

use std::fmt;
use std::sync::Arc;

use rcmgr_core::{Result, ScopeId, ScopeName};

use crate::charge::Memory;
use crate::counters::Slot;
use crate::engine::{Engine, Record, Request};
use crate::leaf::Leaf;
use crate::span::{NodeUser, SpanState};
use crate::waiting::{NodesOfScope, Ticket};

/// A handle on a scope of the engine.
pub trait Asks {
    /// The scope.
    fn asker(&self) -> Asker<'_>;
}

/// A scope that asks for memory.
pub struct Asker<'a>(Inner<'a>);

enum Inner<'a> {
    Leaf(&'a Leaf),
    Span(&'a SpanState),
    Node(&'a NodeUser),
}

impl<'a> Asker<'a> {
    pub(crate) fn leaf(leaf: &'a Leaf) -> Self {
        Self(Inner::Leaf(leaf))
    }

    pub(crate) fn span(span: &'a SpanState) -> Self {
        Self(Inner::Span(span))
    }

    pub(super) fn node(node: &'a NodeUser) -> Self {
        Self(Inner::Node(node))
    }
}

impl fmt::Debug for Asker<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asker").finish_non_exhaustive()
    }
}

/// Memory that is asked for.
pub struct MemoryRequest<'a>(pub Asker<'a>, pub Memory);

impl Request for MemoryRequest<'_> {
    type Granted = ();

    fn engine(&self) -> &Arc<Engine> {
        match self.0.0 {
            Inner::Leaf(leaf) => leaf.path().shared_home(),
            Inner::Span(span) => span.engine(),
            Inner::Node(node) => node.engine(),
        }
    }

    fn attempt(&mut self, ticket: Ticket) -> Result<()> {
        let charge = self.1.with_ticket(ticket);
        match self.0.0 {
            Inner::Leaf(leaf) => leaf.reserve_in_turn(charge),
            Inner::Span(span) => span.reserve_in_turn(charge),
            Inner::Node(node) => node.reserve_in_turn(charge),
        }
    }

    fn check_alone(&self) -> Result<()> {
        let charge = self.1.with_ticket(Ticket::NEW);
        match self.0.0 {
            Inner::Leaf(leaf) => leaf.check_alone(charge),
            Inner::Span(span) => span.check_alone(charge),
            Inner::Node(node) => node.check_alone(charge),
        }
    }

    fn nodes(&self, scope: &ScopeId) -> NodesOfScope {
        match self.0.0 {
            Inner::Leaf(leaf) => leaf.path().nodes_of(scope).cloned().collect(),
            Inner::Span(span) => span.nodes_of(scope),
            Inner::Node(node) => node.nodes_of(scope),
        }
    }

    fn asker(&self) -> Option<ScopeName> {
        match self.0.0 {
            Inner::Leaf(leaf) => Some(leaf.name()),
            Inner::Span(span) => Some(span.name()),
            Inner::Node(_) => None,
        }
    }

    fn prepare(&self) -> Result<()> {
        match self.0.0 {
            Inner::Leaf(leaf) => leaf.prepare_for_spans(),
            Inner::Span(span) => span.prepare_to_wait(),
            Inner::Node(_) => Ok(()),
        }
    }

    fn level(&self) -> u8 {
        self.1.level
    }

    fn amount(&self) -> u64 {
        self.1.size
    }

    fn slot(&self) -> Option<Slot> {
        None
    }

    fn record(&self) -> Record {
        match self.0.0 {
            Inner::Leaf(leaf) => leaf.reserve_record(self.1),
            Inner::Span(span) => span.reserve_record(self.1),
            Inner::Node(node) => node.reserve_record(self.1),
        }
    }
}
