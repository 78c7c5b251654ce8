//! The `mutex` engine on a simulated machine: the sources of the real one, with other locks.
#![allow(clippy::duplicate_mod, reason = "built a second time, on purpose")]

#[path = "mutex/handle.rs"]
mod handle;
#[path = "mutex/lock.rs"]
mod lock;
#[path = "mutex/manager.rs"]
mod manager;
#[path = "mutex/registry.rs"]
mod registry;
#[path = "mutex/scope.rs"]
mod scope;
#[path = "mutex/usage.rs"]
mod usage;

mod primitives {
    //! The atomics and locks of the simulated machine.

    pub use rcmgr_machine::{
        Arc as Shared, AtomicBool, Backoff, Mutex as Inner, MutexGuard as Guard, Ordering,
    };
    use rcmgr_machine::{Time, work};

    /// Names the memory of a scope, for the list of the hottest words.
    pub fn name_memory<T>(value: &Shared<T>, name: impl FnOnce() -> String) {
        Shared::name_memory(value, name);
    }

    /// Does nothing for as long as a thread of the real machine.
    pub fn rest() {
        work(Time::from_ns(3000.0));
    }
}

pub use manager::MutexResourceManager;

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcmgr_machine::{Machine, Simulation};

    use super::lock::Mutex;

    #[test]
    fn a_core_takes_the_lock_several_times_before_it_goes_to_another() {
        const TIMES: u64 = 2000;
        let machine = Machine::shipped("two-core-vm").unwrap();
        let simulation = Simulation::new(machine);
        let counter = Arc::new(Mutex::new(0));
        let task = |_| -> Box<dyn FnOnce() + Send> {
            let counter = counter.clone();
            Box::new(move || (0..TIMES).for_each(|_| *counter.lock() += 1))
        };
        let outcome = simulation.run((0..2).map(task).collect()).unwrap();
        assert_eq!(*counter.lock(), 2 * TIMES);
        // Two cores that met at each operation would move the line at least once for each.
        assert!(outcome.transfers < TIMES, "{}", outcome.transfers);
    }
}
