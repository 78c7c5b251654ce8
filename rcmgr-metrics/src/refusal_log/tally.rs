//! The refusals of one kind that were logged, and the time of the last line.

use std::time::Duration;

/// Refusals that are not logged yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct New {
    pub count: u64,
    /// The time in which they happened.
    pub during: Duration,
}

/// The state of the log for one kind of refusals.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    /// The number of refusals that were logged.
    pub logged: u64,
    logged_at: Option<Duration>,
    /// All refusals that are not logged yet are later than this.
    pub since: Duration,
}

impl Tally {
    /// A tally that treats earlier refusals as logged.
    pub const fn before(logged: u64, now: Duration) -> Self {
        Self {
            logged,
            logged_at: None,
            since: now,
        }
    }

    /// The new refusals, if a line is due: at least `interval` after the last one.
    pub fn due(&mut self, refused: u64, now: Duration, interval: Duration) -> Option<New> {
        let count = refused.saturating_sub(self.logged);
        if count == 0 {
            self.since = now;
            return None;
        }
        let next = self.logged_at.map(|at| at.saturating_add(interval));
        if next.is_some_and(|next| now < next) {
            return None;
        }
        let during = now.saturating_sub(self.since);
        *self = Self {
            logged: refused,
            logged_at: Some(now),
            since: now,
        };
        Some(New { count, during })
    }
}
