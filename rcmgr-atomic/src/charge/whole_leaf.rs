//! A charge of everything that a leaf holds.

use rcmgr_core::{Error, Priority, Resource};

use super::charges::{Charge, SlotCharge};
use super::memory::Memory;
use crate::counters::Slot;
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;
use crate::waiting::Ticket;
use crate::words::Resources;

/// All that a moving leaf holds: its memory and its slot. A node checks memory first, then streams,
/// then connections.
///
/// The totals of streams and of connections are both checked, although the leaf
/// is only one of these: a node that is over a lowered limit takes no leaf in. Where credit pays for all,
/// that was checked when the credit was filled: see [`Node::may_gain_leaves`].
#[derive(Debug, Clone, Copy)]
pub struct WholeLeaf<S> {
    pub slot: S,
    /// Whether the slot was taken from the credit of the next path. Then it is charged already, and
    /// within the limits.
    pub slot_taken: bool,
    /// In bytes, without `memory_taken`.
    pub memory: u64,
    /// Memory that was taken from the credit of the next path. Then it is charged already, and within
    /// the limits.
    pub memory_taken: u64,
}

impl<S: SlotCharge> WholeLeaf<S> {
    /// Whether credit has paid for all.
    #[inline]
    pub fn is_taken(self) -> bool {
        self.slot_taken && self.memory == 0
    }

    /// A leaf without memory, whose slot credit has not paid for.
    pub fn slot_only(slot: S) -> Self {
        Self {
            slot,
            slot_taken: false,
            memory: 0,
            memory_taken: 0,
        }
    }

    /// All memory of the leaf, in bytes.
    pub fn all_memory(self) -> u64 {
        self.memory + self.memory_taken
    }

    /// The memory that credit has not paid for.
    fn rest_of_memory(self) -> Memory {
        Memory::new(self.memory, Priority::Always)
    }

    #[inline]
    fn check_slot(
        self,
        node: &Node,
        version: LimitsVersion,
    ) -> Result<Option<S::Seen>, LimitReached> {
        if self.slot_taken {
            return Ok(None);
        }
        self.slot.check(node, version).map(Some)
    }

    /// The usage of memory. It is not needed where credit has paid: then it is zero.
    #[inline]
    fn check_memory(self, node: &Node, version: LimitsVersion) -> Result<u64, LimitReached> {
        if self.memory_taken > 0 && self.memory == 0 {
            return Ok(0);
        }
        self.rest_of_memory().check(node, version)
    }

    fn cancel_memory(self, node: &Node) {
        if self.memory > 0 {
            self.rest_of_memory().cancel(node);
        }
    }
}

impl<S: SlotCharge> Charge for WholeLeaf<S> {
    type Seen = (u64, Option<S::Seen>);

    #[inline]
    fn check(self, node: &Node, version: LimitsVersion) -> Result<Self::Seen, LimitReached> {
        let memory = self.check_memory(node, version)?;
        // Streams are checked before connections, whichever of them the leaf is.
        if S::is_about(Resource::Streams) {
            let slot = self.check_slot(node, version)?;
            S::check_other_total(node, version)?;
            Ok((memory, slot))
        } else {
            S::check_other_total(node, version)?;
            Ok((memory, self.check_slot(node, version)?))
        }
    }

    #[inline]
    fn commit(self, node: &Node, (memory, slot): Self::Seen) -> bool {
        // Most leaves move before they hold memory: then there is none to count.
        if self.memory > 0 && !self.rest_of_memory().commit(node, memory) {
            return false;
        }
        let committed = slot.is_none_or(|slot| self.slot.commit(node, slot));
        if !committed {
            self.cancel_memory(node);
        }
        committed
    }

    #[inline]
    fn cancel(self, node: &Node) {
        if !self.slot_taken {
            self.slot.cancel(node);
        }
        self.cancel_memory(node);
    }

    fn check_alone(self, node: &Node, version: LimitsVersion) -> Result<(), LimitReached> {
        self.rest_of_memory().check_alone(node, version)?;
        self.slot.check_alone(node, version)
    }

    #[inline]
    fn resources(self) -> Resources {
        self.slot.resources().union(Resources::MEMORY)
    }

    /// It moves with what it holds: it does not compete with those that wait.
    #[inline]
    fn ticket(self) -> Ticket {
        Ticket::FIRST
    }

    fn amount(self) -> u64 {
        self.slot.amount()
    }

    fn slot(self) -> Option<Slot> {
        self.slot.slot()
    }

    #[cold]
    fn refused(self, node: &Node, reached: LimitReached) -> Error {
        match reached.resource {
            Resource::Memory => self.rest_of_memory().refused(node, reached),
            resource if S::is_about(resource) => self.slot.refused(node, reached),
            // Only the total of the other class was checked, and no more of it was requested.
            _ => {
                node.count_refusal(reached.resource, None);
                node.limit_exceeded(reached, None, 0, None)
            }
        }
    }
}
