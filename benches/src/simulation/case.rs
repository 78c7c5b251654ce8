//! One case on a simulated machine.

use std::mem;
use std::sync::Arc;

use hdrhistogram::Histogram;
use parking_lot::Mutex;
use rcmgr_machine::{Outcome, Simulation, Time, measure_from_now, measure_until_now, now};

use crate::case::Case;
use crate::engine::{Engine, Unexpected, Worker};
use crate::measure::histogram;

/// The warm-up goes on in steps. The measured part is as long as this many of them.
const MEASURED: usize = 8;

/// The least and the most steps of the warm-up. The engine needs many until its credit is where it is used.
const LEAST_WARM_UP: usize = 8 * MEASURED;
const MOST_WARM_UP: usize = 8 * LEAST_WARM_UP;

/// The warm-up ends when its latest groups of this many steps take about the same time: the shortest at least
/// this part of the longest. (Where many paths start, the cores get faster, then slower, then faster again.)
const GROUPS: usize = 4;
const GROUP: usize = MEASURED;
const STEADY: f64 = 0.95;

/// Where more than two cores are this many times slower than one alone on the same machine, these numbers
/// count in place of those above, and there is no least number of steps.
const SLOW: f64 = 8.0;
const GROUP_OF_SLOW: usize = 2;
const STEADY_OF_SLOW: f64 = 0.9;

/// Where they are so slow, the measured part ends when it has taken this many times as long as one core alone
/// takes, but not before this part of its operations.
const LEAST_MEASURED: u64 = 20;

/// Up to this many cores, no part ends early.
const FEW_CORES: u64 = 2;

/// The progress of all cores together. They run one at a time, in the order of simulated time.
#[derive(Debug)]
struct Progress {
    cores: u64,
    /// The operations of each core in a step, and in the measured part.
    step: u64,
    measured: u64,
    /// The time of an operation on one core alone, where there are more.
    alone: Option<Time>,
    part: Part,
    operations: u64,
    /// The time of each step of the warm-up, in nanoseconds.
    steps: Vec<f64>,
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
    fn new(cores: u64, measured: u64, alone: Option<Time>) -> Self {
        Self {
            cores,
            step: measured.div_ceil(MEASURED as u64),
            measured,
            alone,
            part: Part::WarmUp,
            operations: 0,
            steps: Vec::new(),
            begin: Time::ZERO,
            end: Time::ZERO,
        }
    }

    /// Counts an operation that ended now. The result is the part that it belongs to.
    fn count(&mut self, now: Time) -> Part {
        let part = self.part;
        if part == Part::Over {
            return part;
        }
        self.operations += 1;
        let length = now.since(self.begin).as_ns();
        if part == Part::WarmUp && self.operations == self.step * self.cores {
            self.steps.push(length);
            self.operations = 0;
            self.begin = now;
            if self.is_warm() {
                self.part = Part::Measured;
                measure_from_now();
            }
        } else if part == Part::Measured {
            let enough = match self.is_slow(length, self.measured) {
                true => self.measured / LEAST_MEASURED,
                false => self.measured,
            };
            if self.operations >= enough.max(1) * self.cores {
                self.part = Part::Over;
                self.end = now;
                // The cores go on to the end of their operations, which are not counted.
                measure_until_now();
            }
        }
        part
    }

    /// Whether the warm-up is over.
    fn is_warm(&self) -> bool {
        let steps = &self.steps;
        let latest: f64 = steps.iter().rev().take(GROUP_OF_SLOW).sum();
        let (least, group, steady) = match self.is_slow(latest, GROUP_OF_SLOW as u64 * self.step) {
            true => (0, GROUP_OF_SLOW, STEADY_OF_SLOW),
            false => (LEAST_WARM_UP, GROUP, STEADY),
        };
        let is_steady = steps.len() >= least && is_steady(steps, group, steady);
        is_steady || steps.len() >= MOST_WARM_UP
    }

    /// Whether this time is too long for so many operations of each core.
    fn is_slow(&self, length_ns: f64, operations: u64) -> bool {
        self.cores > FEW_CORES
            && self
                .alone
                .is_some_and(|alone| length_ns > SLOW * alone.as_ns() * operations as f64)
    }
}

/// Whether the latest groups of this many steps took about the same time.
fn is_steady(steps: &[f64], group: usize, part: f64) -> bool {
    let groups = steps.rchunks_exact(group).take(GROUPS);
    let times = groups.map(|group| group.iter().sum::<f64>());
    let least = times.clone().fold(f64::INFINITY, f64::min);
    let most = times.fold(0.0, f64::max);
    steps.len() >= GROUPS * group && least >= part * most
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
    let progress = Progress::new(case.threads as u64, measured, alone);
    let progress = Arc::new(Mutex::new(progress));
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

#[cfg(test)]
mod tests {
    use super::*;

    const CORES: u64 = 4;
    const OPERATIONS: u64 = 400;
    const ALONE: f64 = 100.0;

    /// The number of steps of the warm-up, and of operations that are measured, if the operations of a step take
    /// this time, relative to one core alone.
    fn parts(cores: u64, time: impl Fn(usize) -> f64) -> (usize, u64) {
        let mut progress = Progress::new(cores, OPERATIONS, Some(Time::from_ns(ALONE)));
        let mut now = Time::ZERO;
        while progress.part != Part::Over {
            now += Time::from_ns(ALONE * time(progress.steps.len()) / cores as f64);
            progress.count(now);
        }
        // Operations that end later are not counted.
        assert_eq!(progress.count(now), Part::Over);
        (progress.steps.len(), progress.operations / cores)
    }

    #[test]
    fn the_warm_up_ends_when_the_time_is_steady() {
        assert_eq!(parts(CORES, |_| 1.0), (LEAST_WARM_UP, OPERATIONS));
        // 1 % faster with each step.
        let faster_until =
            |end: usize| parts(CORES, move |step| 0.99_f64.powi(step.min(end) as i32));
        let (steps, measured) = faster_until(100);
        assert!((100..=100 + GROUPS * GROUP).contains(&steps), "{steps}");
        assert_eq!(measured, OPERATIONS);
        assert_eq!(faster_until(usize::MAX).0, MOST_WARM_UP);
        // Slower for some time.
        let bump = parts(
            CORES,
            |step| if (60..80).contains(&step) { 3.0 } else { 1.0 },
        );
        assert!(
            (80 + 3 * GROUP..=80 + GROUPS * GROUP).contains(&bump.0),
            "{bump:?}"
        );
    }

    #[test]
    fn slow_cores_stop_early_unless_they_get_faster() {
        let slow = 2.0 * SLOW;
        assert_eq!(
            parts(CORES, |_| slow),
            (GROUPS * GROUP_OF_SLOW, OPERATIONS / 2)
        );
        let least = (GROUPS * GROUP_OF_SLOW, OPERATIONS / LEAST_MEASURED);
        assert_eq!(parts(CORES, |_| 100.0 * SLOW), least);
        // At the start alone.
        let at_the_start = |step: usize| slow * 0.9_f64.powi(step as i32) + 1.0;
        assert_eq!(parts(CORES, at_the_start).1, OPERATIONS);
        assert!(parts(CORES, at_the_start).0 >= LEAST_WARM_UP);
        // Up to two cores, never.
        assert_eq!(parts(FEW_CORES, |_| slow), (LEAST_WARM_UP, OPERATIONS));
    }
}
