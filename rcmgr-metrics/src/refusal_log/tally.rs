//! How many refusals of one kind were logged, and when.

use std::time::Duration;

/// Refusals that were not told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct New {
    pub count: u64,
    /// In how much time.
    pub during: Duration,
}

/// What was told of one kind of refusals.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// How many.
    pub told: u64,
    told_at: Option<Duration>,
    /// Those that are not told of came later than that.
    pub since: Duration,
}

impl Tally {
    /// Refusals there were before anything is told.
    pub const fn before(told: u64, now: Duration) -> Self {
        Self {
            told,
            told_at: None,
            since: now,
        }
    }

    /// What is new, if it is to be told now: not earlier than `interval` after the last time.
    pub fn tell(&mut self, refused: u64, now: Duration, interval: Duration) -> Option<New> {
        let count = refused.saturating_sub(self.told);
        if count == 0 {
            self.since = now;
            return None;
        }
        let next = self.told_at.map(|at| at.saturating_add(interval));
        if next.is_some_and(|next| now < next) {
            return None;
        }
        let during = now.saturating_sub(self.since);
        *self = Self {
            told: refused,
            told_at: Some(now),
            since: now,
        };
        Some(New { count, during })
    }
}
