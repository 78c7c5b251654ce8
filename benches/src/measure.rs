//! One measurement of one case: its workers start together and run for a short time.

use std::fs;
use std::hint::black_box;
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use cpu_time::ThreadTime;
use hdrhistogram::Histogram;

use crate::engine::{Unexpected, Worker};
use crate::pin::pin;

/// The time that a batch takes. The clock is read once a batch, so its cost is negligible.
const BATCH: Duration = Duration::from_micros(20);

/// The upper bound of a batch, for operations that take almost no time.
const LARGEST_BATCH: u64 = 1 << 20;

/// The number of operations that are not timed between two that are. So contention is close to that
/// of a run without timing.
const UNTIMED: u64 = 3;

/// The longest time that the histogram records, in nanoseconds. Longer times count as this.
const LONGEST: u64 = 60_000_000_000;

/// The work of one slice of time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Slice {
    /// The time from the start of the first thread to the end of the last one.
    pub wall: Duration,
    /// The time that all threads together ran on a core. `None` where the system does not say.
    pub cpu: Option<Duration>,
    /// The operations of all threads together.
    pub operations: u64,
    /// Whether no thread was preempted in the meantime. False where the system does not say.
    pub undisturbed: bool,
}

impl Slice {
    /// The work of both, one after the other.
    pub fn and(self, next: Self) -> Self {
        Self {
            wall: self.wall + next.wall,
            cpu: self.cpu.zip(next.cpu).map(|(one, other)| one + other),
            operations: self.operations + next.operations,
            undisturbed: self.undisturbed && next.undisturbed,
        }
    }

    /// Wall time divided by the operations of all threads, in nanoseconds.
    pub fn ns_per_op(&self) -> f64 {
        self.wall.as_nanos() as f64 / self.operations as f64
    }

    /// The CPU time of all threads divided by their operations, in nanoseconds.
    pub fn cpu_ns_per_op(&self) -> Option<f64> {
        Some(self.cpu?.as_nanos() as f64 / self.operations as f64)
    }
}

