//! The log: which lines are due, and when.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::{Manager, SystemClock};
use rcmgr_core::Clock;

use super::line::Line;
use super::mode::Mode;
use super::tallies::Tallies;

/// Logs the refusals of a manager as sentences, with warnings of `tracing`:
///
/// ```text
/// system refused 1,204 inbound connections in the last 60 s: 512 of 512 in use now; the limit is System.ConnsInbound
/// ```
///
/// The log is bounded: in each interval there is at most one line for each class of scopes,
/// resource and direction. It has the number of refusals since the line before. After an interval
/// without a line, the next [look](Self::look) logs a refusal at once. Without refusals there is no
/// line.
///
/// It reads counters that the engine has anyway, so logging adds no cost to a refusal. A look goes
/// through all scopes to sum up their counters. If a line is due, it goes through them once more to
/// find the scopes to name.
///
/// If several scopes of a class refused, the line names the one with the most refusals, its usage
/// and limit now, and the key of this limit in the [limits](rcmgr_core::Limits): the entry with the
/// scope's name, otherwise the default of its class. Names come from remotes, so they are escaped
/// and cut after 100 characters.
///
/// While requests wait for room in a scope, later ones are refused there even if there is room for
/// them. So a line also has the number of requests that wait now where it names a limit; if the
/// queue takes no further request, it names `Waiters`, the setting of limits files:
///
/// ```text
/// peer:192.0.2.7 refused 9 inbound streams in the last 60 s: 8 of 8 in use now; the limit is PeerDefault.StreamsInbound; 3 requests wait for room
/// ```
///
/// What the limits of a dry run would have refused has lines of its own, under the same rules:
///
/// ```text
/// dry run: peer:192.0.2.7 would have refused 9 inbound streams in the last 60 s: 12 of 8 in use now; the limit is PeerDefault.StreamsInbound
/// ```
///
/// Besides the message, a line has these fields, each if it is known: `class`, `scope`, `scopes`
/// (the number of live scopes of the class that refused), `resource`, `direction`, `count`,
/// `seconds`, `key` (such as `System.ConnsInbound`), `used` and `limit` (in bytes for memory), and
/// `waiting`, the requests that wait for room.
/// Refusals by address have the field `limiter`, `rate` or `subnet`, instead of a class, and
/// `network`: the one that was refused most often. Lines about a
/// dry run have the field `dry_run`.
///
/// ```
/// use std::time::Duration;
/// use rcmgr_atomic::{Manager, Limits};
/// use rcmgr_config::LimitsExt;
/// use rcmgr_metrics::RefusalLog;
///
/// let manager = Manager::new(Limits::auto_scale())?;
/// // Runs until it is dropped.
/// let log = RefusalLog::new(manager).start(Duration::from_secs(1))?;
/// # drop(log);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct RefusalLog {
    manager: Manager,
    pub(super) clock: Arc<dyn Clock>,
    interval: Duration,
    of_modes: [Tallies; 2],
}

impl RefusalLog {
    /// A log of the refusals from now on, with an interval of one minute.
    pub fn new(manager: Manager) -> Self {
        Self {
            of_modes: [Mode::Enforced, Mode::DryRun].map(|mode| Tallies::new(mode, &manager)),
            manager,
            clock: Arc::new(SystemClock::new()),
            interval: Duration::from_secs(60),
        }
    }

    /// Sets the shortest time between two lines of the same class, resource and direction.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets the clock; by default it is the system clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        for tallies in &mut self.of_modes {
            tallies.set_since(now);
        }
        self.clock = clock;
        self
    }

    /// Looks for refusals and logs the lines that are due. Call it about once a second.
    pub fn look(&mut self) {
        self.lines(self.interval).iter().for_each(Line::log);
    }

    /// Logs the remaining refusals without waiting for the end of the interval. Call it when a
    /// server stops.
    pub fn flush(&mut self) {
        self.lines(Duration::ZERO).iter().for_each(Line::log);
    }

    /// The lines that are due.
    fn lines(&mut self, interval: Duration) -> Vec<Line> {
        let now = self.clock.now();
        let of_modes = self.of_modes.iter_mut();
        of_modes
            .flat_map(|tallies| tallies.lines(&self.manager, now, interval))
            .collect()
    }
}
