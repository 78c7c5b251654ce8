//! Runs of tasks on simulated machines: totals are exact, the time adds up, and a seed gives the same
//! run.

mod support;

use std::sync::Arc;

use rcmgr_machine::{
    AtomicU64, AtomicU128, Backoff, Machine, Mutex, OnceBox, Ordering, Outcome, RunError,
    Simulation, SpinMutex, Time, current_core, measure_from_now, measure_until_now, now, work,
};

use support::{Padded, machine, ns, run, tasks};

/// One core without work between the accesses.
fn run_alone<S: Send + Sync + 'static>(shared: &Arc<S>, task: fn(&S, usize)) -> Outcome {
    let simulation = Simulation::new(machine());
    simulation.run(tasks(1, shared, task)).unwrap()
}

#[test]
fn one_core_pays_for_each_access_and_for_the_work_before_it() {
    let costs = machine().ns;
    let counter = Arc::new(Padded(AtomicU64::new(0)));
    let simulation = Simulation::new(machine());
    let outcome = simulation
        .run(tasks(1, &counter, |counter, _| {
            work(Time::from_ns(7.0));
            (0..10).for_each(|_| _ = counter.0.fetch_add(1, Ordering::Relaxed));
            counter.0.load(Ordering::Relaxed);
        }))
        .unwrap();
    let expected = 7.0 + costs.memory + 10.0 * costs.update + costs.hit;
    assert_eq!(outcome.end, ns(expected));
    assert_eq!((outcome.accesses, outcome.transfers), (11, 1));
    assert_eq!(outcome.lost, ns(costs.memory + costs.update));
    assert_eq!(outcome.waited, Time::ZERO);
}

#[test]
fn a_line_that_all_cores_write_serves_one_of_them_at_a_time() {
    const CORES: usize = 64;
    const EACH: u64 = 50;
    let costs = machine().ns;
    let counter = Arc::new(Padded(AtomicU64::new(0)));
    let outcome = run(CORES, &counter, |counter, _| {
        (0..EACH).for_each(|_| _ = counter.0.fetch_add(1, Ordering::Relaxed));
    });
    let all = CORES as u64 * EACH;
    assert_eq!(counter.0.load(Ordering::Relaxed), all);
    assert_eq!(outcome.accesses, all);
    // In the end fewer cores take turns, and the last one keeps the line.
    assert!(outcome.transfers > all * 9 / 10, "{outcome:?}");
    // A transfer takes its time on average.
    let step = 0.95 * (costs.within_cluster + costs.update);
    assert!(outcome.end >= ns(step) * outcome.transfers);
    // Each access but the first ones waits for those of all other cores.
    assert!(outcome.waited > ns(step) * (all * 50), "{outcome:?}");
    let [hottest] = &outcome.hottest[..] else {
        panic!("{outcome:?}")
    };
    assert_eq!(hottest.transfers, outcome.transfers);
    assert_eq!(hottest.lost, outcome.lost);
    assert!(hottest.name.contains("tests/runs.rs:"), "{}", hottest.name);
}

#[test]
fn lines_of_their_own_let_all_cores_run_at_full_speed() {
    let counters: Arc<Vec<_>> = Arc::new((0..64).map(|_| Padded(AtomicU64::new(0))).collect());
    let count = |counters: &Vec<Padded<AtomicU64>>, core: usize| {
        (0..50).for_each(|_| _ = counters[core].0.fetch_add(1, Ordering::Relaxed));
    };
    let alone = run(1, &counters, count);
    let together = run(64, &counters, count);
    assert_eq!((alone.transfers, together.transfers), (1, 64));
    // The work varies by a quarter at most.
    assert!(together.end < alone.end + ns(5.0 * 50.0 * 0.5));
}

#[test]
fn two_values_on_one_line_share_it_falsely() {
    let pair = Arc::new(Padded([AtomicU64::new(0), AtomicU64::new(0)]));
    let outcome = run(2, &pair, |pair, core| {
        (0..50).for_each(|_| _ = pair.0[core].fetch_add(1, Ordering::Relaxed));
    });
    // On lines of their own it would be two. A core works on its value until the other one asks.
    assert!((30..=90).contains(&outcome.transfers), "{outcome:?}");
}

#[test]
fn a_seed_gives_the_same_run_and_another_one_another() {
    let run = |seed| {
        let shared = Arc::new(Padded((AtomicU64::new(0), Mutex::new(0))));
        let simulation = Simulation::new(machine()).work(ns(20.0)).seed(seed);
        let outcome = simulation.run(tasks(16, &shared, |shared, core| {
            for turn in 0..20 {
                let value = shared.0.0.load(Ordering::Relaxed);
                let new = value + turn;
                let changed =
                    shared
                        .0
                        .0
                        .compare_exchange(value, new, Ordering::Relaxed, Ordering::Relaxed);
                if changed.is_err() {
                    *shared.0.1.lock() += core;
                }
            }
        }));
        outcome.unwrap()
    };
    let first = run(1);
    assert!(first.failed_cas > 0);
    assert_eq!(run(1), first);
    assert_ne!(run(2).end, first.end);
}

