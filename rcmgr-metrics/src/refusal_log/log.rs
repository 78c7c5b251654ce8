//! The log: which lines are due, and when.

#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::{Manager, SystemClock};
use rcmgr_core::{Clock, Resource, ScopeClass};

use super::asked::{ASKED, LIMITERS, by_asked, by_limiter};
use super::line::Line;
use super::scopes::{Due, Known};
use super::tally::{New, Tally};

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
/// Besides the message, a line has these fields, each if it is known: `class`, `scope`, `scopes`
/// (the number of live scopes of the class that refused), `resource`, `direction`, `count`,
/// `seconds`, `key` (such as `System.ConnsInbound`), `used` and `limit` (in bytes for memory).
/// Refusals by address have the field `limiter`, `rate` or `subnet`, instead of a class.
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
    /// By class and by resource, in the order of [`ScopeClass::ALL`] and [`ASKED`].
    of_scopes: [[Tally; ASKED.len()]; ScopeClass::ALL.len()],
    of_limiters: [Tally; LIMITERS.len()],
    known: Known,
}

impl RefusalLog {
    /// A log of the refusals from now on, with an interval of one minute.
    pub fn new(manager: Manager) -> Self {
        let mut known = Known::default();
        known.note_all(&manager);
        let before = |refused| Tally::before(refused, Duration::ZERO);
        let of_scopes = manager.all_refusals();
        let of_limiters = by_limiter(&manager.addresses().stat());
        Self {
            of_scopes: of_scopes.map(|refusals| by_asked(&refusals).map(before)),
            of_limiters: of_limiters.map(before),
            manager,
            clock: Arc::new(SystemClock::new()),
            interval: Duration::from_secs(60),
            known,
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
        let of_scopes = self.of_scopes.as_flattened_mut().iter_mut();
        for tally in of_scopes.chain(&mut self.of_limiters) {
            tally.since = now;
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
        let mut due = Due::new();
        let refusals = self.manager.all_refusals();
        for ((class, refused), tallies) in
            (ScopeClass::ALL.into_iter().zip(&refusals)).zip(&mut self.of_scopes)
        {
            let refused = ASKED.into_iter().zip(by_asked(refused));
            for ((asked, refused), tally) in refused.zip(tallies) {
                if let Some(new) = tally.due(refused, now, interval) {
                    due.insert((class, asked), new);
                }
            }
        }
        let mut lines = self.lines_of_scopes(&due);
        let refused = by_limiter(&self.manager.addresses().stat());
        for ((limiter, refused), tally) in
            LIMITERS.into_iter().zip(refused).zip(&mut self.of_limiters)
        {
            let new = tally.due(refused, now, interval);
            lines.extend(new.map(|new| Line::of_limiter(limiter, new)));
        }
        lines
    }

    fn lines_of_scopes(&mut self, due: &Due) -> Vec<Line> {
        if due.is_empty() {
            return Vec::new();
        }
        let mut found = self.known.find(&self.manager, due);
        let limits = self.manager.limits();
        let of_scopes = &mut self.of_scopes;
        let line = |(&(class, asked), &new): (&(ScopeClass, Resource), &New)| match class {
            ScopeClass::Connection => Line::of_each(class, asked, new, limits.conn),
            ScopeClass::Stream => Line::of_each(class, asked, new, limits.stream),
            ScopeClass::Span => Line::of_spans(asked, new),
            _ => match found.remove(&(class, asked)) {
                Some(found) => {
                    // The scopes may have refused more since the sum was taken. Report these now,
                    // too.
                    let count = new.count.max(found.refused);
                    let of_class = ASKED.iter().zip(&mut of_scopes[class as usize]);
                    for (_, tally) in of_class.filter(|&(&of, _)| of == asked) {
                        tally.logged += count - new.count;
                    }
                    Line::of_scope(found, asked, New { count, ..new }, &limits)
                }
                None => Line::of_destroyed(class, asked, new, &limits),
            },
        };
        due.iter().map(line).collect()
    }
}
