//! Tests of what the gauges promise: exact on one thread, never over a limit on several, and a bound
//! of the room that is refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use fastrand::Rng;
use rcmgr_machine::{Machine, Simulation};

use super::gauge::Gauge;
use super::sloppy::{SPARE, Sloppy};
use super::striped::Striped;

/// Charges and releases at random on one thread, beside a plain number.
fn compare_on_one_thread<G: Gauge>() {
    const LIMIT: u64 = 1000;
    for seed in 0..50 {
        let mut rng = Rng::with_seed(seed);
        let gauge = G::new(LIMIT, 1);
        let mut held = Vec::new();
        let mut used = 0;
        for _ in 0..500 {
            let amount = rng.u64(0..300);
            if rng.bool() && !held.is_empty() {
                let (place, amount) = held.swap_remove(rng.usize(..held.len()));
                gauge.release(0, place, amount);
                used -= amount;
            } else if let Some(place) = gauge.charge(0, amount) {
                held.push((place, amount));
                used += amount;
                assert!(used <= LIMIT, "seed {seed}");
            } else {
                assert!(used + amount > LIMIT, "seed {seed}: {amount} on {used}");
            }
            assert_eq!(gauge.used(), used, "seed {seed}");
        }
    }
}

#[test]
fn gauges_are_exact_on_one_thread() {
    compare_on_one_thread::<Sloppy<AtomicU64>>();
    compare_on_one_thread::<Striped<AtomicU64>>();
    compare_on_one_thread::<Sloppy<rcmgr_machine::AtomicU64>>();
    compare_on_one_thread::<Striped<rcmgr_machine::AtomicU64>>();
}

const THREADS: usize = 8;
const LARGEST: u64 = 16;

/// Less than the threads ask for together, as a rule.
const LIMIT: u64 = THREADS as u64 * LARGEST / 2;

/// A gauge, and the sum of what is held for sure. It is raised after each grant and lowered before each
/// release, so it is never more than what is held.
struct Watched<G> {
    gauge: G,
    limit: u64,
    held: AtomicU64,
}

impl<G: Gauge> Watched<G> {
    fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            gauge: G::new(limit, THREADS),
            limit,
            held: AtomicU64::new(0),
        })
    }

    /// Charges and releases at random. Returns the number of grants and of refusals.
    fn work(&self, thread: usize, seed: u64, requests: usize) -> (usize, usize) {
        let mut rng = Rng::with_seed(seed * THREADS as u64 + thread as u64);
        let mut held = Vec::new();
        let [mut granted, mut refused] = [0, 0];
        for _ in 0..requests {
            let amount = rng.u64(1..=LARGEST);
            match self.gauge.charge(thread, amount) {
                Some(place) => {
                    granted += 1;
                    let before = self.held.fetch_add(amount, Ordering::SeqCst);
                    assert!(before + amount <= self.limit, "over the limit");
                    held.push((place, amount));
                }
                None => refused += 1,
            }
            while held.len() > 4 || (!held.is_empty() && rng.bool()) {
                let (place, amount) = held.swap_remove(rng.usize(..held.len()));
                self.held.fetch_sub(amount, Ordering::SeqCst);
                self.gauge.release(thread, place, amount);
            }
        }
        for (place, amount) in held {
            self.held.fetch_sub(amount, Ordering::SeqCst);
            self.gauge.release(thread, place, amount);
        }
        (granted, refused)
    }

    /// Charges this amount until it is refused. Returns the sum.
    fn fill(&self, thread: usize, amount: u64) -> u64 {
        let granted = (0..).take_while(|_| self.gauge.charge(thread, amount).is_some());
        granted.count() as u64 * amount
    }
}

/// Runs a task for each thread, on real ones.
fn on_threads<T: Send>(task: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let task = &task;
    thread::scope(|scope| {
        let threads = (0..THREADS).map(|thread| scope.spawn(move || task(thread)));
        let threads: Vec<_> = threads.collect();
        let ended = threads.into_iter().map(|thread| thread.join().unwrap());
        ended.collect()
    })
}

fn check_on_threads<G: Gauge>() {
    let watched = Watched::<G>::new(LIMIT);
    let done = on_threads(|thread| watched.work(thread, 1, 20_000));
    let [granted, refused] = [
        done.iter().map(|one| one.0).sum::<usize>(),
        done.iter().map(|one| one.1).sum::<usize>(),
    ];
    assert!(granted > 1000 && refused > 1000, "{granted} and {refused}");
    assert_eq!(watched.gauge.used(), 0);
}

/// The same on simulated cores, whose accesses interleave in another way for each seed.
fn check_on_simulated_cores<G: Gauge>() {
    let mut refused = 0;
    for seed in 0..30 {
        let machine = Machine::shipped("one-socket").unwrap();
        let watched = Watched::<G>::new(LIMIT);
        let refusals = Arc::new(AtomicU64::new(0));
        let task = |core| -> Box<dyn FnOnce() + Send> {
            let (watched, refusals) = (watched.clone(), refusals.clone());
            Box::new(move || {
                let (_, refused) = watched.work(core, seed, 100);
                refusals.fetch_add(refused as u64, Ordering::Relaxed);
            })
        };
        let tasks = (0..THREADS).map(task).collect();
        Simulation::new(machine).seed(seed).run(tasks).unwrap();
        assert_eq!(watched.gauge.used(), 0, "seed {seed}");
        refused += refusals.load(Ordering::Relaxed);
    }
    assert!(refused > 100, "{refused}");
}

#[test]
fn gauges_never_grant_more_than_the_limit_on_several_threads() {
    check_on_threads::<Sloppy<AtomicU64>>();
    check_on_threads::<Striped<AtomicU64>>();
}

#[test]
fn gauges_never_grant_more_than_the_limit_on_simulated_cores() {
    check_on_simulated_cores::<Sloppy<rcmgr_machine::AtomicU64>>();
    check_on_simulated_cores::<Striped<rcmgr_machine::AtomicU64>>();
}

#[test]
fn sloppy_counters_miss_at_most_the_spare_room_of_other_threads() {
    const ROOM: u64 = 10_000;
    let watched = Watched::<Sloppy<AtomicU64>>::new(ROOM);
    on_threads(|thread| watched.work(thread, 1, 500));
    let left = ROOM - watched.fill(0, 1);
    let most = (THREADS as u64 - 1) * SPARE * LARGEST;
    assert!((1..=most).contains(&left), "{left} of at most {most}");
    // The others can use it.
    let rest: u64 = (1..THREADS).map(|thread| watched.fill(thread, 1)).sum();
    assert_eq!(rest, left);
}

#[test]
fn striped_adders_miss_at_most_the_requests_of_other_threads() {
    const AMOUNT: u64 = 7;
    for seed in 0..50 {
        let watched = Watched::<Striped<AtomicU64>>::new(LIMIT);
        on_threads(|thread| watched.work(thread, seed, 100));
        let granted = on_threads(|thread| watched.fill(thread, AMOUNT));
        let left = LIMIT - granted.iter().sum::<u64>();
        // Each thread was refused by the last room together with the requests of others.
        let most = THREADS as u64 * AMOUNT - 1;
        assert!(left <= most, "{left} of at most {most}");
    }
}
