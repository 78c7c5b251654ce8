//! The difference of two paths: the nodes that a leaf gains and loses when it moves from one to the
//! other.

use std::sync::Arc;

use arrayvec::ArrayVec;
use rcmgr_core::ScopeClass;

use super::shared_path::{Home, Path};
use crate::counters::Slot;
use crate::node::{MAX_NODES, Node};
use crate::words::Resources;

impl<H: Home> Path<H> {
    /// The nodes that this path has and `other` lacks, in the order in which a moving leaf is
    /// charged: system before all, then the peer, protocol or service, then the share of the peer
    /// in it.
    ///
    /// `f` borrows them: returning them would copy an array that was just written.
    #[inline(always)]
    pub fn with_gained<'a, R>(&'a self, other: &Self, f: impl FnOnce(&[&'a Node]) -> R) -> R {
        // A branch gains its protocol or service, and the share of the peer in it.
        if self.is_branch_of(other) {
            let [named, share] = self.named_classes();
            return match (self.node(named), self.node(share)) {
                (Some(named), Some(share)) => f(&[&**named, &**share]),
                (Some(named), None) => f(&[&**named]),
                (None, _) => f(&[]),
            };
        }
        let mut nodes = ArrayVec::<&Node, MAX_NODES>::new();
        // A branch of `other` between the two paths, where this is a branch of a branch.
        if let Some(between) = self.from().filter(|from| from.is_branch_of(other)) {
            for class in [&**between, self].into_iter().flat_map(Self::named_classes) {
                if let Some(node) = self.node(class) {
                    nodes.push(&**node);
                }
            }
        } else {
            nodes.extend(self.without(other));
            // A connection that learns its peer gains that alone.
            if nodes.len() > 1 {
                nodes.sort_by_key(|node| match node.class() {
                    ScopeClass::System => 0,
                    ScopeClass::ServicePeer | ScopeClass::ProtocolPeer => 2,
                    _ => 1,
                });
            }
        }
        f(&nodes)
    }

    /// The classes of the nodes that a branch gains.
    fn named_classes(&self) -> [ScopeClass; 2] {
        match self.named() {
            Some(ScopeClass::Protocol) => [ScopeClass::Protocol, ScopeClass::ProtocolPeer],
            _ => [ScopeClass::Service, ScopeClass::ServicePeer],
        }
    }

    /// Gives back the charges of a leaf that moves to `next` on the nodes that `next` lacks: its
    /// memory, and its slot if one is given.
    pub fn release_lost(&self, next: &Self, slot: Option<Slot>, memory: u64) {
        let nothing = slot.is_none() && memory == 0;
        // A branch has all nodes of the path before it, except a transient one.
        if nothing || (next.is_branch_of(self) && !self.is_transient()) {
            return;
        }
        for node in self.without(next) {
            if let Some(slot) = slot {
                node.release_slot(slot);
            }
            if memory > 0 {
                node.release_memory(memory);
            }
        }
        let resources = slot.map_or(Resources::MEMORY, |slot| {
            slot.limits().union(Resources::MEMORY)
        });
        self.made_room(resources);
    }

    /// The nodes that this path has and `other` lacks.
    pub fn without<'a>(&'a self, other: &Self) -> impl Iterator<Item = &'a Node> {
        let lost = self.nodes().iter().filter(move |node| !other.has(node));
        lost.map(|node| &**node)
    }

    /// Whether this path goes through the node.
    #[inline]
    fn has(&self, node: &Arc<Node>) -> bool {
        let is_it = |other: &Arc<Node>| Arc::ptr_eq(other, node);
        match self.place_of(node.class()) {
            Some(place) => self.nodes().get(place).is_some_and(is_it),
            // Those that no path lacks come last.
            None => self.nodes().iter().rev().any(is_it),
        }
    }
}
