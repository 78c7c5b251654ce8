//! How long a core waits for lines, and where it works.

mod support;

use std::hint::black_box;
use std::sync::Arc;

use rcmgr_machine::{
    Arc as Shared, AtomicU64, Backoff, Mutex, Ordering, Simulation, SpinMutex, Time,
    measure_from_now, now, work,
};

use support::{Padded, Task, machine, ns, run, tasks};

/// How long a core waits that accesses five lines of another core one after the other.
fn waits_for_five_lines(access: fn(&AtomicU64)) -> Time {
    let words: Arc<[Padded<AtomicU64>; 5]> = Arc::default();
    let tasks: Vec<Task> = vec![
        {
            let words = Arc::clone(&words);
            Box::new(move || {
                for word in words.iter() {
                    word.0.store(1, Ordering::Release);
                }
            })
        },
        {
            let words = Arc::clone(&words);
            Box::new(move || {
                work(ns(10_000.0));
                measure_from_now();
                words.iter().for_each(|word| access(&word.0));
            })
        },
    ];
    Simulation::new(machine()).run(tasks).unwrap().lost
}

#[test]
fn a_core_waits_for_the_lines_of_loads_together_and_for_those_of_updates_one_by_one() {
    let transfer = ns(machine().ns.within_cluster);
    let loads = waits_for_five_lines(|word| _ = word.load(Ordering::Acquire));
    let updates = waits_for_five_lines(|word| _ = word.fetch_add(1, Ordering::AcqRel));
    let pauses = waits_for_five_lines(|word| {
        word.load(Ordering::Acquire);
        Backoff::new().spin();
    });
    // Times vary.
    assert!(loads < transfer * 3, "{loads:?}");
    for waited in [updates, pauses] {
        assert!(waited > transfer * 3, "{waited:?}");
    }
}

/// The transfers of two cores that take a lock one after the other.
fn transfers_of_lock<T: Send + 'static>(value: T) -> u64 {
    let shared = Arc::new(Padded(Mutex::new(value)));
    let outcome = run(2, &shared, |shared, core| {
        work(Time::from_ns(10_000.0) * core as u64);
        drop(shared.0.lock());
    });
    outcome.transfers
}

#[test]
fn the_lines_of_a_value_move_with_its_lock() {
    let small = transfers_of_lock(0_u64);
    assert_eq!(small, 2, "to each core once");
    // Three more lines. Each comes from memory first.
    let large = transfers_of_lock([0_u64; 24]);
    assert!(large >= small + 2 * 3, "{large}");
}

/// How long a core takes with a lock that another one had long before, without other work.
fn time_with_lock<L: Send + Sync + 'static>(lock: L, take: fn(&L)) -> Time {
    let shared = Arc::new(Padded((lock, take)));
    let begin = ns(10_000.0);
    let mut machine = machine();
    machine.loads_take = true;
    let outcome = Simulation::new(machine).run(tasks(2, &shared, |shared, core| {
        work(Time::from_ns(10_000.0) * core as u64);
        (shared.0.1)(&shared.0.0);
    }));
    outcome.unwrap().end - begin
}

#[test]
fn the_second_line_of_a_value_is_asked_for_together_with_its_lock() {
    let costs = machine().ns;
    let small = time_with_lock(Mutex::new(0_u64), |lock| drop(lock.lock()));
    let large = time_with_lock(Mutex::new([0_u64; 8]), |lock| drop(lock.lock()));
    // One transfer after the other would add 48 ns.
    assert!(
        large < small + ns(costs.within_cluster / 2.0),
        "{small:?} {large:?}"
    );
}

#[test]
fn each_more_line_of_a_value_comes_a_request_later() {
    // On average: the transfer of a lock varies.
    let time = |lock: fn() -> Box<dyn Fn() + Send + Sync>| {
        let times = (0..200).map(|seed| {
            let shared = Arc::new(lock());
            let mut machine = machine();
            machine.loads_take = true;
            let simulation = Simulation::new(machine).seed(seed);
            let outcome = simulation.run(tasks(2, &shared, |lock, core| {
                work(Time::from_ns(10_000.0) * core as u64);
                lock();
            }));
            outcome.unwrap().end.as_ns() - 10_000.0
        });
        times.sum::<f64>() / 200.0
    };
    let small = time(|| {
        let lock = Padded(Mutex::new(0_u64));
        Box::new(move || drop(lock.0.lock()))
    });
    let large = time(|| {
        let lock = Padded(Mutex::new([0_u64; 47]));
        Box::new(move || drop(lock.0.lock()))
    });
    // Five more lines. Without variation of each they take five requests longer, and some hits.
    assert!((30.0..60.0).contains(&(large - small)), "{small} {large}");
}

