use crate::sync::{AtomicU64, Ordering};

/// What a leaf or span holds itself, apart from what its spans hold: all that its user may release
/// on it directly. It is kept only from the first span on; without one, all of it is its own.
///
/// Memory is added here after the word counts it, and taken out before the word gives it up. So the
/// word always counts at least this and what the spans hold, and each finds its part there.
#[derive(Debug)]
pub struct Own(AtomicU64);

impl Own {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Begins with all that the word counts, before the word says that there are spans: nobody
    /// looks here until then.
    pub fn begin(&self, memory: u64) {
        // Release: is there before the word says that it counts.
        self.0.store(memory, Ordering::Release);
    }

    pub fn add(&self, size: u64) {
        // AcqRel: whoever takes it finds it in the word.
        self.0.fetch_add(size, Ordering::AcqRel);
    }

    /// Takes out at most `size`. How much it was.
    pub fn take(&self, size: u64) -> u64 {
        // Acquire, here and below: pairs with `begin` and `add`.
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
