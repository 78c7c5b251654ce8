//! Refusals in words, for whoever reads a server's log.

mod line;
mod scopes;
#[cfg(test)]
mod tests;
mod thread;
mod words;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_atomic::SystemClock;
use rcmgr_atomic::address::AddressStat;
use rcmgr_core::{Clock, Refusals, Resource, ResourceManager, ScopeClass};

use line::{Line, New};
use scopes::{Due, Known};

pub use thread::RefusalLogThread;

/// Says in sentences what a manager refuses, as warnings of `tracing`:
///
/// ```text
/// system refused 1,204 inbound connections in the last 60 s: 512 of 512 in use now; the limit is System.ConnsInbound
/// ```
///
/// However much is refused, there is at most one line in an interval for each class of scopes and
/// what they were asked for: one of the resources, in one direction. It has the number of refusals
/// since the line before. After an interval without a line the first refusal is told of as soon as it
/// is [looked](Self::look) for. Where nothing is refused, nothing is said.
///
/// It reads what the engine counts anyway, so a refusal costs nothing more for being told of. A look
/// goes through all scopes to sum up their counts; those that have to be named are then looked for
/// once more.
///
/// Of many scopes of a class the line names the one that refused the most, what it uses and may use
/// now, and the entry of the [limits](rcmgr_core::Limits) that counts for it: the one that has its
/// name, else the default of its class. Names come from remotes. They are escaped, and cut after 100
/// characters.
///
/// A line has these fields beside the message, each where it is known: `class`, `scope`, `scopes` (how
/// many of the class refused and are still there), `resource`, `direction`, `count`, `seconds`, `key`
/// (such as `System.ConnsInbound`), `used` and `limit` (in bytes where it is memory). Refusals by
/// address have the field `limiter`, `rate` or `subnet`, instead of a class.
///
/// ```
/// use std::time::Duration;
/// use rcmgr_atomic::{Manager, Limits};
/// use rcmgr_config::LimitsExt;
/// use rcmgr_metrics::RefusalLog;
///
/// let manager = Manager::new(Limits::auto_scale())?;
/// // Until it is dropped:
/// let log = RefusalLog::new(manager).start(Duration::from_secs(1))?;
/// # drop(log);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
#[must_use]
pub struct RefusalLog {
    manager: Manager,
    clock: Arc<dyn Clock>,
    interval: Duration,
    /// By class and by what was asked for, both in the order of their lists.
    of_scopes: [[Tally; ASKED.len()]; ScopeClass::ALL.len()],
    of_limiters: [Tally; LIMITERS.len()],
    known: Known,
}

/// What is counted apart when it is refused.
const ASKED: [Resource; 6] = [
    Resource::Memory,
    Resource::StreamsInbound,
    Resource::StreamsOutbound,
    Resource::ConnsInbound,
    Resource::ConnsOutbound,
    Resource::Fd,
];

const fn by_asked(refusals: &Refusals) -> [u64; ASKED.len()] {
    [
        refusals.memory,
        refusals.streams_inbound,
        refusals.streams_outbound,
        refusals.conns_inbound,
        refusals.conns_outbound,
        refusals.fd,
    ]
}

const LIMITERS: [&str; 2] = ["rate", "subnet"];

const fn by_limiter(stat: &AddressStat) -> [u64; LIMITERS.len()] {
    [stat.refused_by_rate, stat.refused_by_subnet]
}

/// What was told of one kind of refusals.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    /// How many.
    told: u64,
    told_at: Option<Duration>,
    /// Those that are not told of came later than that.
    since: Duration,
}

impl Tally {
    /// Refusals there were before anything is told.
    const fn before(told: u64, now: Duration) -> Self {
        Self {
            told,
            told_at: None,
            since: now,
        }
    }

    /// What is new, if it is to be told now: not earlier than `interval` after the last time.
    fn tell(&mut self, refused: u64, now: Duration, interval: Duration) -> Option<New> {
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

impl RefusalLog {
    /// One that tells of refusals from now on, at most once a minute.
    pub fn new(manager: Manager) -> Self {
        let mut known = Known::default();
        known.take_stock(&manager);
        let before = |told| Tally::before(told, Duration::ZERO);
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

    /// How much time there is at least between two lines of a class and what it was asked for.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Where time comes from: the machine's clock if nothing else is said.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        let now = clock.now();
        let of_scopes = self.of_scopes.as_flattened_mut().iter_mut();
        for tally in of_scopes.chain(&mut self.of_limiters) {
            tally.since = now;
        }
        self.clock = clock;
        self
    }

    /// Looks for refusals, and says what is to be said of them by now. Call it once a second or so.
    pub fn look(&mut self) {
        self.lines(self.interval).iter().for_each(Line::say);
    }

    /// Says what has not been said, without waiting for the interval to end: when a server stops.
    pub fn say_rest(&mut self) {
        self.lines(Duration::ZERO).iter().for_each(Line::say);
    }

    /// Looks again and again on a thread of its own, until what this returns is dropped; then it says
    /// the rest. There is `every` between two looks, and more where there are so many scopes that they
    /// would take more than a fiftieth of the time.
    ///
    /// # Errors
    ///
    /// If the system has no thread for it.
    pub fn start(self, every: Duration) -> io::Result<RefusalLogThread> {
        RefusalLogThread::start(self, every)
    }

    /// What is to be said.
    fn lines(&mut self, interval: Duration) -> Vec<Line> {
        let now = self.clock.now();
        let mut due = Due::new();
        let refusals = self.manager.all_refusals();
        for ((class, refused), tallies) in
            (ScopeClass::ALL.into_iter().zip(&refusals)).zip(&mut self.of_scopes)
        {
            let refused = ASKED.into_iter().zip(by_asked(refused));
            for ((asked, refused), tally) in refused.zip(tallies) {
                if let Some(new) = tally.tell(refused, now, interval) {
                    due.insert((class, asked), new);
                }
            }
        }
        let mut lines = self.lines_of_scopes(&due);
        let refused = by_limiter(&self.manager.addresses().stat());
        for ((limiter, refused), tally) in
            LIMITERS.into_iter().zip(refused).zip(&mut self.of_limiters)
        {
            let new = tally.tell(refused, now, interval);
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
                    // They may have refused more since the sum was taken: that is told now, too.
                    let count = new.count.max(found.refused);
                    let of_class = ASKED.iter().zip(&mut of_scopes[class as usize]);
                    for (_, tally) in of_class.filter(|&(&of, _)| of == asked) {
                        tally.told += count - new.count;
                    }
                    Line::of_scope(found, asked, New { count, ..new }, &limits)
                }
                None => Line::of_gone(class, asked, new, &limits),
            },
        };
        due.iter().map(line).collect()
    }
}
