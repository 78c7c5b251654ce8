//! The arithmetic of one token bucket: the generic cell rate algorithm (GCRA), for a clock that
//! advances in ticks.
//!
//! A bucket is one number, the moment when it will be full again. A token is taken by moving this
//! moment one period into the future.
//!
//! The clock reads up to a tick less than the true time. With a plain token bucket, this would cost
//! tokens twice, and both costs are avoided here:
//!
//! - A caller that waits until its token is there reads up to a tick less, and would be refused. So
//!   a token is given out up to a tick early.
//! - A caller that comes up to a tick late finds the bucket full, and what it gained in this time
//!   would be lost. So a bucket that became full less than a tick ago counts as just full.
//!
//! A bucket that starts full still never gives out more than its burst, plus its rate in the time
//! that has passed and one tick.

use std::time::Duration;

use crate::Rate;

/// The maximum time to fill a bucket, in nanoseconds, so that no sum overflows.
const LONGEST_FILL: u64 = 1 << 62;

/// One rate, in nanoseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Quota {
    /// The time in which a bucket gains a token.
    period: u64,
    /// The time in which a bucket gains all tokens but one.
    but_one: u64,
    /// The tick of the clock.
    tick: u64,
    /// Whether a bucket gains tokens at all.
    refills: bool,
}

/// The time until an empty bucket has its next token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Wait {
    nanos: u64,
}

impl Wait {
    /// The bucket has a token.
    const NONE: Self = Self { nanos: 0 };

    /// There will never be a token.
    pub(crate) const FOREVER: Self = Self { nanos: u64::MAX };

    pub(crate) const fn duration(self) -> Duration {
        match self {
            Self::FOREVER => Duration::MAX,
            Self { nanos } => Duration::from_nanos(nanos),
        }
    }
}

impl Quota {
    /// The quota of a rate that was checked; `None` if its burst is zero, so that there is never a
    /// token.
    pub(crate) fn new(rate: Rate, tick: u64) -> Option<Self> {
        let burst = u64::from(rate.burst);
        let longest = LONGEST_FILL.checked_div(burst)?;
        let refills = rate.per_second > 0.0;
        let period = match refills {
            // The cast from a float saturates.
            true => ((1e9 / rate.per_second).round() as u64).clamp(1, longest),
            false => longest,
        };
        Some(Self {
            period,
            but_one: period * (burst - 1),
            tick,
            refills,
        })
    }

    /// Takes a token at the time `now` from a bucket that is full at `full_at`. Returns when it
    /// will be full then. `None` is a bucket that was full for long.
    #[inline]
    pub(crate) fn take(&self, full_at: Option<u64>, now: u64) -> Result<u64, Wait> {
        let full_at = match full_at {
            Some(full_at) if full_at.saturating_add(self.tick) > now => full_at,
            _ => now,
        };
        let due = self.due(full_at);
        if due > now.saturating_add(self.tick) {
            return Err(self.wait(due, now));
        }
        Ok(full_at.saturating_add(self.period))
    }

    /// The time until the bucket has a token; zero if it has one.
    pub(crate) fn wait_for_token(&self, full_at: Option<u64>, now: u64) -> Wait {
        match full_at.map(|full_at| self.due(full_at)) {
            Some(due) if due > now => self.wait(due, now),
            _ => Wait::NONE,
        }
    }

    /// The longest wait for a token.
    pub(crate) const fn longest_wait(&self) -> Wait {
        match self.refills {
            true => Wait {
                nanos: self.period.saturating_add(self.tick),
            },
            false => Wait::FOREVER,
        }
    }

    /// When a bucket that is full at `full_at` has its next token.
    #[inline]
    const fn due(&self, full_at: u64) -> u64 {
        full_at.saturating_sub(self.but_one)
    }

    #[inline]
    const fn wait(&self, due: u64, now: u64) -> Wait {
        match self.refills {
            true => Wait { nanos: due - now },
            false => Wait::FOREVER,
        }
    }
}
