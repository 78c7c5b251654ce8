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
    pub fn with_gained<'a, R>(&'a self, other: &'a Self, f: impl FnOnce(&[&'a Node]) -> R) -> R {
        // A branch gains its protocol or service, and the share of the peer in it.
        if self.is_branch_of(other) {
            let [named, share] = self.named_classes();
            return match (self.node(named), self.node(share)) {
                (Some(named), Some(share)) => f(&[&**named, &**share]),
                (Some(named), None) => f(&[&**named]),
                (None, _) => f(&[]),
            };
        }
        if let Some((_, gained)) = other.exchanged_node(self) {
            return f(&[gained]);
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
            nodes.sort_by_key(|node| match node.class() {
                ScopeClass::System => 0,
                ScopeClass::ServicePeer | ScopeClass::ProtocolPeer => 2,
                _ => 1,
            });
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
        let release = |node: &Node| {
            if let Some(slot) = slot {
                node.release_slot(slot);
            }
            if memory > 0 {
                node.release_memory(memory);
            }
        };
        match self.exchanged_node(next) {
            Some((lost, _)) => release(lost),
            None => self.without(next).for_each(release),
        }
        self.made_room(|| {
            let slot = slot.map(Slot::limits);
            slot.map_or(Resources::MEMORY, |slot| slot.union(Resources::MEMORY))
        });
    }

    /// The first nodes of this path and of `next`, if the two paths differ in these alone. So a connection
    /// that learns its peer leaves transient for that.
    #[inline]
    pub fn exchanged_node<'b>(&self, next: &'b Self) -> Option<(&Node, &'b Node)> {
        let (lost, in_common) = self.nodes().split_first()?;
        let (gained, rest_of_next) = next.nodes().split_first()?;
        let has_same_rest = in_common.len() == rest_of_next.len()
            && in_common
                .iter()
                .zip(rest_of_next)
                .all(|(mine, others)| Arc::ptr_eq(mine, others));
        (has_same_rest && !Arc::ptr_eq(lost, gained)).then_some((&**lost, &**gained))
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
