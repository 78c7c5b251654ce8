//! The time that a core works between its accesses, from a measurement on one real thread.

use std::time::Duration;

use rcmgr_machine::{Machine, Simulation, Time};

use crate::case::Case;
use crate::engine::{Engine, Unexpected};
use crate::measure::{Slice, latency, throughput, warm_up};
use crate::report::Rounds;
use crate::study::percentiles;

use super::case::run;

const WARM_UP: Duration = Duration::from_millis(3);
pub const SLICE: Duration = Duration::from_millis(1);

/// Measurements go on until so many are undisturbed, or until there are so many in all.
const ENOUGH: usize = 15;
const MOST: usize = 150;

/// The least number of undisturbed measurements that count alone.
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

/// The measurements of a case on real threads: those in which no thread was preempted, if there are enough.
///
/// # Errors
///
/// [`Unexpected`], if an operation had another result than expected.
pub fn measured(engine: &dyn Engine, case: &Case) -> Result<Rounds, Unexpected> {
    let setup = engine.set_up(case)?;
    let mut workers = setup.workers(case)?;
    let batch = warm_up(&mut workers, WARM_UP)?;
    let mut all: Vec<Slice> = Vec::new();
    let undisturbed = |all: &[Slice]| all.iter().filter(|slice| slice.undisturbed).count();
    while undisturbed(&all) < ENOUGH && all.len() < MOST {
        all.push(throughput(&mut workers, batch, SLICE)?);
    }
    let is_enough = undisturbed(&all) >= LEAST;
    let mut rounds = Rounds {
        latencies: percentiles(&latency(&mut workers, WARM_UP)?),
        ..Rounds::default()
    };
    for slice in all.iter().filter(|slice| slice.undisturbed || !is_enough) {
        rounds.add(slice);
    }
    drop(workers);
    setup.end()?;
    Ok(rounds)
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
