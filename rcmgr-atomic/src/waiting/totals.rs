//! How many waits began and ended, and how.

use std::time::Duration;

use crate::sync::{AtomicU64, Ordering};

/// How a wait ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitEnd {
    Granted,
    /// With an error.
    Refused,
    /// The future was dropped.
    GivenUp,
}

/// Waits for scopes of one class since the manager was made: see
/// [`Manager::wait_totals`](crate::Manager::wait_totals).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitTotals {
    /// How many requests began to wait.
    pub begun: u64,
    /// How many waits ended with a grant.
    pub granted: u64,
    /// How many waits ended with an error: the scope was closed, a limit was lowered below the
    /// request.
    pub refused: u64,
    /// How many waits ended because the future was dropped.
    pub given_up: u64,
    /// How long the ended waits took together.
    pub waited: Duration,
}

/// The same, as counters.
#[derive(Debug)]
pub struct WaitCounters {
    begun: AtomicU64,
    /// By [`WaitEnd`].
    ended: [AtomicU64; 3],
    nanoseconds: AtomicU64,
}

// Relaxed, in all of these: each counter only grows and is read by itself.
impl WaitCounters {
    pub fn new() -> Self {
        Self {
            begun: AtomicU64::new(0),
            ended: std::array::from_fn(|_| AtomicU64::new(0)),
            nanoseconds: AtomicU64::new(0),
        }
    }

    pub fn begin(&self) {
        self.begun.fetch_add(1, Ordering::Relaxed);
    }

    pub fn end(&self, how: WaitEnd, waited: Duration) {
        self.ended[how as usize].fetch_add(1, Ordering::Relaxed);
        let nanoseconds = u64::try_from(waited.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.fetch_add(nanoseconds, Ordering::Relaxed);
    }

    pub fn get(&self) -> WaitTotals {
        let [granted, refused, given_up] = self.ended.each_ref();
        let [granted, refused, given_up] =
            [granted, refused, given_up].map(|count| count.load(Ordering::Relaxed));
        WaitTotals {
            begun: self.begun.load(Ordering::Relaxed),
            granted,
            refused,
            given_up,
            waited: Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed)),
        }
    }
}
