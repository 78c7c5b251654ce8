//! When a client that was refused should try again.

use std::ops::Range;
use std::time::Duration;

/// A range of times. Each refusal gets another one, so that the clients that were refused together
/// do not come back together.
#[derive(Debug, Clone)]
pub(crate) struct RetryAfter {
    range: Range<Duration>,
}

impl RetryAfter {
    pub(crate) const fn new(range: Range<Duration>) -> Self {
        Self { range }
    }

    /// A random time in the range, for protocols that have exact times; its start if the range is empty.
    pub(crate) fn pick(&self) -> Duration {
        let Range { start, end } = self.range;
        start + end.saturating_sub(start).mul_f64(fastrand::f64())
    }

    /// A random number of whole seconds in the range, at least one. `Retry-After` has whole seconds
    /// only.
    pub(crate) fn pick_seconds(&self) -> u64 {
        let Range { start, end } = self.range;
        let least = whole_seconds(start).max(1);
        // The range does not include its end.
        let most = whole_seconds(end).saturating_sub(1).max(least);
        fastrand::u64(least..=most)
    }
}

impl Default for RetryAfter {
    fn default() -> Self {
        Self::new(Duration::from_secs(1)..Duration::from_secs(10))
    }
}

/// The seconds of a time, rounded up.
fn whole_seconds(time: Duration) -> u64 {
    let part = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(part)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn picked(start: u64, end: u64) -> BTreeSet<u64> {
        let range = Duration::from_millis(start)..Duration::from_millis(end);
        let after = RetryAfter::new(range);
        (0..2000).map(|_| after.pick_seconds()).collect()
    }

    #[test]
    fn every_whole_second_of_the_range_is_picked_and_its_end_is_not() {
        assert_eq!(picked(1000, 5000), BTreeSet::from([1, 2, 3, 4]));
        assert_eq!(picked(1500, 4500), BTreeSet::from([2, 3, 4]));
    }

    #[test]
    fn a_range_without_a_whole_second_gives_its_start_rounded_up() {
        assert_eq!(picked(100, 500), BTreeSet::from([1]));
        assert_eq!(picked(2200, 2800), BTreeSet::from([3]));
    }

    #[test]
    fn a_client_never_comes_back_at_once() {
        assert_eq!(picked(0, 2000), BTreeSet::from([1]));
    }

    #[test]
    fn an_empty_range_gives_its_start() {
        assert_eq!(picked(5000, 5000), BTreeSet::from([5]));
        assert_eq!(picked(5000, 2000), BTreeSet::from([5]));
        let longest = RetryAfter::new(Duration::MAX..Duration::MAX);
        assert_eq!(longest.pick(), Duration::MAX);
        assert_eq!(longest.pick_seconds(), u64::MAX);
    }

    #[test]
    fn the_exact_time_is_in_the_range() {
        let (start, end) = (Duration::from_millis(100), Duration::from_millis(900));
        let after = RetryAfter::new(start..end);
        let times: BTreeSet<_> = (0..100).map(|_| after.pick()).collect();
        assert!(times.iter().all(|time| (start..end).contains(time)));
        assert!(times.len() > 50);
    }
}
