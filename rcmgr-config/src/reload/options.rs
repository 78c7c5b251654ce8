//! The settings of a watcher.

use std::time::Duration;

/// The settings; see the [`Builder`](super::Builder).
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub(super) settle_time: Duration,
    pub(super) longest_wait: Duration,
    pub(super) look_every: Duration,
    pub(super) events: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settle_time: Duration::from_millis(100),
            longest_wait: Duration::from_secs(2),
            look_every: Duration::from_secs(5),
            events: true,
        }
    }
}

impl Options {
    /// The maximum number of pauses while the file keeps changing.
    pub(super) fn pauses(&self) -> u64 {
        let pauses = self
            .longest_wait
            .as_nanos()
            .div_ceil(self.settle_time.as_nanos());
        u64::try_from(pauses).unwrap_or(u64::MAX).max(1)
    }
}
