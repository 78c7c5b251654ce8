//! A whole limit: all eight fields.

use rcmgr_core::{Limit, LimitValue, Resource};

use super::limit_reached::LimitReached;
use super::slots::{LimitSlots, decode};
use super::version::LimitsVersion;
use crate::counters::Slot;

/// A whole limit: that of a class of leaves, or one that is evaluated and not enforced.
#[derive(Debug)]
pub struct WholeLimit(LimitSlots<8>);

const MEMORY: usize = Resource::Memory as usize;

fn fields(limit: &Limit) -> [LimitValue; 8] {
    Resource::ALL.map(|resource| limit.get(resource))
}

impl WholeLimit {
    /// The same limit for either slot.
    pub fn new(limit: &Limit) -> Self {
        Self(LimitSlots::new([fields(limit); 2]))
    }

    pub fn get(&self, version: LimitsVersion) -> Limit {
        let limits = self.0.get(version).map(decode);
        let of = |resource| limits[resource as usize];
        Limit {
            memory: of(Resource::Memory),
            fd: of(Resource::Fd),
            streams: of(Resource::Streams),
            streams_inbound: of(Resource::StreamsInbound),
            streams_outbound: of(Resource::StreamsOutbound),
            conns: of(Resource::Conns),
            conns_inbound: of(Resource::ConnsInbound),
            conns_outbound: of(Resource::ConnsOutbound),
        }
    }

    /// The limit of memory, as the number in a slot.
    #[inline]
    pub fn memory(&self, version: LimitsVersion) -> u64 {
        self.0.get_one(version, MEMORY)
    }

    /// Checks whether there is room for the slot of a leaf: the direction, both directions
    /// together, then the file descriptor.
    #[inline]
    pub fn check(&self, version: LimitsVersion, slot: Slot) -> Result<(), LimitReached> {
        let [direction, total] = slot.resources();
        self.check_one(version, direction)?;
        self.check_one(version, total)?;
        if slot.uses_fd() {
            self.check_one(version, Resource::Fd)?;
        }
        Ok(())
    }

    #[inline]
    fn check_one(&self, version: LimitsVersion, resource: Resource) -> Result<(), LimitReached> {
        match self.0.get_one(version, resource as usize) {
            0 => Err(LimitReached::new(resource, 0, 0)),
            _ => Ok(()),
        }
    }

    /// Only one thread at a time may call this, from within
    /// [`CurrentVersion::change`](super::version::CurrentVersion::change).
    pub fn set(&self, version: LimitsVersion, limit: &Limit) {
        self.0.set(version, fields(limit));
    }
}
