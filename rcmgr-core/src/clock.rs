use std::fmt;
use std::time::{Duration, Instant};

/// Where time comes from. Nothing in rcmgr reads a clock directly, so that tests own the time.
///
/// ```
/// use rcmgr_core::{Clock, SystemClock};
///
/// let clock = SystemClock::new();
/// let before = clock.now();
/// assert!(clock.now() >= before);
/// ```
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time since some fixed moment in the past. Never goes back.
    fn now(&self) -> Duration;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }
}