/// Warms up, and finds the number of operations in a batch. The fastest thread decides, because a
/// thread that was preempted finds too small a number.
///
/// # Errors
///
/// As [`throughput`].
pub fn warm_up(workers: &mut [Box<dyn Worker>], time: Duration) -> Result<u64, Unexpected> {
    let (_, batches) = run_together(workers, 0, time, |worker, until| {
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

/// Runs all workers in batches until the time is over, and counts their operations.
///
/// # Errors
///
/// The error of the first worker that fails.
pub fn throughput(
    workers: &mut [Box<dyn Worker>],
    batch: u64,
    time: Duration,
) -> Result<Slice, Unexpected> {
    throughput_from(0, workers, batch, time)
}

/// As [`throughput`]. Worker *n* runs on core `first_core + n`.
///
/// # Errors
///
/// As [`throughput`].
pub fn throughput_from(
    first_core: usize,
    workers: &mut [Box<dyn Worker>],
    batch: u64,
    time: Duration,
) -> Result<Slice, Unexpected> {
    let (times, operations) = run_together(workers, first_core, time, |worker, until| {
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
        wall: times.wall,
        cpu: times.cpu,
        operations: operations.into_iter().sum(),
        undisturbed: times.undisturbed,
    })
}

/// The times of single operations, in nanoseconds. They include the time to read the clock.
///
/// # Errors
///
/// As [`throughput`].
pub fn latency(
    workers: &mut [Box<dyn Worker>],
    time: Duration,
) -> Result<Histogram<u64>, Unexpected> {
    let (_, histograms) = run_together(workers, 0, time, |worker, until| {
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

/// The median time to read the clock, in nanoseconds. Every latency includes it.
pub fn clock_ns() -> u64 {
    let mut times = histogram();
    for _ in 0..10_000 {
        let start = Instant::now();
        times.saturating_record(start.elapsed().as_nanos() as u64);
    }
    times.value_at_quantile(0.5)
}

pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST, 3).expect("the bounds are valid")
}

/// The times of threads that ran together.
struct Times {
    /// From the first start to the last end.
    wall: Duration,
    /// Of all threads together.
    cpu: Option<Duration>,
    /// Whether no thread was preempted.
    undisturbed: bool,
}

/// The time of one thread.
struct Ran {
    start: Instant,
    end: Instant,
    cpu: Option<Duration>,
    undisturbed: bool,
}

/// Starts all workers at once. All of them stop at one deadline, counted from the start of the
/// first, so that none runs on after the others have stopped. Returns the times and the results.
fn run_together<T: Send>(
    workers: &mut [Box<dyn Worker>],
    first_core: usize,
    time: Duration,
    work: impl Fn(&mut dyn Worker, Instant) -> Result<T, Unexpected> + Sync,
) -> Result<(Times, Vec<T>), Unexpected> {
    let barrier = Barrier::new(workers.len());
    let until = OnceLock::new();
    let start_one = &|number, worker: &mut Box<dyn Worker>| {
        pin(first_core + number);
        use_own_memory();
        let before = preemptions();
        // All threads are pinned before the first one starts.
        barrier.wait();
        let cpu = ThreadTime::try_now();
        let start = Instant::now();
        // The first thread sets the deadline for all.
        let until = *until.get_or_init(|| start + time);
        let done = work(&mut **worker, until);
        let end = Instant::now();
        let ran = Ran {
            start,
            end,
            cpu: cpu.and_then(|start| start.try_elapsed()).ok(),
            undisturbed: before.is_some() && preemptions() == before,
        };
        (ran, done)
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
    let (ran, done): (Vec<Ran>, Vec<_>) = ended.into_iter().unzip();
    let first = ran.iter().map(|ran| ran.start).min();
    let last = ran.iter().map(|ran| ran.end).max();
    let times = Times {
        wall: first
            .zip(last)
            .map_or(Duration::ZERO, |(first, last)| last - first),
        cpu: ran.iter().map(|ran| ran.cpu).sum(),
        undisturbed: ran.iter().all(|ran| ran.undisturbed),
    };
    let done: Result<Vec<T>, Unexpected> = done.into_iter().collect();
    Ok((times, done?))
}

/// Gives the thread memory of its own in each small size. The first memory that an allocator with a cache for
/// each thread gives out may lie beside that of another thread, and is given out again in every operation.
/// With glibc, two threads that shared nothing and allocated in each operation did 1.04 to 1.41 times the work of
/// one; with memory of their own, or without these caches (`glibc.malloc.tcache_count=0`), 1.9 to 2.0.
fn use_own_memory() {
    const SIZES: usize = 1024;
    const EACH: usize = 16;
    let sizes = (16..=SIZES).step_by(16);
    let mut own: Vec<Vec<u8>> = sizes
        .flat_map(|size| (0..EACH).map(move |_| Vec::with_capacity(size)))
        .collect();
    // The first ones of each size may be beside those of others. They are freed last: then the cache is full.
    while let Some(last) = own.pop() {
        drop(black_box(last));
    }
}

/// How often this thread was preempted so far, where the system says so.
fn preemptions() -> Option<u64> {
    let status = fs::read_to_string("/proc/thread-self/status").ok()?;
    let count = |line: &str| {
        let number = line.strip_prefix("nonvoluntary_ctxt_switches:")?;
        number.trim().parse().ok()
    };
    status.lines().find_map(count)
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
    fn a_thread_that_sleeps_takes_wall_time_and_no_cpu_time() {
        struct Sleeping;
        impl Worker for Sleeping {
            fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
                (0..operations).for_each(|_| thread::sleep(Duration::from_millis(1)));
                Ok(())
            }
        }
        let slice = throughput(&mut [Box::new(Sleeping) as Box<dyn Worker>], 5, SHORT).unwrap();
        assert!(slice.ns_per_op() >= 1e6, "{slice:?}");
        assert!(
            slice.cpu_ns_per_op().unwrap() < slice.ns_per_op() / 2.0,
            "{slice:?}"
        );
    }

    #[test]
    fn one_operation_in_four_is_timed() {
        let (count, mut workers) = counting(2);
        let times = latency(&mut workers, SHORT).unwrap();
        assert_eq!(times.len() * (UNTIMED + 1), count.load(Ordering::Relaxed));
    }

    #[test]
    fn an_error_of_a_worker_is_the_result_of_the_slice() {
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
    fn ns_per_op_is_wall_time_divided_by_the_operations_of_all_threads() {
        let slice = Slice {
            wall: Duration::from_micros(3),
            cpu: Some(Duration::from_micros(6)),
            operations: 60,
            undisturbed: true,
        };
        assert_eq!(slice.ns_per_op(), 50.0);
        assert_eq!(slice.cpu_ns_per_op(), Some(100.0));
    }
}