/// Two cores add to a word by a load and a compare-and-swap. A load takes the line from the other core.
fn lockstep(kept: f64) -> Outcome {
    let mut machine = machine();
    machine.loads_take = true;
    machine.ns.kept = kept;
    let word = Arc::new(Padded(AtomicU64::new(0)));
    let simulation = Simulation::new(machine).work(ns(0.1));
    let add = tasks(2, &word, |word, _| {
        for _ in 0..2000 {
            let mut value = word.0.load(Ordering::Relaxed);
            while let Err(now) =
                word.0
                    .compare_exchange(value, value + 1, Ordering::Relaxed, Ordering::Relaxed)
            {
                value = now;
            }
        }
    });
    let outcome = simulation.run(add).unwrap();
    assert_eq!(word.0.load(Ordering::Relaxed), 4000);
    outcome
}

#[test]
fn a_core_rarely_loses_a_line_between_a_load_and_a_compare_and_swap() {
    let outcome = lockstep(20.0);
    // Far more often than not it keeps the line for long enough, and now and then it does not.
    assert!((1..800).contains(&outcome.failed_cas), "{outcome:?}");
    let at_once = lockstep(0.0);
    assert!(at_once.failed_cas > outcome.failed_cas, "{at_once:?}");
}

#[test]
fn a_failed_compare_and_swap_is_counted_at_its_line() {
    let word = Arc::new(Padded(AtomicU128::new(0)));
    let outcome = run(8, &word, |word, _| {
        for _ in 0..30 {
            let mut value = word.0.load(Ordering::Relaxed);
            while let Err(now) =
                word.0
                    .compare_exchange_weak(value, value + 1, Ordering::Relaxed, Ordering::Relaxed)
            {
                value = now;
            }
        }
    });
    assert_eq!(word.0.load(Ordering::Relaxed), 240);
    assert!(outcome.failed_cas > 0);
    assert_eq!(outcome.hottest[0].failed_cas, outcome.failed_cas);
}

#[test]
fn a_mutex_lets_one_core_in_and_wakes_those_that_wait() {
    const CORES: usize = 32;
    let costs = machine().ns;
    let shared = Arc::new((Mutex::new(0_u64), AtomicU64::new(0)));
    // The lock is held for so long that the others stop spinning.
    let outcome = run(CORES, &shared, |(sum, inside), _| {
        for _ in 0..4 {
            let mut sum = sum.lock();
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
            work(Time::from_ns(50_000.0));
            assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
            *sum += 1;
        }
    });
    assert_eq!(*shared.0.lock(), CORES as u64 * 4);
    assert!(outcome.end > ns(50_000.0) * (CORES as u64 * 4));
    // No waiter is forgotten for longer than it takes to wake it.
    let wake = costs.wake + costs.wake_latency + 10.0 * costs.yield_now;
    assert!(outcome.end < ns(50_000.0 + wake) * (CORES as u64 * 4));
}

#[test]
fn a_spin_mutex_lets_one_core_in() {
    const CORES: usize = 8;
    let shared = Arc::new((SpinMutex::new(0_u64), AtomicU64::new(0)));
    run(CORES, &shared, |(sum, inside), _| {
        for _ in 0..50 {
            let backoff = Backoff::new();
            let mut sum = loop {
                match sum.try_lock() {
                    Some(sum) => break sum,
                    None => backoff.spin(),
                }
            };
            assert_eq!(inside.fetch_add(1, Ordering::Relaxed), 0);
            *sum += 1;
            assert_eq!(inside.fetch_sub(1, Ordering::Relaxed), 1);
        }
    });
    assert_eq!(*shared.0.try_lock().unwrap(), CORES as u64 * 50);
}

#[test]
fn the_work_before_an_access_has_its_mean_and_varies() {
    const ACCESSES: u64 = 20_000;
    let each = machine().ns.update + 100.0;
    let counter = Arc::new(Padded(AtomicU64::new(0)));
    for seed in 0..3 {
        let simulation = Simulation::new(machine()).work(ns(100.0)).seed(seed);
        let outcome = simulation.run(tasks(1, &counter, |counter, _| {
            let mut longest = Time::ZERO;
            let mut last = now().unwrap();
            for _ in 0..ACCESSES {
                counter.0.fetch_add(1, Ordering::Relaxed);
                let end = now().unwrap();
                longest = longest.max(end.since(last));
                last = end;
            }
            // One in a thousand is seven times as long as the mean.
            assert!(longest > Time::from_ns(700.0), "{longest:?}");
        }));
        let ratio = outcome.unwrap().end.as_ns() / (each * ACCESSES as f64);
        assert!((0.97..1.03).contains(&ratio), "{ratio}");
    }
}

