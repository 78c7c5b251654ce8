//! The charges that a node can take.

use rcmgr_core::{Error, Resource};

use crate::counters::Kind;
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::Node;

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

    /// Counts the refusal of the node and returns its error.
    fn refused(self, node: &Node, reached: LimitReached) -> Error;
}

/// The slot of a leaf: a stream or a connection.
pub trait SlotCharge: Charge {
    /// Checks the total of the other class: of connections for a stream, of streams for a
    /// connection.
    fn check_other_total(node: &Node, version: LimitsVersion) -> Result<(), LimitReached>;

    /// Whether a refusal that names this resource is about the slot.
    fn is_about(resource: Resource) -> bool;
}
