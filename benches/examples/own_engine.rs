//! An engine of one's own in the study: a counter for each scope that is charged by compare-and-swap.
//! It runs beside engines of the study, on this machine and on a simulated one with 32 cores.

use std::sync::atomic::{AtomicU64, Ordering};

use rcmgr_study::{
    Engine, Gauge, Options, Sharing, SimulationOptions, StudyError, Word, Workload, counting,
    engines, simulate_with, simulated_engines, study_with,
};

/// What is used of one scope. `W` is an atomic word of this machine or of the simulated one.
struct Cas<W> {
    limit: u64,
    used: W,
}

impl<W: Word> Gauge for Cas<W> {
    fn new(limit: u64, _threads: usize) -> Self {
        let used = W::default();
        Self { limit, used }
    }

    fn charge(&self, _thread: usize, amount: u64) -> Option<usize> {
        let mut used = self.used();
        while used + amount <= self.limit {
            match self.used.compare_exchange(used, used + amount) {
                Ok(_) => return Some(0),
                Err(now) => used = now,
            }
        }
        None
    }

    fn release(&self, _thread: usize, _place: usize, amount: u64) {
        self.used.fetch_sub(amount, Ordering::AcqRel);
    }

    fn used(&self) -> u64 {
        self.used.load(Ordering::Acquire)
    }
}

fn own<W: Word>() -> Box<dyn Engine> {
    counting::<Cas<W>>("own", "a compare-and-swap for each scope that is charged")
}

fn main() -> Result<(), StudyError> {
    let mut real = engines();
    real.push(own::<AtomicU64>());
    let names = ["floor", "atomic", "own"].map(String::from);
    let options = Options {
        workloads: vec![Workload::Memory],
        engines: names.to_vec(),
        threads: vec![1, 2],
        sharings: vec![Sharing::Path],
        seconds: 0.5,
        peers: 0,
        ..Options::quick()
    };
    for row in study_with(real, &options, &mut |_| {})?.rows {
        println!(
            "{:8} {:3} threads {:8.1} ns",
            row.engine, row.threads, row.ns_per_op
        );
    }

    let mut real = engines();
    real.push(own::<AtomicU64>());
    let mut simulated = simulated_engines();
    simulated.push(own::<rcmgr_machine::AtomicU64>());
    let machine = rcmgr_machine::Machine::shipped("one-socket").expect("it is shipped");
    let options = SimulationOptions {
        workloads: vec![Workload::Memory],
        engines: names.to_vec(),
        sharings: vec![Sharing::Path],
        ..SimulationOptions::new(machine, vec![1, 32])
    };
    for row in simulate_with(simulated, real, &options, &mut |_| {})?.rows {
        println!(
            "{:8} {:3} cores   {:8.1} ns",
            row.engine, row.threads, row.ns_per_op
        );
    }
    Ok(())
}
