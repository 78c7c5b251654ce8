//! How long a core works between two accesses, and how that is measured.

use std::cell::Cell;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::map::Map;
use crate::time::Time;

/// A place in the code that accesses a line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Place(usize);

/// A way that is this many times rarer than the most frequent one does not count.
const RARE: usize = 200;

/// From one access of a core to its next.
type Way = (Place, Place);

/// The work of a core before each access: mean times.
#[derive(Debug, Clone)]
pub struct Work {
    by_way: Arc<Map<Way, Time>>,
    /// On all other ways.
    other: Time,
}

/// How long a core of a real machine worked before each access of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkTimes(Map<Way, Vec<Duration>>);

/// The clock of the code that runs on a simulated core, in real time. It stands while the simulation
/// serves an access. It exists while a run is measured on this thread.
pub struct Clock(());

thread_local! {
    /// When the clock was resumed; `None` if nothing is measured.
    static RESUMED: Cell<Option<Instant>> = const { Cell::new(None) };
    /// The time before that, since the last lap.
    static BEFORE: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

impl Place {
    /// Where an atomic is accessed, or a lock taken.
    pub fn of(site: &'static Location<'static>) -> Self {
        Self(std::ptr::from_ref(site).addr())
    }

    /// The unlocking of a lock that was taken here. It is another place: the work until then is under the lock.
    pub fn unlock(site: &'static Location<'static>) -> Self {
        // No location has an odd address.
        Self(std::ptr::from_ref(site).addr() + 1)
    }
}

impl From<Time> for Work {
    /// The same mean before each access.
    fn from(mean: Time) -> Self {
        Self {
            by_way: Arc::default(),
            other: mean,
        }
    }
}

impl Work {
    /// The mean time of the work before an access, after one at another place.
    pub(crate) fn between(&self, before: Place, place: Place) -> Time {
        let time = self.by_way.get(&(before, place));
        time.copied().unwrap_or(self.other)
    }
}

impl WorkTimes {
    /// The core came from one place to the next in this time.
    pub(crate) fn add(&mut self, before: Place, place: Place, time: Duration) {
        self.0.entry((before, place)).or_default().push(time);
    }

    /// The work that takes this time in all, in a run as the one that was measured. On ways that it did not take, the work
    /// is that on the median one: it may be short, as before another try, or not.
    pub fn scaled_to(&self, all: Time) -> Work {
        let most = self.0.values().map(Vec::len).max().unwrap_or_default();
        // What is rare was measured while it was not in the caches.
        let often = self
            .0
            .iter()
            .filter(|(_, times)| times.len() * RARE >= most);
        let mut ways: Vec<(Way, f64, f64)> = often
            .map(|(&way, times)| (way, median_ns(times), times.len() as f64))
            .collect();
        // The shortest is the time of the measurement itself.
        let shortest = ways.iter().map(|&(_, ns, _)| ns);
        let shortest = shortest.fold(f64::INFINITY, f64::min);
        ways.iter_mut().for_each(|(_, ns, _)| *ns -= shortest);
        let sum: f64 = ways.iter().map(|(_, ns, times)| ns * times).sum();
        let accesses: f64 = ways.iter().map(|(_, _, times)| times).sum();
        // Without a difference between the ways, their times are even.
        if sum == 0.0 {
            return Time::from_ns(all.as_ns() / accesses.max(1.0)).into();
        }
        ways.sort_unstable_by(|(_, one, _), (_, other, _)| one.total_cmp(other));
        let mut before = 0.0;
        let median = ways.iter().find(|(_, _, times)| {
            before += times;
            before >= accesses / 2.0
        });
        let scaled = |ns: f64| Time::from_ns(ns * all.as_ns() / sum);
        Work {
            other: scaled(median.map_or(0.0, |&(_, ns, _)| ns)),
            by_way: Arc::new(ways.iter().map(|&(way, ns, _)| (way, scaled(ns))).collect()),
        }
    }
}

/// A disturbance makes a time longer, and most are not disturbed.
fn median_ns(times: &[Duration]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    sorted[sorted.len() / 2].as_nanos() as f64
}

impl Clock {
    /// A clock that runs.
    pub fn start() -> Self {
        RESUMED.set(Some(Instant::now()));
        BEFORE.take();
        Self(())
    }

    /// Stands until it is resumed.
    #[inline]
    pub fn pause() {
        if let Some(resumed) = RESUMED.get() {
            BEFORE.set(BEFORE.get() + resumed.elapsed());
        }
    }

    /// Goes on from now. Without a pause before, the time since it last went on is discarded: the simulation worked.
    #[inline]
    pub fn resume() {
        if RESUMED.get().is_some() {
            RESUMED.set(Some(Instant::now()));
        }
    }

    /// The time since the last lap, if it is measured.
    #[inline]
    pub fn lap() -> Option<Duration> {
        RESUMED
            .get()
            .map(|resumed| BEFORE.take() + resumed.elapsed())
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        RESUMED.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFTEN: usize = 400;

    fn ns(ns: f64) -> Time {
        Time::from_ns(ns)
    }

    /// Each way takes so long, and is taken so often.
    fn times(ways: &[(Way, u64, usize)]) -> WorkTimes {
        let mut all = WorkTimes::default();
        for &((before, place), ns, often) in ways {
            (0..often).for_each(|_| all.add(before, place, Duration::from_nanos(ns)));
        }
        all
    }

    #[test]
    fn work_is_where_it_was_measured() {
        let [first, second, third] = [0, 8, 16].map(Place);
        let ways = [
            ((first, second), 30, OFTEN),
            ((second, third), 40, 2 * OFTEN),
            ((third, first), 90, OFTEN),
            // Too rare to count.
            ((third, second), 9000, 1),
        ];
        let mut measured = times(&ways);
        // Disturbances.
        (0..OFTEN / 4).for_each(|_| measured.add(first, second, Duration::from_millis(1)));
        // Without the shortest, 10 ns are left two times for each 60 ns: 80 in all, and 200 are wanted.
        let work = measured.scaled_to(ns(200.0) * OFTEN as u64);
        let between = |before, place| work.between(before, place).as_ns();
        assert_eq!(between(first, second), 0.0);
        assert!((between(second, third) - 25.0).abs() < 0.01);
        assert!((between(third, first) - 150.0).abs() < 0.01);
        // The median of all accesses.
        assert_eq!(between(third, second), between(second, third));
        assert_eq!(between(first, third), between(second, third));
    }

    #[test]
    fn work_is_even_where_no_difference_was_measured() {
        let [first, second] = [0, 8].map(Place);
        let ways = [((first, second), 30, OFTEN), ((second, first), 30, OFTEN)];
        let work = times(&ways).scaled_to(ns(10.0) * OFTEN as u64);
        assert_eq!(work.between(first, second), ns(5.0));
        assert_eq!(work.between(second, second), ns(5.0));
        let nothing = WorkTimes::default().scaled_to(ns(10.0));
        assert_eq!(nothing.between(first, second), ns(10.0));
    }

    #[test]
    fn the_clock_stands_while_it_is_paused() {
        assert_eq!(Clock::lap(), None);
        let begin = Instant::now();
        let clock = Clock::start();
        Clock::pause();
        let pause = Duration::from_millis(20);
        std::thread::sleep(pause);
        Clock::resume();
        let counted = Clock::lap();
        let rest = begin.elapsed() - pause;
        assert!(
            counted.is_some_and(|counted| counted <= rest),
            "{counted:?} {rest:?}"
        );
        Clock::resume();
        std::thread::sleep(pause);
        Clock::pause();
        Clock::resume();
        assert!(Clock::lap().is_some_and(|time| time >= pause));
        drop(clock);
        assert_eq!(Clock::lap(), None);
    }
}
