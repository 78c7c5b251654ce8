//! A clock that the address tests control.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_core::Clock;

/// A clock that moves only when the test advances it.
#[derive(Debug, Default)]
pub struct TestClock(AtomicU64);

impl TestClock {
    pub fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}
