//! Gauges: what a node uses of one group of resources, the most it ever used, and the limits that
//! the group is held against. No two share a cache line.
//!
//! A charge is in two steps: [`look`](MemoryGauge::look) checks the limits against the counter as
//! it is, and [`count`](MemoryGauge::count) swaps the counter, if it is as it was seen. Usage only
//! falls when something is released, so that is where the peak is noted: the counter's line is at
//! hand then. What was charged and taken back by a refusal elsewhere leaves no peak of its own (a
//! release by another thread in between may count it in).

mod conns;
mod memory;
mod streams;

pub use conns::ConnsGauge;
pub use memory::{MemoryGauge, threshold};
pub use streams::StreamsGauge;

use rcmgr_core::{LimitValue, Resource};

use crate::edition::decode;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Which limit was reached: what a gauge knows of a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Over {
    pub resource: Resource,
    pub used: u64,
    pub limit: LimitValue,
}

impl Over {
    #[cold]
    pub fn new(resource: Resource, used: u64, limit: u64) -> Self {
        Self {
            resource,
            used,
            limit: decode(limit),
        }
    }
}

/// The largest number of streams seen so far: as wide as their counter, so that a gauge of streams
/// is one cache line.
#[derive(Debug)]
struct StreamsPeak(AtomicU32);

impl StreamsPeak {
    fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    // Relaxed: as for `Peak`.
    #[inline]
    fn note(&self, value: u64) {
        let value = value as u32;
        if value > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The peak, where usage stands at `now`.
    fn get(&self, now: u64) -> u64 {
        u64::from(self.0.load(Ordering::Relaxed)).max(now)
    }
}

/// The largest value seen so far.
#[derive(Debug)]
struct Peak(AtomicU64);

impl Peak {
    fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    // Relaxed: a peak is read by itself and orders nothing.
    #[inline]
    fn note(&self, value: u64) {
        if value > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The peak, where usage stands at `now`.
    fn get(&self, now: u64) -> u64 {
        self.0.load(Ordering::Relaxed).max(now)
    }
}