#[test]
fn a_try_of_a_taken_lock_fails_at_once() {
    let shared = Arc::new((Mutex::new(()), AtomicU64::new(0)));
    run(2, &shared, |(lock, refused), core| {
        if core == 0 {
            let _guard = lock.lock();
            work(Time::from_ns(10_000.0));
        } else {
            work(Time::from_ns(1000.0));
            refused.store(u64::from(lock.try_lock().is_none()), Ordering::Relaxed);
            let seen = now().unwrap();
            assert!(seen < Time::from_ns(2000.0), "{seen:?}");
        }
    });
    assert_eq!(shared.1.load(Ordering::Relaxed), 1);
}

#[test]
fn pauses_grow_in_simulated_time() {
    let costs = machine().ns;
    let outcome = run(1, &Arc::new(()), |(), _| {
        let backoff = Backoff::new();
        (0..8).for_each(|_| backoff.spin());
    });
    // 1, 2, 4 and so on to 64, and 64 again.
    assert_eq!(outcome.end, ns(costs.pause) * (127 + 64));
}

#[test]
fn tasks_that_wait_for_each_other_end_the_run_with_an_error() {
    let shared = Arc::new([Mutex::new(()), Mutex::new(())]);
    let crossed = tasks(2, &shared, |locks: &[Mutex<()>; 2], core| {
        let _first = locks[core].lock();
        work(Time::from_ns(1000.0));
        let _second = locks[1 - core].lock();
    });
    let error = Simulation::new(machine()).run(crossed).unwrap_err();
    assert_eq!(error, RunError::Deadlock(2));
}

#[test]
fn more_tasks_than_cores_are_refused() {
    let many = tasks(3, &Arc::new(()), |(), _| panic!("it must not run"));
    let machine = Machine::shipped("two-core-vm").unwrap();
    let error = Simulation::new(machine).run(many).unwrap_err();
    let text = "3 tasks need as many cores, and two-core-vm has 2";
    assert_eq!(error.to_string(), text);
}

#[test]
fn only_the_measured_part_is_counted() {
    let counter = Arc::new(Padded(AtomicU64::new(0)));
    let task = |counter: &Padded<AtomicU64>, _: usize| {
        (0..100).for_each(|_| _ = counter.0.fetch_add(1, Ordering::Relaxed));
        measure_from_now();
        (0..7).for_each(|_| _ = counter.0.fetch_add(1, Ordering::Relaxed));
        measure_until_now();
        (0..50).for_each(|_| _ = counter.0.fetch_add(1, Ordering::Relaxed));
        // The part is over already.
        measure_until_now();
    };
    let outcome = run_alone(&counter, task);
    assert_eq!((outcome.accesses, outcome.transfers), (7, 0));
    let update = ns(machine().ns.update);
    assert_eq!(outcome.core_time, update * 7);
    assert_eq!(outcome.in_accesses, update * 7);
    assert!(outcome.end >= update * 157, "the run went on");
    assert!(outcome.hottest.is_empty());
}

/// The times of several cores end together: what is counted fits into their time.
#[test]
fn no_core_is_measured_after_the_end_of_the_measured_part() {
    let counter = Arc::new(Padded(AtomicU64::new(0)));
    let outcome = run(8, &counter, |counter, core| {
        for turn in 0..200 {
            counter.0.fetch_add(1, Ordering::Relaxed);
            match (core, turn) {
                (0, 50) => measure_from_now(),
                (0, 100) => measure_until_now(),
                _ => {}
            }
        }
    });
    assert!(outcome.in_accesses <= outcome.core_time, "{outcome:?}");
    // Eight cores, 50 turns each; one core may be some turns ahead.
    assert!((300..500).contains(&outcome.accesses), "{outcome:?}");
    let hot: u64 = outcome.hottest.iter().map(|hot| hot.transfers).sum();
    assert_eq!(hot, outcome.transfers);
}

#[test]
fn outside_of_a_run_the_stand_ins_are_ordinary() {
    let word = AtomicU64::new(1);
    assert_eq!(word.fetch_add(2, Ordering::SeqCst), 1);
    let cell = OnceBox::new();
    assert_eq!(*cell.get_or_init(|| Box::new(3)), 3);
    let mutex = Mutex::new(4);
    std::thread::scope(|scope| {
        (0..4).for_each(|_| _ = scope.spawn(|| *mutex.lock() += 1));
    });
    assert_eq!(*mutex.lock(), 8);
    assert_eq!((current_core(), now()), (None, None));
}

#[test]
#[should_panic = "of core 1"]
fn a_panic_of_a_task_is_the_panic_of_the_run() {
    let counter = Arc::new(AtomicU64::new(0));
    run(2, &counter, |counter, core| {
        (0..10).for_each(|_| _ = counter.fetch_add(1, Ordering::Relaxed));
        assert_ne!(core, 1, "of core {core}");
    });
}

#[test]
fn values_that_tasks_make_are_made_for_the_cores_of_the_machine() {
    let before = rcmgr_machine::cores();
    let made_for = Arc::new(AtomicU64::new(0));
    run(2, &made_for, |made_for, _| {
        made_for.store(rcmgr_machine::cores() as u64, Ordering::Relaxed);
    });
    assert_eq!(made_for.load(Ordering::Relaxed), machine().cores() as u64);
    assert_eq!(rcmgr_machine::cores(), before);
}
