//! The memory that a leaf or span holds itself, apart from that of its spans.

use crate::sync::{AtomicU64, Ordering};

/// The memory that a leaf or span holds itself, apart from that of its spans, in bytes. It is all
/// that its user may release on it directly. It is counted from the first span on: without one, all
/// memory is the leaf's own.
///
/// Memory is added here after the word counts it, and taken out before the word gives it up. So the
/// word counts at least this amount and that of the spans together, and each finds its part there.
#[derive(Debug)]
pub struct OwnMemory(AtomicU64);

impl OwnMemory {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Starts with all memory that the word counts. The word does not yet say that there are spans,
    /// so no thread looks here.
    pub fn begin(&self, memory: u64) {
        // Release: the amount is here before the word says that it counts.
        self.0.store(memory, Ordering::Release);
    }

    pub fn add(&self, size: u64) {
        // AcqRel: a thread that takes the amount finds it in the word.
        self.0.fetch_add(size, Ordering::AcqRel);
    }

    /// Takes out `size`, or all there is if that is less. Returns the amount taken.
    pub fn take(&self, size: u64) -> u64 {
        // Acquire, here and below: pairs with `begin` and `add`. AcqRel on success: the amount was
        // in the word, and is taken out of here before the word gives it up.
        let mut held = self.0.load(Ordering::Acquire);
        loop {
            let taken = size.min(held);
            if taken == 0 {
                return 0;
            }
            match self.0.compare_exchange_weak(
                held,
                held - taken,
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => return taken,
                Err(now) => held = now,
            }
        }
    }
}
