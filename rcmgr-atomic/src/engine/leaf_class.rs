//! The state that all leaves of a class share.

use rcmgr_core::{Error, Limit, LimitExceeded};

use crate::counters::{Numbers, RefusalCounts, Slot};
use crate::limits::{LeafLimit, LimitReached};

/// The state that all connections, or all streams, share.
pub struct LeafClass {
    pub limit: LeafLimit,
    pub refusals: RefusalCounts,
    pub numbers: Numbers,
}

impl LeafClass {
    pub fn new(limit: &Limit) -> Self {
        let refusals = RefusalCounts::new();
        refusals.spread();
        Self {
            limit: LeafLimit::new(limit),
            refusals,
            numbers: Numbers::new(),
        }
    }

    /// Counts the refusal of a new leaf by its own limit and returns its error, which names the
    /// leaf.
    #[cold]
    pub fn refused(&self, reached: LimitReached, slot: Slot) -> Error {
        self.refusals.count(reached.resource, Some(slot));
        LimitExceeded {
            scope: slot.name(self.numbers.next()),
            resource: reached.resource,
            direction: Some(slot.direction()),
            requested: 1,
            used: reached.used,
            limit: reached.limit,
            priority: None,
        }
        .into()
    }
}
