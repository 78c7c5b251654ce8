//! A machine, and tasks for its cores.

use std::sync::Arc;

use rcmgr_machine::{Machine, Outcome, Simulation, Time};

/// What a core does.
pub type Task = Box<dyn FnOnce() + Send>;

/// A line of its own for each value.
#[derive(Default)]
#[repr(align(64))]
pub struct Padded<T>(pub T);

pub fn machine() -> Machine {
    Machine::shipped("one-socket").unwrap()
}

pub fn ns(ns: f64) -> Time {
    Time::from_ns(ns)
}

/// A task for each core.
pub fn tasks<S: Send + Sync + 'static>(
    cores: usize,
    shared: &Arc<S>,
    task: fn(&S, usize),
) -> Vec<Task> {
    let one = |core| -> Task {
        let shared = Arc::clone(shared);
        Box::new(move || task(&shared, core))
    };
    (0..cores).map(one).collect()
}

/// Runs a task on each core of the machine, with some work before each access.
pub fn run<S: Send + Sync + 'static>(
    cores: usize,
    shared: &Arc<S>,
    task: fn(&S, usize),
) -> Outcome {
    let simulation = Simulation::new(machine()).work(ns(5.0));
    simulation.run(tasks(cores, shared, task)).unwrap()
}
