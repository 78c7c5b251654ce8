//! The source of time, as a trait.

use std::fmt;
use std::time::Duration;

/// A source of time. rcmgr reads the time only through this trait, so that tests can control it.
///
/// ```
/// use std::time::{Duration, Instant};
/// use rcmgr_core::Clock;
///
/// #[derive(Debug)]
/// struct SinceStart(Instant);
///
/// impl Clock for SinceStart {
///     fn now(&self) -> Duration {
///         self.0.elapsed()
///     }
/// }
/// # let clock = SinceStart(Instant::now());
/// # assert!(clock.now() <= clock.now());
/// ```
pub trait Clock: fmt::Debug + Send + Sync {
    /// The time since a fixed moment in the past. It never goes backwards.
    fn now(&self) -> Duration;

    /// The largest step by which [`now`](Self::now) advances: it reads less than this below the
    /// true time. Limits on rates allow for it.
    ///
    /// The default, 4 ms, also suits a clock that follows the kernel's tick.
    fn resolution(&self) -> Duration {
        Duration::from_millis(4)
    }
}
