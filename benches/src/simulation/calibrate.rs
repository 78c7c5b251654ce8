//! Measures the costs of the machine that this runs on, for a simulated one of two cores.

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use rcmgr_machine::{Costs, Machine};

use crate::machine::Machine as RealMachine;
use crate::pin::pin;
use crate::stats::median;
use crate::study::StudyError;

/// The measurements of each cost in one pass. Of those on one core the shortest counts: a disturbance makes them longer
/// only. Of those on two it is the median.
const ROUNDS: usize = 20;

/// How long passes are made. Where other machines share the processor, its speed, and that of the lines
/// between cores, changes by up to two times within a second. So the median of many passes counts.
const TIME: Duration = Duration::from_secs(4);

/// The operations of a measurement, and of one in which two threads meet.
const OPERATIONS: u64 = 2000;
const CONTENDED: u64 = 10 * OPERATIONS;

/// The least cost of an access, in nanoseconds: costs are rounded to tenths, and a machine without any is
/// refused.
const LEAST: f64 = 0.1;

/// The hand-overs of a measurement to a parked thread: each takes microseconds.
const WAKE_UPS: usize = 30;

/// Words on lines of their own.
type Words<const N: usize> = [CachePadded<AtomicU64>; N];

/// The words that are updated in turn. An update takes longer if the last one was of the same word.
const WORDS: usize = 8;

/// Invalidating one more copy, and a line that no core has, are not measured. These are the costs of the machine that
/// the others are measured for.
const BASE: &str = "two-core-vm";

/// Measures two cores of this machine, for some seconds.
///
/// # Errors
///
/// [`StudyError::OneCore`], if there is only one core.
pub fn calibrate() -> Result<Machine, StudyError> {
    let real = RealMachine::detect();
    // Two threads that wait for each other take turns of milliseconds on one core: this would take hours.
    if real.cores < 2 {
        return Err(StudyError::OneCore);
    }
    let about = real.describe();
    let start = Instant::now();
    let mut passes = vec![two_cores()];
    while start.elapsed() < TIME {
        passes.push(two_cores());
    }
    let of = |cost: fn(&Costs) -> f64| {
        let costs: Vec<f64> = passes.iter().map(cost).collect();
        rounded(median(&costs))
    };
    let base = Machine::shipped(BASE).expect("it is shipped");
    let transfer = of(|ns| ns.within_cluster);
    Ok(Machine {
        name: "this-machine".to_owned(),
        about: format!("Two cores, measured: {about}."),
        sources: vec!["rcmgr study --calibrate; invalidate and memory are estimates".to_owned()],
        loads_take: loads_take(transfer),
        ns: Costs {
            hit: of(|ns| ns.hit).max(LEAST),
            update: of(|ns| ns.update).max(LEAST),
            fence: of(|ns| ns.fence),
            within_cluster: transfer,
            within_socket: transfer,
            across_sockets: transfer,
            kept: of(|ns| ns.kept),
            pause: of(|ns| ns.pause),
            yield_now: of(|ns| ns.yield_now),
            wake: of(|ns| ns.wake),
            wake_latency: of(|ns| ns.wake_latency),
            ..base.ns
        },
        ..base
    })
}

/// One pass: what two cores of this machine cost now.
fn two_cores() -> Costs {
    let one = one_core();
    let hand_over = median(&[0; ROUNDS].map(|_| hand_over()));
    let transfer = (hand_over - one.ns.update).max(0.0);
    // Two cores that update the same word in a loop take the line from each other in the time of a hand-over. Each updates
    // it once, and again until the request of the other one arrives.
    let word: Words<1> = Words::default();
    let add = |word: &AtomicU64| word.fetch_add(1, Ordering::AcqRel);
    let updates = 2.0 * hand_over / contended(&word, add);
    let kept = ((updates - 1.0) * one.ns.update).max(0.0);
    // A thread that wakes another works on after `wake`; the rest is the time until that one runs.
    let [wake, woken] = wake_up();
    Costs {
        within_cluster: transfer,
        kept,
        wake,
        wake_latency: (woken - wake).max(0.0),
        ..one.ns
    }
}

/// Measures what one core of this machine does alone.
pub fn one_core() -> Machine {
    let base = Machine::shipped(BASE).expect("it is shipped");
    let words: Words<WORDS> = Words::default();
    let ns = Costs {
        hit: alone(&Words::<1>::default(), |word| word.load(Ordering::Acquire)),
        update: alone(&words, |word| word.fetch_add(1, Ordering::AcqRel)),
        fence: alone(&words, |_| fence(Ordering::SeqCst)),
        pause: alone(&words, |_| spin_loop()),
        yield_now: alone(&words, |_| thread::yield_now()),
        ..base.ns
    };
    Machine { ns, ..base }
}

fn rounded(ns: f64) -> f64 {
    (ns * 10.0).round() / 10.0
}

fn shortest(mut measure: impl FnMut() -> f64) -> f64 {
    let rounds = (0..ROUNDS).map(|_| measure());
    rounds.fold(f64::INFINITY, f64::min)
}

/// The time of an operation on one thread, in nanoseconds. Each is for the next word.
fn alone<T, const N: usize>(words: &Words<N>, operation: impl Fn(&AtomicU64) -> T) -> f64 {
    rounded(shortest(|| {
        let start = Instant::now();
        repeat(words, OPERATIONS, &operation);
        per(start.elapsed(), OPERATIONS)
    }))
}

