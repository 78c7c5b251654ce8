//! Values are sequentially consistent: what the cores saw is what a replay of their accesses in the
//! order of the run gives.

use std::sync::{Arc, Mutex as RealMutex};

use proptest::prelude::*;
use rcmgr_machine::{AtomicU64, Machine, Ordering, Simulation, Time};

#[derive(Debug, Clone, Copy)]
enum Step {
    Load,
    Store(u64),
    Add(u64),
    Swap(u64),
    /// Replaces the value if it is the one that this core saw last.
    Exchange(u64),
}

fn step() -> impl Strategy<Value = (usize, Step)> {
    let kind = prop_oneof![
        Just(Step::Load),
        (0..9_u64).prop_map(Step::Store),
        (0..9_u64).prop_map(Step::Add),
        (0..9_u64).prop_map(Step::Swap),
        (0..9_u64).prop_map(Step::Exchange),
    ];
    (0..3_usize, kind)
}

/// Does the step, and returns the value that the core saw.
fn apply(word: &AtomicU64, step: Step, last: u64) -> u64 {
    match step {
        Step::Load => word.load(Ordering::Acquire),
        Step::Store(value) => {
            word.store(value, Ordering::Release);
            last
        }
        Step::Add(amount) => word.fetch_add(amount, Ordering::Relaxed),
        Step::Swap(value) => word.swap(value, Ordering::SeqCst),
        Step::Exchange(new) => word
            .compare_exchange(last, new, Ordering::AcqRel, Ordering::Acquire)
            .unwrap_or_else(|now| now),
    }
}

fn words() -> Vec<AtomicU64> {
    (0..3).map(AtomicU64::new).collect()
}

proptest! {
    #[test]
    fn what_cores_see_is_a_replay_in_the_order_of_the_run(
        programs in prop::collection::vec(prop::collection::vec(step(), 0..40), 1..8),
        seed in 0..9_u64,
    ) {
        // The order of the run: the core, its step, and the value that it saw.
        let order = Arc::new(RealMutex::new(Vec::new()));
        let shared = Arc::new(words());
        let tasks = programs.iter().cloned().enumerate().map(|(core, program)| {
            let (order, shared) = (order.clone(), shared.clone());
            Box::new(move || {
                let mut last = 0;
                for (word, step) in program {
                    last = apply(&shared[word], step, last);
                    order.lock().unwrap().push((core, word, step, last));
                }
            }) as Box<dyn FnOnce() + Send>
        });
        let machine = Machine::shipped("two-socket").unwrap();
        let simulation = Simulation::new(machine).work(Time::from_ns(3.0)).seed(seed);
        let outcome = simulation.run(tasks.collect()).unwrap();

        let order = order.lock().unwrap();
        let steps: usize = programs.iter().map(Vec::len).sum();
        prop_assert_eq!(order.len(), steps);
        prop_assert_eq!(outcome.accesses, steps as u64);
        let replayed = words();
        let mut last = vec![0; programs.len()];
        for &(core, word, step, saw) in &*order {
            last[core] = apply(&replayed[word], step, last[core]);
            prop_assert_eq!(last[core], saw);
        }
        for (word, replayed) in shared.iter().zip(&replayed) {
            prop_assert_eq!(word.load(Ordering::Relaxed), replayed.load(Ordering::Relaxed));
        }
    }
}
