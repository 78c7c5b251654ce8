use std::fmt;
use std::time::Duration;

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
///
/// On Linux it is the one that moves on with the kernel's tick, every 1 to 10 ms: to read it takes a
/// fifth of the time, and nothing here is about less than some milliseconds.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Moment,
}

#[cfg(any(target_os = "linux", target_os = "android"))]
use tick::Moment;

#[cfg(not(any(target_os = "linux", target_os = "android")))]
type Moment = std::time::Instant;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod tick {
    use std::time::Duration;

    use nix::time::{ClockId, clock_gettime};

    /// A time since the machine was started.
    #[derive(Debug, Clone)]
    pub(super) struct Moment(Duration);

    impl Moment {
        pub(super) fn now() -> Self {
            let now = clock_gettime(ClockId::CLOCK_MONOTONIC_COARSE);
            Self(now.expect("every Linux has this clock").into())
        }

        pub(super) fn elapsed(&self) -> Duration {
            Self::now().0.saturating_sub(self.0)
        }
    }
}

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn new() -> Self {
        Self {
            start: Moment::now(),
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[test]
    fn it_goes_on_and_is_never_ahead() {
        const TICK: Duration = Duration::from_millis(10);
        const LATER: Duration = Duration::from_millis(50);
        let (precise, clock) = (Instant::now(), SystemClock::new());
        let mut last = clock.now();
        while last < LATER {
            let now = clock.now();
            assert!(now >= last, "{now:?} after {last:?}");
            last = now;
            assert!(
                precise.elapsed() < Duration::from_secs(60),
                "it stands still"
            );
        }
        assert!(precise.elapsed() + TICK >= last, "it is ahead");
    }
}
