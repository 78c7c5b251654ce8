//! The limit that a scope has reached.

use rcmgr_core::{LimitValue, Resource};

use super::slots::decode;

/// The limit that a check found reached, and the usage that it saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitReached {
    pub resource: Resource,
    pub used: u64,
    pub limit: LimitValue,
}

impl LimitReached {
    /// `limit` is the number in a slot.
    #[cold]
    pub fn new(resource: Resource, used: u64, limit: u64) -> Self {
        Self {
            resource,
            used,
            limit: decode(limit),
        }
    }
}
