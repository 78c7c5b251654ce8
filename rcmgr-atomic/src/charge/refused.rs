//! Why a charge failed.

use rcmgr_core::{Error, Resource};

use crate::limits::LimitReached;
use crate::node::Node;

/// Why an attempt to charge failed. It leaves nothing charged.
pub enum Refused<'a> {
    /// The limits changed meanwhile: try again under the new ones.
    Stale,
    /// A node has no room. The refusal is final if no credit can be recalled on it.
    Node(&'a Node, LimitReached),
    /// Other requests wait for this resource of a node, and go first.
    Waiters(&'a Node, Resource),
    /// A final error.
    Final(Error),
}
