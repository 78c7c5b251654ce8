//! The time that a core works between its accesses, from a measurement on one real thread.

use std::time::Duration;

use rcmgr_machine::{Machine, Simulation, Time};

use crate::case::Case;
use crate::engine::{Engine, Setup, Unexpected, Worker};
use crate::measure::{Slice, latency, throughput_from, warm_up};
use crate::report::Rounds;
use crate::study::percentiles;

use super::case::run;

const WARM_UP: Duration = Duration::from_millis(3);
pub const SLICE: Duration = Duration::from_millis(1);

/// Turns go on until so many are undisturbed, or until there are so many in all.
const ENOUGH: usize = 11;
const MOST: usize = 50;

/// The least number of undisturbed turns that count alone.
const LEAST: usize = 3;

/// The work of an engine in a case.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Work {
    /// The time of an operation on one real thread, in nanoseconds.
    pub real_ns: f64,
    /// The accesses of an operation.
    pub accesses: f64,
    /// The work before each access.
    pub before_access: Time,
}

/// One case on real threads.
struct Real {
    threads: usize,
    setup: Box<dyn Setup>,
    workers: Vec<Box<dyn Worker>>,
    batch: u64,
}

/// The measurements of cases on real threads: those in which no thread was preempted, if there are enough.
/// The cases take turns, because the speed of a machine varies, and they are compared.
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
            latencies: percentiles(&latency(&mut workers, WARM_UP)?),
            ..Rounds::default()
        };
        turns.iter().for_each(|turn| rounds.add(&turn[at]));
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
        operations: u64,
    ) -> Result<Self, Unexpected> {
        let simulation = Simulation::new(real_machine.clone());
        let run = run(simulation, engine, case, None, operations)?;
        let accesses = run.outcome.accesses as f64 / run.operations.max(1) as f64;
        // If the accesses alone take longer than the real operation, there is no work.
        let left = (real_ns - run.each().as_ns()).max(0.0);
        Ok(Self {
            real_ns,
            accesses,
            before_access: Time::from_ns(left / accesses.max(1.0)),
        })
    }
}
