//! The charges that a node can take.

use rcmgr_core::{Error, Resource, WaitersFirst};

use crate::counters::{Kind, Slot};
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;
use crate::waiting::{Place, Position, Ticket, Waiters};
use crate::words::Resources;

/// A charge: an amount of one resource, or of several, that nodes can be charged with.
///
/// A charge is *cancelled* if it was never granted, and *released* if it was.
pub trait Charge: Copy {
    /// The usage that a check saw.
    type Seen: Copy;

    /// Checks whether the node has room.
    fn check(self, node: &Node, version: LimitsVersion) -> Result<Self::Seen, LimitReached>;

    /// Counts it on the node, if the usage has not changed since the check. Returns whether it did.
    fn commit(self, node: &Node, seen: Self::Seen) -> bool;

    /// Takes it back from a node on which it was counted.
    fn cancel(self, node: &Node);

    /// The credit that can pay for it on a whole path, if there is a kind for it.
    #[inline]
    fn credit(self) -> Option<(Kind, u64)> {
        None
    }

    /// Checks whether a node that holds nothing would have room.
    fn check_alone(self, node: &Node, version: LimitsVersion) -> Result<(), LimitReached>;

    /// The limits that it counts in.
    fn resources(self) -> Resources;

    /// When it came, among those that wait.
    fn ticket(self) -> Ticket;

    /// The level of its priority. Streams and connections have the highest.
    #[inline]
    fn level(self) -> u8 {
        u8::MAX
    }

    /// The amount: bytes for memory, a count for others.
    fn amount(self) -> u64;

    /// The slot, if it is a charge of one.
    fn slot(self) -> Option<Slot>;

    /// Whether a request goes first that waits for this resource of the node.
    #[inline]
    fn is_behind(self, node: &Node, resource: Resource, waiters: &Waiters) -> bool {
        let ticket = self.ticket();
        if ticket == Ticket::NOW {
            // Without a lock: many may be refused at once.
            return resource != Resource::Memory || self.level() <= node.waited().level();
        }
        let place = Place {
            scope: node.id().clone().into(),
            resource,
        };
        ticket != Ticket::FIRST && waiters.are_ahead(&place, Position::new(self.level(), ticket))
    }

    /// The error of a refusal by the node, which is counted if it is final.
    #[cold]
    fn refused(self, node: &Node, reached: LimitReached) -> Error {
        if !self.ticket().may_wait() {
            node.count_refusal(reached.resource, self.slot());
        }
        let priority = (reached.resource == Resource::Memory).then(|| self.level().into());
        node.limit_exceeded(reached, self.slot(), self.amount(), priority)
    }

    /// The same, where others go first that wait for this resource.
    #[cold]
    fn refused_for_waiters(self, node: &Node, resource: Resource) -> Error {
        if !self.ticket().may_wait() {
            node.count_refusal(resource, self.slot());
        }
        WaitersFirst {
            scope: node.id().clone().into(),
            resource,
            requested: self.amount(),
        }
        .into()
    }
}

/// The slot of a leaf: a stream or a connection.
pub trait SlotCharge: Charge {
    /// Checks the total of the other class: of connections for a stream, of streams for a
    /// connection.
    fn check_other_total(node: &Node, version: LimitsVersion) -> Result<(), LimitReached>;

    /// Whether a refusal that names this resource is about the slot.
    fn is_about(resource: Resource) -> bool;
}
