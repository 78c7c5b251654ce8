//! A clock that the address tests control.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_core::Clock;

/// A clock that moves only when the test advances it.
#[derive(Debug, Default)]
pub struct TestClock {
    now: AtomicU64,
    resolution: Duration,
}

impl TestClock {
    #[allow(dead_code)]
    pub fn with_resolution(resolution: Duration) -> Self {
        Self {
            resolution,
            ..Self::default()
        }
    }

    #[allow(dead_code)]
    pub fn advance(&self, by: Duration) {
        self.now.fetch_add(by.as_nanos() as u64, Ordering::Relaxed);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.now.load(Ordering::Relaxed))
    }

    fn resolution(&self) -> Duration {
        self.resolution
    }
}
