//! Transfers between two counters, and a sum of both that no transfer overlaps.

use crate::sync::{AtomicU64, Ordering};

/// Seqlock-style counters around each transfer between a counter and another: started, finished.
#[derive(Debug)]
pub struct Transfers {
    started: AtomicU64,
    finished: AtomicU64,
}

impl Transfers {
    pub fn none() -> Self {
        Self {
            started: AtomicU64::new(0),
            finished: AtomicU64::new(0),
        }
    }

    /// Runs a transfer. A thread that adds up both counters meanwhile sees that the transfer
    /// overlaps, and adds up again.
    pub fn run<R>(&self, f: impl FnOnce() -> R) -> R {
        // SeqCst, here and below: in one order with the words of stocks and nodes.
        self.started.fetch_add(1, Ordering::SeqCst);
        let result = f();
        self.finished.fetch_add(1, Ordering::SeqCst);
        result
    }

    /// The result of `read`, if no transfer overlaps it.
    pub fn without<R>(&self, read: impl FnOnce() -> Option<R>) -> Option<R> {
        let finished = self.finished.load(Ordering::SeqCst);
        let result = read();
        let none_started = self.started.load(Ordering::SeqCst) == finished;
        result.filter(|_| none_started)
    }
}
