//! The running sessions of one listener on one worker, so that they can be cut from the outside.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::client::Client;
use super::front::{Front, Route};
use crate::relay::{Activity, Cut};
use crate::settings::Timeouts;

/// How often the sessions are looked at within the shortest of their timeouts.
const SWEEPS_PER_TIMEOUT: u32 = 8;
/// The sessions are not looked at more often than this.
const FASTEST_SWEEP: Duration = Duration::from_millis(10);
/// Nor less often than this.
const SLOWEST_SWEEP: Duration = Duration::from_secs(1);

/// The running sessions.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) front: Arc<Front>,
    sessions: Mutex<Sessions>,
}

#[derive(Debug, Default)]
struct Sessions {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
}

/// A running session.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) activity: Arc<Activity>,
    /// The settings that it began with.
    pub(crate) route: Arc<Route>,
    pub(crate) client: Client,
}

impl Table {
    pub(crate) fn new(front: &Arc<Front>) -> Self {
        Self {
            front: Arc::clone(front),
            sessions: Mutex::default(),
        }
    }

    /// Adds a session. If everything was cut before, it is cut at once.
    pub(super) fn add(self: &Arc<Self>, entry: Entry) -> Place {
        let activity = Arc::clone(&entry.activity);
        let at = self.lock().add(entry);
        self.front.counters.open.add(1);
        if self.front.shared.is_cut() {
            activity.cut(Cut::Stopped);
        }
        Place {
            table: Arc::clone(self),
            at,
        }
    }

    /// Cuts all sessions. Returns how many of them were not cut before.
    pub(crate) fn cut(&self, why: Cut) -> usize {
        let mut count = 0;
        self.for_each(|entry| {
            count += usize::from(!entry.activity.is_cut());
            entry.activity.cut(why);
        });
        count
    }

    /// Cuts the sessions that are over a timeout. Returns when to look again.
    pub(crate) fn sweep(&self) -> Duration {
        let Timeouts {
            first_byte,
            idle,
            half_closed,
            near_limit,
            ..
        } = self.front.timeouts_now();
        let now = Instant::now();
        let is_over = |since: Instant, limit: Option<_>| {
            limit.is_some_and(|limit| now.saturating_duration_since(since) >= limit)
        };
        for Entry { activity, .. } in self.lock().entries.iter().flatten() {
            // Also without a timeout: it notes the time for those that look for idle sessions.
            let last = activity.last();
            if !activity.has_first_byte() && is_over(activity.started(), first_byte) {
                activity.cut(Cut::FirstByte);
            }
            if let Some(since) = activity.half_closed_since()
                && is_over(since.max(last), half_closed)
            {
                activity.cut(Cut::HalfClosed);
            }
            if is_over(last, idle) {
                activity.cut(Cut::Idle);
            }
        }
        // With those near a limit: the usage may be near it soon.
        let near = near_limit.map(|near| [near.first_byte, near.idle, near.half_closed]);
        let all = [first_byte, idle, half_closed].into_iter();
        let shortest = all.chain(near.into_iter().flatten()).flatten().min();
        shortest.map_or(SLOWEST_SWEEP, |shortest| {
            (shortest / SWEEPS_PER_TIMEOUT).clamp(FASTEST_SWEEP, SLOWEST_SWEEP)
        })
    }

    /// Calls `f` with each session, those included that are cut and about to end.
    pub(crate) fn for_each(&self, f: impl FnMut(&Entry)) {
        self.lock().entries.iter().flatten().for_each(f);
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sessions {
    fn add(&mut self, entry: Entry) -> u32 {
        match self.free.pop() {
            Some(at) => {
                self.entries[at as usize] = Some(entry);
                at
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() as u32 - 1
            }
        }
    }

    fn remove(&mut self, at: u32) -> Option<Entry> {
        let removed = self.entries[at as usize].take();
        self.free.push(at);
        if self.free.len() == self.entries.len() {
            // After a peak, the memory is given back.
            *self = Self::default();
        }
        removed
    }
}

/// The place of a session in its table, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    table: Arc<Table>,
    at: u32,
}

impl Place {
    pub(super) fn front(&self) -> &Front {
        &self.table.front
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // The entry may be the last reference to old settings, so it is dropped after the lock.
        let _entry = self.table.lock().remove(self.at);
        self.table.front.counters.open.leave();
    }
}