/// The same on each of two threads, which meet at the words. Threads that do not run at once take the time of one: only
/// the others count, if there are any.
fn contended<T, const N: usize>(
    words: &Words<N>,
    operation: impl Fn(&AtomicU64) -> T + Sync,
) -> f64 {
    let both = |_| repeat(words, CONTENDED, &operation);
    let all = [0; ROUNDS / 4].map(|_| per(in_turns(&both), CONTENDED));
    let alone = alone(words, &operation);
    let at_once: Vec<f64> = all.iter().copied().filter(|&ns| ns > 2.0 * alone).collect();
    match &at_once[..] {
        [] => median(&all),
        at_once => median(at_once),
    }
}

fn repeat<T, const N: usize>(words: &Words<N>, times: u64, operation: impl Fn(&AtomicU64) -> T) {
    for at in 0..times as usize {
        let _ = black_box(operation(&words[at % N]));
    }
}

fn per(time: Duration, operations: u64) -> f64 {
    time.as_nanos() as f64 / operations as f64
}

/// The time from one thread's compare-and-swap on a word until the other thread's succeeds, as
/// core-to-core-latency measures it.
fn hand_over() -> f64 {
    let word = CachePadded::new(AtomicU64::new(0));
    let take_turns = |first: u64| {
        for turn in (first..2 * OPERATIONS).step_by(2) {
            while word
                .compare_exchange(turn, turn + 1, Ordering::AcqRel, Ordering::Relaxed)
                .is_err()
            {}
        }
    };
    per(in_turns(&take_turns), 2 * OPERATIONS)
}

/// Runs it on two threads: 0 has the first turn. Returns the time from the start of both to the end of
/// the later one.
fn in_turns(take_turns: &(impl Fn(u64) + Sync)) -> Duration {
    let ready = AtomicU64::new(0);
    thread::scope(|scope| {
        let one = |number| {
            let ready = &ready;
            move || {
                pin(number);
                // A thread that sleeps wakes after the other has done much of its work.
                ready.fetch_add(1, Ordering::AcqRel);
                while ready.load(Ordering::Acquire) < 2 {
                    spin_loop();
                }
                let start = Instant::now();
                take_turns(number as u64);
                start.elapsed()
            }
        };
        let both = [0, 1].map(|number| scope.spawn(one(number)));
        let took = both.map(|thread| thread.join().expect("it does not panic"));
        took[0].max(took[1])
    })
}

/// Whether a load takes a line away from the core that wrote it: the core that loads it then updates it
/// without another transfer.
fn loads_take(transfer: f64) -> bool {
    let word = CachePadded::new(AtomicU64::new(0));
    let turn = CachePadded::new(AtomicU64::new(0));
    let update = || {
        let start = Instant::now();
        word.fetch_add(1, Ordering::AcqRel);
        start.elapsed().as_nanos() as f64
    };
    let [mut loaded, mut owned] = [Vec::new(), Vec::new()];
    thread::scope(|scope| {
        scope.spawn(|| {
            pin(1);
            for read in (1..2 * OPERATIONS).step_by(2) {
                while turn.load(Ordering::Acquire) != read {
                    spin_loop();
                }
                black_box(word.load(Ordering::Acquire));
                loaded.push(update());
                owned.push(update());
                turn.store(read + 1, Ordering::Release);
            }
        });
        scope.spawn(|| {
            pin(0);
            for written in (0..2 * OPERATIONS).step_by(2) {
                while turn.load(Ordering::Acquire) != written {
                    spin_loop();
                }
                word.fetch_add(1, Ordering::AcqRel);
                turn.store(written + 1, Ordering::Release);
            }
        });
    });
    median(&loaded) - median(&owned) < transfer / 2.0
}

/// The time that a thread takes to wake a parked one, and the time until that one has run.
fn wake_up() -> [f64; 2] {
    const END: u64 = u64::MAX / 2;
    let woken = CachePadded::new(AtomicU64::new(0));
    let [mut waking, mut running] = [Vec::new(), Vec::new()];
    thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            pin(1);
            while woken.load(Ordering::Acquire) < END {
                thread::park();
                woken.fetch_add(1, Ordering::AcqRel);
            }
        });
        for _ in 0..WAKE_UPS {
            let before = woken.load(Ordering::Acquire);
            // Long enough that the other thread is parked again.
            let asleep = Instant::now() + Duration::from_micros(50);
            while Instant::now() < asleep {
                spin_loop();
            }
            let start = Instant::now();
            sleeper.thread().unpark();
            waking.push(start.elapsed().as_nanos() as f64);
            while woken.load(Ordering::Acquire) == before {
                spin_loop();
            }
            running.push(start.elapsed().as_nanos() as f64);
        }
        woken.store(END, Ordering::Release);
        sleeper.thread().unpark();
    });
    [median(&waking), median(&running)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Elsewhere a thread cannot be pinned, or the number of cores does not depend on it.
    #[cfg(target_os = "linux")]
    #[test]
    fn one_core_is_refused() {
        let calibrated = thread::spawn(|| {
            pin(0);
            calibrate()
        });
        assert_eq!(calibrated.join().unwrap(), Err(StudyError::OneCore));
    }
}
