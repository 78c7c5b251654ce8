//! One look at one case: its workers go to work together for a short time.

use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::engine::{Unexpected, Worker};
use crate::pin::pin;

/// A batch takes about this long, so that looking at the clock after each costs next to nothing.
const BATCH: Duration = Duration::from_micros(20);

/// An operation that takes no time at all does not make a batch that takes for ever.
const LARGEST_BATCH: u64 = 1 << 20;

/// Between two operations that are timed come this many that are not: the threads meet as they
/// do when nothing is timed.
const UNTIMED: u64 = 3;

/// Longer is counted as this.
const LONGEST: u64 = 60_000_000_000;

/// What was done in one slice of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// From the first thread's start to the last one's end.
    pub wall: Duration,
    /// By all threads together.
    pub operations: u64,
}

impl Slice {
    /// Nanoseconds of wall time for each operation of all threads.
    pub fn ns_per_op(&self) -> f64 {
        self.wall.as_nanos() as f64 / self.operations as f64
    }
}

/// Warms up, and finds how many operations make a batch: as many as the fastest thread needs. One
/// that was kept from running has not found out.
///
/// # Errors
///
/// As [`throughput`].
pub fn warm_up(workers: &mut [Box<dyn Worker>], time: Duration) -> Result<u64, Unexpected> {
    let (_, batches) = together(workers, time, |worker, until| {
        let mut batch = 1;
        loop {
            let start = Instant::now();
            worker.run(batch)?;
            let end = Instant::now();
            if end >= until {
                return Ok(batch);
            }
            if end - start < BATCH && batch < LARGEST_BATCH {
                batch *= 2;
            }
        }
    })?;
    Ok(batches.into_iter().max().unwrap_or(1))
}

/// Lets all workers work in batches until the time is over: how much is done when nothing else is.
///
/// # Errors
///
/// What the first worker to fail says.
pub fn throughput(
    workers: &mut [Box<dyn Worker>],
    batch: u64,
    time: Duration,
) -> Result<Slice, Unexpected> {
    let (wall, operations) = together(workers, time, |worker, until| {
        let mut operations = 0;
        loop {
            worker.run(batch)?;
            operations += batch;
            if Instant::now() >= until {
                return Ok(operations);
            }
        }
    })?;
    Ok(Slice {
        wall,
        operations: operations.into_iter().sum(),
    })
}

/// How long single operations take, in nanoseconds, what the clock takes included.
///
/// # Errors
///
/// As [`throughput`].
pub fn latency(
    workers: &mut [Box<dyn Worker>],
    time: Duration,
) -> Result<Histogram<u64>, Unexpected> {
    let (_, histograms) = together(workers, time, |worker, until| {
        let mut times = histogram();
        loop {
            worker.run(UNTIMED)?;
            let start = Instant::now();
            worker.run(1)?;
            let end = Instant::now();
            times.saturating_record((end - start).as_nanos() as u64);
            if end >= until {
                return Ok(times);
            }
        }
    })?;
    let mut all = histogram();
    for times in histograms {
        all.add(times).expect("they have the same bounds");
    }
    Ok(all)
}

/// What a latency is when nothing is done: half of all readings of the clock take at most this
/// much, in nanoseconds.
pub fn clock_ns() -> u64 {
    let mut times = histogram();
    for _ in 0..10_000 {
        let start = Instant::now();
        times.saturating_record(start.elapsed().as_nanos() as u64);
    }
    times.value_at_quantile(0.5)
}

fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are valid")
}

/// Lets all workers begin at once. They are to end when the time is over, which is counted from
/// the first one's start, so that none works on while the others are done.
fn together<T: Send>(
    workers: &mut [Box<dyn Worker>],
    time: Duration,
    work: impl Fn(&mut dyn Worker, Instant) -> Result<T, Unexpected> + Sync,
) -> Result<(Duration, Vec<T>), Unexpected> {
    let barrier = Barrier::new(workers.len());
    let until = OnceLock::new();
    let start_one = &|number, worker: &mut Box<dyn Worker>| {
        pin(number);
        barrier.wait();
        let start = Instant::now();
        let until = *until.get_or_init(|| start + time);
        let done = work(&mut **worker, until);
        (start, Instant::now(), done)
    };
    let ended: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = workers
            .iter_mut()
            .enumerate()
            .map(|(number, worker)| scope.spawn(move || start_one(number, worker)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| thread.join();
        started
            .into_iter()
            .map(|thread| join(thread).expect("a worker does not panic"))
            .collect()
    });
    let first = ended.iter().map(|(start, ..)| *start).min();
    let last = ended.iter().map(|(_, end, _)| *end).max();
    let wall = first
        .zip(last)
        .map_or(Duration::ZERO, |(first, last)| last - first);
    let done: Result<Vec<T>, Unexpected> = ended.into_iter().map(|(.., done)| done).collect();
    Ok((wall, done?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct Counting(Arc<AtomicU64>);

    impl Worker for Counting {
        fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
            self.0.fetch_add(operations, Ordering::Relaxed);
            Ok(())
        }
    }

    fn counting(threads: usize) -> (Arc<AtomicU64>, Vec<Box<dyn Worker>>) {
        let count = Arc::new(AtomicU64::new(0));
        let worker = |_| Box::new(Counting(count.clone())) as Box<dyn Worker>;
        (count.clone(), (0..threads).map(worker).collect())
    }

    const SHORT: Duration = Duration::from_millis(2);

    #[test]
    fn every_operation_of_every_thread_is_counted() {
        let (count, mut workers) = counting(3);
        let slice = throughput(&mut workers, 7, SHORT).unwrap();
        assert_eq!(slice.operations, count.load(Ordering::Relaxed));
        assert_eq!(slice.operations % 7, 0);
        assert!(slice.wall >= SHORT);
    }

    #[test]
    fn one_operation_in_four_is_timed() {
        let (count, mut workers) = counting(2);
        let times = latency(&mut workers, SHORT).unwrap();
        assert_eq!(times.len() * (UNTIMED + 1), count.load(Ordering::Relaxed));
    }

    #[test]
    fn a_worker_s_failure_is_the_slice_s() {
        struct Failing;
        impl Worker for Failing {
            fn run(&mut self, _: u64) -> Result<(), Unexpected> {
                Err(Unexpected::Granted)
            }
        }
        let (_, mut workers) = counting(1);
        workers.push(Box::new(Failing));
        assert_eq!(throughput(&mut workers, 1, SHORT), Err(Unexpected::Granted));
        assert_eq!(warm_up(&mut workers, SHORT), Err(Unexpected::Granted));
    }

    #[test]
    fn nanoseconds_are_wall_time_by_the_operations_of_all_threads() {
        let slice = Slice {
            wall: Duration::from_micros(3),
            operations: 60,
        };
        assert_eq!(slice.ns_per_op(), 50.0);
    }
}
