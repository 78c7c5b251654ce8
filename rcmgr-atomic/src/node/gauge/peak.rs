//! The largest value of a counter so far.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The largest value of a counter so far.
#[derive(Debug)]
pub struct Peak(AtomicU64);

impl Peak {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub fn note(&self, value: u64) {
        // Relaxed, here and below: a peak is read by itself and orders nothing.
        if value > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The peak. `now` is the present value of the counter.
    pub fn get(&self, now: u64) -> u64 {
        self.0.load(Ordering::Relaxed).max(now)
    }
}

/// The largest number of streams so far: as wide as their counter, so that a gauge of streams is
/// one cache line.
#[derive(Debug)]
pub struct StreamsPeak(AtomicU32);

impl StreamsPeak {
    pub fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    #[inline]
    pub fn note(&self, value: u64) {
        let value = value as u32;
        // Relaxed, here and below: as for `Peak`.
        if value > self.0.load(Ordering::Relaxed) {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The peak. `now` is the present value of the counter.
    pub fn get(&self, now: u64) -> u64 {
        u64::from(self.0.load(Ordering::Relaxed)).max(now)
    }
}
