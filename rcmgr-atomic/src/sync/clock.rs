//! The clock of a manager that is given no other.

use std::time::Duration;

use rcmgr_core::Clock;

/// The machine's monotonic clock.
///
/// On Linux, with the feature `address`, it is the coarse clock, which advances with the kernel's
/// tick, every 1 to 10 ms. A reading takes a fifth of the time, and each connection from a limited
/// address takes one; nothing here depends on less than some milliseconds.
///
/// ```
/// use rcmgr_atomic::SystemClock;
/// use rcmgr_core::Clock;
///
/// let clock = SystemClock::new();
/// let before = clock.now();
/// assert!(clock.now() >= before);
/// ```
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Moment,
    resolution: Duration,
}

// Without limits by address the clock is read once for each over-release: any clock will do.
#[cfg(all(feature = "address", any(target_os = "linux", target_os = "android")))]
use tick::{Moment, resolution};

#[cfg(not(all(feature = "address", any(target_os = "linux", target_os = "android"))))]
type Moment = std::time::Instant;

#[cfg(not(all(feature = "address", any(target_os = "linux", target_os = "android"))))]
const fn resolution() -> Duration {
    Duration::ZERO
}

#[cfg(all(feature = "address", any(target_os = "linux", target_os = "android")))]
mod tick {
    use std::time::Duration;

    use nix::time::{ClockId, clock_getres, clock_gettime};

    const CLOCK: ClockId = ClockId::CLOCK_MONOTONIC_COARSE;

    /// The longest time between two ticks.
    pub(crate) fn resolution() -> Duration {
        let tick = clock_getres(CLOCK).map_or(Duration::from_millis(10), Duration::from);
        // The kernel may be late with a tick, for example on a virtual machine that has to wait.
        2 * tick
    }

    /// A time since the machine was started.
    #[derive(Debug, Clone)]
    pub(crate) struct Moment(Duration);

    impl Moment {
        pub(crate) fn now() -> Self {
            let now = clock_gettime(CLOCK);
            Self(now.expect("every Linux has this clock").into())
        }

        pub(crate) fn elapsed(&self) -> Duration {
            Self::now().0.saturating_sub(self.0)
        }
    }
}

impl SystemClock {
    /// A clock that starts at zero now.
    pub fn new() -> Self {
        Self {
            start: Moment::now(),
            resolution: resolution(),
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

    fn resolution(&self) -> Duration {
        self.resolution
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
