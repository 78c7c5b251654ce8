//! Records latencies.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Longer times count as this.
const LONGEST: Duration = Duration::from_secs(60);

/// A histogram of times, for use by several threads.
#[derive(Debug)]
pub struct Recorder(Mutex<Histogram<u64>>);

/// The quantiles of the recorded times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantiles {
    /// The number of recorded times.
    pub count: u64,
    /// The median.
    pub p50: Duration,
    /// The 99th percentile.
    pub p99: Duration,
}

impl Default for Recorder {
    fn default() -> Self {
        let longest = LONGEST.as_nanos() as u64;
        let histogram = Histogram::new_with_bounds(1, longest, 3);
        Self(Mutex::new(histogram.expect("the bounds are valid")))
    }
}

impl Recorder {
    /// Records a time.
    pub fn record(&self, took: Duration) {
        let nanos = took.min(LONGEST).as_nanos() as u64;
        self.0
            .lock()
            .expect("no panic while the lock is held")
            .saturating_record(nanos);
    }

    /// One quantile, from 0 to 1; `None` if nothing was recorded.
    pub fn quantile(&self, quantile: f64) -> Option<Duration> {
        let histogram = self.0.lock().expect("no panic while the lock is held");
        let nanos = histogram.value_at_quantile(quantile);
        (!histogram.is_empty()).then(|| Duration::from_nanos(nanos))
    }

    /// The quantiles so far; `None` if nothing was recorded.
    pub fn quantiles(&self) -> Option<Quantiles> {
        let histogram = self.0.lock().expect("no panic while the lock is held");
        let at = |quantile| Duration::from_nanos(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Quantiles {
            count: histogram.len(),
            p50: at(0.5),
            p99: at(0.99),
        })
    }
}

/// Calls `call`, and returns its result and the time that it took.
pub fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let begin = Instant::now();
    let result = call();
    (result, begin.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_recorded_times() {
        let recorder = Recorder::default();
        assert_eq!(recorder.quantiles(), None);
        for millis in 1..=1000 {
            recorder.record(Duration::from_millis(millis));
        }
        let Quantiles { count, p50, p99 } = recorder.quantiles().unwrap();
        assert_eq!(count, 1000);
        // Three significant digits are kept.
        let near = |found: Duration, millis: u128| found.as_millis().abs_diff(millis) <= 1;
        assert!(near(p50, 500) && near(p99, 990), "{p50:?} {p99:?}");
    }
}