#[test]
fn a_core_does_not_look_ahead_for_ever() {
    let lost = |between: f64| {
        let loads = |words: &[Padded<AtomicU64>; 5]| words.iter().for_each(load);
        mean_wait(ns(between), loads).as_ns()
    };
    let transfer = machine().ns.within_cluster;
    // With 30 ns of work before each load, it asks for four lines together.
    assert!(lost(30.0) < 2.9 * transfer, "{}", lost(30.0));
    assert!(lost(150.0) > 3.5 * transfer, "{}", lost(150.0));
}

/// How long a core waits on average that accesses lines of another core, with this work before each access.
fn mean_wait(before_each: Time, access: fn(&[Padded<AtomicU64>; 5])) -> Time {
    const RUNS: u64 = 200;
    let one = |seed| {
        let shared = Arc::new((<[Padded<AtomicU64>; 5]>::default(), access));
        let run = tasks(2, &shared, |(words, access), core| {
            if core == 0 {
                words
                    .iter()
                    .for_each(|word| word.0.store(1, Ordering::Release));
            } else {
                work(ns(100_000.0));
                measure_from_now();
                access(words);
            }
        });
        let simulation = Simulation::new(machine()).work(before_each).seed(seed);
        simulation.run(run).unwrap().lost.as_ns()
    };
    ns((0..RUNS).map(one).sum::<f64>() / RUNS as f64)
}

fn load(word: &Padded<AtomicU64>) {
    word.0.load(Ordering::Acquire);
}

#[test]
fn a_core_looks_ahead_over_a_store() {
    let mean = |access| mean_wait(Time::ZERO, access).as_ns();
    let without = mean(|words| words[..2].iter().for_each(load));
    let with = mean(|words| {
        load(&words[0]);
        words[4].0.store(2, Ordering::Release);
        load(&words[1]);
    });
    let transfer = machine().ns.within_cluster;
    assert!(with < without + 0.2 * transfer, "{with} {without}");
    assert!(without < 1.6 * transfer, "{without}");
}

#[test]
fn a_reference_to_a_shared_value_takes_its_line() {
    // To read the value is no access.
    let shared = Arc::new(Shared::new(7_u64));
    let outcome = run(2, &shared, |shared, core| {
        work(Time::from_ns(10_000.0) * core as u64);
        let reference = Shared::clone(shared);
        assert!(Shared::ptr_eq(&reference, shared));
        assert_eq!(*reference, 7);
    });
    // Each adds one and takes one away.
    assert_eq!((outcome.accesses, outcome.transfers), (4, 2));
}

#[test]
fn work_is_measured_where_it_is_done() {
    const TIMES: u64 = 500;
    let shared: Arc<([Padded<AtomicU64>; 2], Mutex<Time>)> = Arc::default();
    // All work is between the load and the addition.
    let task = |(lines, longest): &([Padded<AtomicU64>; 2], Mutex<Time>), _: usize| {
        let mut between = Time::ZERO;
        for time in 0..TIMES {
            lines[0].0.load(Ordering::Relaxed);
            let loaded = now().unwrap();
            (0..4000).for_each(|number| _ = black_box(number ^ time));
            lines[1].0.fetch_add(1, Ordering::Relaxed);
            between += now().unwrap() - loaded;
        }
        *longest.lock() = between;
    };
    let measured = Simulation::new(machine()).measure_work();
    let measured = measured.run(tasks(1, &shared, task)).unwrap();
    let all = ns(100.0) * TIMES;
    let work = measured.work_times.scaled_to(all);
    let outcome = Simulation::new(machine()).work(work);
    outcome.run(tasks(1, &shared, task)).unwrap();
    // The clock measures with some error, and the work varies.
    let between = shared.1.lock().as_ns();
    assert!(between > 0.8 * all.as_ns(), "{between}");
}

#[test]
fn a_plain_store_unlocks_a_spin_mutex() {
    let costs = machine().ns;
    let mutex = time_with_lock(Mutex::new(0_u64), |lock| drop(lock.lock()));
    let spin = time_with_lock(SpinMutex::new(0_u64), |lock| drop(lock.try_lock()));
    assert_eq!(mutex - spin, ns(costs.update - costs.hit));
}
