//! The requests that wait for one resource of one scope.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use arrayvec::ArrayVec;
use rcmgr_core::{Resource, ScopeName};

use super::ticket::Position;
use crate::node::Node;

/// What requests wait for: a resource of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub scope: ScopeName,
    pub resource: Resource,
}

/// The nodes of a scope. One scope has two: see `engine/unproven.rs`.
pub type NodesOfScope = ArrayVec<Arc<Node>, 2>;

/// A request that waits.
#[derive(Debug)]
pub struct Waiter {
    /// Wakes the task of the request. `None` if it was woken, and has not asked again since.
    pub waker: Option<Waker>,
    /// How much it asks for: bytes, or a count.
    pub amount: u64,
    /// When it began to wait.
    pub since: Duration,
}

/// The requests that wait for one place.
#[derive(Debug)]
pub struct Queue {
    /// Each of them says what is waited for: see `Node::waited`. Empty for a leaf or span.
    nodes: Vec<Arc<Node>>,
    waiters: BTreeMap<Position, Waiter>,
}

impl Queue {
    pub fn new() -> Self {
        Self {
            nodes: Vec::new(),
            waiters: BTreeMap::new(),
        }
    }

    pub fn len(&self) -> u64 {
        self.waiters.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub fn head(&self) -> Option<Position> {
        self.waiters.keys().next().copied()
    }

    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.values()
    }

    /// `nodes` are those of the scope that the request is charged on.
    pub fn insert(
        &mut self,
        resource: Resource,
        position: Position,
        waiter: Waiter,
        nodes: NodesOfScope,
    ) {
        // A leaf may be closed before its request has left the queue, or even before it enters. Then
        // the scope may have been removed and made again, with another node. So the queue keeps the
        // nodes of all requests, old and new.
        for node in nodes {
            if !self.nodes.iter().any(|known| Arc::ptr_eq(known, &node)) {
                // Nothing else knows a node that is not used any longer.
                self.nodes.retain(|known| Arc::strong_count(known) > 1);
                self.nodes.push(node);
            }
        }
        self.waiters.insert(position, waiter);
        self.tell_nodes(resource);
    }

    pub fn remove(&mut self, resource: Resource, position: Position) -> Option<Waiter> {
        let removed = self.waiters.remove(&position);
        self.tell_nodes(resource);
        removed
    }

    /// Says in the nodes whether requests wait for the resource, and with which priority.
    fn tell_nodes(&self, resource: Resource) {
        let first = self.head().map(Position::level);
        for node in &self.nodes {
            node.set_waited(resource, first);
        }
    }

    /// Sets the waker of a request. Returns the one before.
    pub fn set_waker(&mut self, position: Position, waker: Waker) -> Option<Waker> {
        self.waiters.get_mut(&position)?.waker.replace(waker)
    }

    /// The waker of the first request, if that was not woken already.
    pub fn wake_head(&mut self) -> Option<Waker> {
        self.waiters.values_mut().next()?.waker.take()
    }

    /// The waker of a request, if that was not woken already.
    pub fn wake(&mut self, position: Position) -> Option<Waker> {
        self.waiters.get_mut(&position)?.waker.take()
    }

    /// The wakers of all requests that were not woken already.
    pub fn wake_all(&mut self) -> Vec<Waker> {
        let waiters = self.waiters.values_mut();
        waiters.filter_map(|waiter| waiter.waker.take()).collect()
    }
}
