//! The time that a core works between its accesses, from a measurement on one real thread.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rcmgr_machine::{
    Costs, Machine, Simulation, Time, Work as WorkOfCore, measure_from_now, measure_until_now,
};

use crate::case::Case;
use crate::engine::{Engine, Setup, Unexpected, Worker};
use crate::measure::{Slice, latency, throughput_from, warm_up};
use crate::report::Rounds;
use crate::study::percentiles;

/// Long enough that the engine has credit where it is used, as in the simulation.
const WARM_UP: Duration = Duration::from_millis(10);
const LATENCIES: Duration = Duration::from_millis(3);
pub const SLICE: Duration = Duration::from_millis(1);

/// The operations of one core that measure the work between its accesses. So many before them warm up.
const OPERATIONS: u64 = 2000;

/// Turns go on until so many are undisturbed, or until there are so many in all.
const ENOUGH: usize = 9;
const MOST: usize = 30;

/// The least number of undisturbed turns that count alone.
const LEAST: usize = 3;

/// The least cost of an access, in nanoseconds: if accesses took no time, a core that waits in a loop would wait for ever.
const LEAST_COST: f64 = 0.001;

/// The work of an engine in a case.
#[derive(Debug, Clone)]
pub struct Work {
    /// The time of an operation on one real thread, in nanoseconds.
    pub real_ns: f64,
    /// The work of an operation, in nanoseconds.
    pub ns: f64,
    /// The work before each access.
    pub of_core: WorkOfCore,
    /// The part of their costs that the accesses take. A real core does some of them at once, so it is less than one if
    /// they alone take longer than the real operation.
    pub part: f64,
}

/// One case on real threads.
struct Real {
    threads: usize,
    setup: Box<dyn Setup>,
    workers: Vec<Box<dyn Worker>>,
    batch: u64,
}

/// The measurement of cases on real threads: one round, the median of turns, and only of those in which no thread was
/// preempted, if there are enough. The cases take turns, because the speed of a machine varies, and they are compared.
/// Turns are close to each other in time, so their differences do not say how much it varies.
///
/// # Errors
///
/// [`Unexpected`], if an operation had another result than expected.
pub fn measured(engine: &dyn Engine, cases: &[Case]) -> Result<Vec<Rounds>, Unexpected> {
    let set_up = |&case: &Case| {
        let setup = engine.set_up(&case)?;
        let mut workers = setup.workers(&case)?;
        let batch = warm_up(&mut workers, WARM_UP)?;
        Ok::<_, Unexpected>(Real {
            threads: case.threads,
            setup,
            workers,
            batch,
        })
    };
    let mut cases: Vec<Real> = cases.iter().map(set_up).collect::<Result<_, _>>()?;
    // 1. A slice of each case makes a turn. The cores of a machine are not equally fast, so a case with fewer
    //    threads runs on each of them.
    let cores = cases.iter().map(|real| real.threads).max().unwrap_or(1);
    let mut turns: Vec<Vec<Slice>> = Vec::new();
    let is_undisturbed = |turn: &[Slice]| turn.iter().all(|slice| slice.undisturbed);
    let undisturbed =
        |turns: &[Vec<Slice>]| turns.iter().filter(|turn| is_undisturbed(turn)).count();
    while undisturbed(&turns) < ENOUGH && turns.len() < MOST {
        let slice = |real: &mut Real| {
            let on = |first_core| throughput_from(first_core, &mut real.workers, real.batch, SLICE);
            let slices = (0..=cores - real.threads).step_by(real.threads).map(on);
            let slices: Vec<Slice> = slices.collect::<Result<_, _>>()?;
            let all = slices.into_iter().reduce(Slice::and);
            Ok::<_, Unexpected>(all.expect("there is a core"))
        };
        turns.push(cases.iter_mut().map(slice).collect::<Result<_, _>>()?);
    }
    if undisturbed(&turns) >= LEAST {
        turns.retain(|turn| is_undisturbed(turn));
    }
    // 2. Latencies apart: the clock disturbs the throughput.
    let end = |(at, real): (usize, Real)| {
        let Real {
            setup, mut workers, ..
        } = real;
        let mut rounds = Rounds {
            latencies: percentiles(&latency(&mut workers, LATENCIES)?),
            ..Rounds::default()
        };
        turns.iter().for_each(|turn| rounds.add(&turn[at]));
        let rounds = rounds.into_median();
        drop(workers);
        setup.end()?;
        Ok(rounds)
    };
    cases.into_iter().enumerate().map(end).collect()
}

impl Work {
    /// The work of a case whose operation takes `real_ns` on one thread of the real machine, which has
    /// these costs.
    ///
    /// # Errors
    ///
    /// As [`measured`].
    pub fn of(
        engine: &dyn Engine,
        case: &Case,
        real_machine: &Machine,
        real_ns: f64,
    ) -> Result<Self, Unexpected> {
        let simulation = Simulation::new(real_machine.clone()).measure_work();
        let setup = simulation.set_up(|| engine.set_up(case))?;
        let mut workers = setup.workers(case)?;
        let mut worker = workers.pop().expect("one thread has a worker");
        let result = Arc::new(Mutex::new(Ok(())));
        let task = {
            let result = result.clone();
            move || {
                *result.lock() = worker.run(OPERATIONS).and_then(|()| {
                    measure_from_now();
                    let result = worker.run(OPERATIONS);
                    measure_until_now();
                    result
                });
            }
        };
        let outcome = simulation.run(vec![Box::new(task)])?;
        std::mem::replace(&mut *result.lock(), Ok(()))?;
        setup.end()?;
        let all = outcome.core_time.as_ns() / OPERATIONS as f64;
        let left = (real_ns - all).max(0.0);
        Ok(Self {
            real_ns,
            ns: left,
            of_core: outcome
                .work_times
                .scaled_to(Time::from_ns(left) * OPERATIONS),
            part: if all > real_ns { real_ns / all } else { 1.0 },
        })
    }

    /// The machine, with the costs of this work for accesses to lines that the core has.
    pub fn on(&self, machine: &Machine) -> Machine {
        let ns = machine.ns;
        let ns = Costs {
            hit: (ns.hit * self.part).max(LEAST_COST),
            update: (ns.update * self.part).max(LEAST_COST),
            fence: ns.fence * self.part,
            ..ns
        };
        Machine {
            ns,
            ..machine.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{Sharing, Workload};
    use crate::engines::simulated_engines;
    use crate::simulation::case::run;

    #[test]
    fn one_core_takes_the_measured_time_whatever_the_accesses_cost() {
        let machine = Machine::shipped("one-socket").expect("it is shipped");
        let engines = simulated_engines();
        let floor = engines.iter().find(|engine| engine.name() == "floor");
        let floor = &**floor.expect("it is simulated");
        let case = Case::new(Workload::Memory, Sharing::None, 1);
        for (real_ns, is_less) in [(20.0, true), (200.0, false)] {
            let work = Work::of(floor, &case, &machine, real_ns).unwrap();
            assert_eq!((work.part < 1.0, work.ns == 0.0), (is_less, is_less));
            let simulation = Simulation::new(work.on(&machine)).work(work.of_core.clone());
            let run = run(simulation, floor, &case, None, OPERATIONS).unwrap();
            let each = run.each().as_ns();
            assert!((each / real_ns - 1.0).abs() < 0.1, "{each} for {real_ns}");
        }
    }
}
