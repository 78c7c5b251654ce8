//! The state that all leaves of a class share.

use rcmgr_core::{Error, Limit, LimitExceeded};

use crate::counters::{Numbers, RefusalCounts, Slot};
use crate::limits::{LimitReached, LimitsVersion, WholeLimit};

/// The state that all connections, or all streams, share.
pub struct LeafClass {
    pub limit: WholeLimit,
    pub refusals: RefusalCounts,
    /// The limit of a dry run, or no limit.
    pub dry_run_limit: WholeLimit,
    pub dry_run_refusals: RefusalCounts,
    pub numbers: Numbers,
}

impl LeafClass {
    /// `dry_run` is the limit of a dry run, if there is one.
    pub fn new(limit: &Limit, dry_run: Option<&Limit>) -> Self {
        let refusals = RefusalCounts::new();
        refusals.spread();
        Self {
            limit: WholeLimit::new(limit),
            refusals,
            dry_run_limit: WholeLimit::new(dry_run.unwrap_or(&Limit::UNLIMITED)),
            dry_run_refusals: RefusalCounts::new(),
            numbers: Numbers::new(),
        }
    }

    /// Only one thread at a time may call this, from within
    /// [`CurrentVersion::change`](crate::limits::CurrentVersion::change).
    pub fn set_limit(&self, version: LimitsVersion, limit: &Limit, dry_run: Option<&Limit>) {
        self.limit.set(version, limit);
        let dry_run = dry_run.unwrap_or(&Limit::UNLIMITED);
        self.dry_run_limit.set(version, dry_run);
    }

    /// The error of a new leaf that its own limit refuses. It names the leaf.
    #[cold]
    pub fn refused(&self, reached: LimitReached, slot: Slot) -> Error {
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
