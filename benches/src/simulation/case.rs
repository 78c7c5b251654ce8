//! One case on a simulated machine.

use std::mem;
use std::sync::Arc;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rcmgr_machine::{Outcome, Simulation, Time, measure_from_now, measure_until_now, now};

use crate::case::Case;
use crate::engine::{Engine, Unexpected, Worker};
use crate::measure::histogram;

/// The operations of each core before the measured part, for each one in it. The engine needs many until
/// its credit is where it is used.
const WARM_UP: u64 = 8;

/// Where more than two cores are this many times slower than one alone on the same machine, a part ends early:
/// the warm-up after a sixteenth of its operations, the measured part after a twentieth.
const SLOW: f64 = 3.0;
const LEAST_WARM_UP: u64 = 16;
const LEAST_MEASURED: u64 = 20;

/// Up to this many cores, no part ends early.
const FEW_CORES: u64 = 2;

/// The progress of all cores together. They run one at a time, in the order of simulated time.
#[derive(Debug)]
struct Progress {
    cores: u64,
    /// The operations of each core in the measured part.
    measured: u64,
    /// The time of an operation on one core alone, where there are more.
    alone: Option<Time>,
    part: Part,
    operations: u64,
    begin: Time,
    end: Time,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    WarmUp,
    Measured,
    Over,
}

impl Progress {
    /// Counts an operation that ended now. The result is the part that it belongs to.
    fn count(&mut self, now: Time) -> Part {
        let part = self.part;
        if part == Part::Over {
            return part;
        }
        self.operations += 1;
        let [operations, least] = match part {
            Part::WarmUp => [WARM_UP, LEAST_WARM_UP],
            _ => [1, LEAST_MEASURED],
        };
        let operations = operations * self.measured;
        let is_slow = self.alone.is_some_and(|alone| {
            self.cores > FEW_CORES
                && now.since(self.begin).as_ns() >= SLOW * alone.as_ns() * operations as f64
        });
        let enough = if is_slow {
            operations / least
        } else {
            operations
        };
        let is_over = self.operations >= enough.max(1) * self.cores;
        if is_over && part == Part::WarmUp {
            self.part = Part::Measured;
            self.operations = 0;
            self.begin = now;
            measure_from_now();
        } else if is_over {
            self.part = Part::Over;
            self.end = now;
            // The cores go on to the end of their operations, which are not counted.
            measure_until_now();
        }
        part
    }
}

/// The result of a run.
pub struct Run {
    pub outcome: Outcome,
    /// The operations in the measured part.
    pub operations: u64,
    /// Their times, in nanoseconds.
    pub times: Histogram<u64>,
    /// The length of the measured part.
    pub length: Time,
}

impl Run {
    /// The length of the measured part for each of its operations.
    pub fn each(&self) -> Time {
        Time::from_ns(self.length.as_ns() / self.operations.max(1) as f64)
    }
}

/// The work of one core.
struct Done {
    worker: Box<dyn Worker>,
    result: Result<Histogram<u64>, Unexpected>,
}

/// Runs a case on a machine, and measures this number of operations of each core. `alone` is the time of
/// one on one core of this machine, if more of them work.
///
/// # Errors
///
/// [`Unexpected`], if an operation had another result than expected, or a charge is left.
pub fn run(
    simulation: Simulation,
    engine: &dyn Engine,
    case: &Case,
    alone: Option<Time>,
    measured: u64,
) -> Result<Run, Unexpected> {
    let setup = simulation.set_up(|| engine.set_up(case))?;
    let workers = setup.workers(case)?;
    let progress = Arc::new(Mutex::new(Progress {
        cores: case.threads as u64,
        measured,
        alone,
        part: Part::WarmUp,
        operations: 0,
        begin: Time::ZERO,
        end: Time::ZERO,
    }));
    let done: Arc<Mutex<Vec<Done>>> = Arc::default();
    let tasks = workers.into_iter().map(|mut worker| {
        let (done, progress) = (done.clone(), progress.clone());
        Box::new(move || {
            let result = repeat(&mut *worker, &progress);
            done.lock().push(Done { worker, result });
        }) as Box<dyn FnOnce() + Send>
    });
    let outcome = simulation.run(tasks.collect())?;
    let mut times = histogram();
    for Done { worker, result } in mem::take(&mut *done.lock()) {
        drop(worker);
        times.add(result?).expect("they have the same bounds");
    }
    // Every counter must be zero, as after a real run.
    setup.end()?;
    let progress = progress.lock();
    Ok(Run {
        outcome,
        operations: progress.operations,
        times,
        length: progress.end.since(progress.begin),
    })
}

/// Repeats the operation until the measured part is over. Returns the times in it.
fn repeat(
    worker: &mut dyn Worker,
    progress: &Mutex<Progress>,
) -> Result<Histogram<u64>, Unexpected> {
    let clock = || now().expect("a core runs this");
    let mut times = histogram();
    loop {
        let begin = clock();
        worker.run(1)?;
        let end = clock();
        match progress.lock().count(end) {
            Part::WarmUp => {}
            Part::Measured => times.saturating_record((end - begin).as_ns().round() as u64),
            Part::Over => return Ok(times),
        }
    }
}
