//! A combining lock: one thread runs the requests of all that wait.
//!
//! After "Flat Combining and the Synchronization-Parallelism Tradeoff" (Hendler and others, SPAA
//! 2010). One lock guards the counters of all scopes of a manager. A thread posts its request in its
//! own slot. Then it takes the lock and runs all posted requests, its own one included, or waits until
//! the holder of the lock has run its request.
//!
//! It is exact: a request charges all its scopes at one moment, or none. What it gives up: threads wait
//! for each other even if they share only the manager, and for one that is preempted while it holds the
//! lock.

use std::collections::HashMap;
use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crossbeam_utils::CachePadded;
use rcmgr_core::ScopeClass;

use super::chain::{Step, amount, chains, room, steps};
use super::gauge::{cannot_count, expect};
use super::word::Word;
use crate::case::Case;
use crate::engine::{Engine, Setup, Unexpected, Worker};

/// The counters of a manager behind a combining lock.
struct Combiner<W> {
    lock: CachePadded<W>,
    /// One for each thread.
    slots: Box<[CachePadded<Slot<W>>]>,
    /// What is used of each scope. Only the holder of the lock touches it, so neighbours may share
    /// lines.
    used: Box<[W]>,
    limits: Vec<u64>,
}

/// Where a thread posts its requests.
struct Slot<W> {
    /// The index of a step plus [`FIRST`], or the answer to the last request.
    request: W,
    /// What the thread charges on each scope.
    amount: W,
    /// The steps that it may ask for.
    steps: Vec<Step>,
}

const GRANTED: u64 = 0;
const REFUSED: u64 = 1;
const FIRST: u64 = 2;

impl<W: Word> Combiner<W> {
    /// A combiner for scopes with these limits, and for threads with these steps. The indices in the
    /// steps are those of the limits.
    fn new(limits: Vec<u64>, steps: Vec<Vec<Step>>) -> Self {
        let slot = |steps| {
            CachePadded::new(Slot {
                request: W::default(),
                amount: W::default(),
                steps,
            })
        };
        Self {
            lock: CachePadded::default(),
            slots: steps.into_iter().map(slot).collect(),
            used: limits.iter().map(|_| W::default()).collect(),
            limits,
        }
    }

    /// Performs a step of a thread, and returns whether it was granted.
    fn perform(&self, thread: usize, step: usize) -> bool {
        let request = &self.slots[thread].request;
        request.store(step as u64 + FIRST, Ordering::Release);
        let backoff = W::Backoff::default();
        loop {
            // Relaxed: a look that saves the exchange. The exchange decides.
            if self.lock.load(Ordering::Relaxed) == 0 && self.lock.swap(1, Ordering::Acquire) == 0 {
                self.run_requests();
                self.lock.store(0, Ordering::Release);
            }
            match request.load(Ordering::Acquire) {
                GRANTED => return true,
                REFUSED => return false,
                _ => W::pause(&backoff),
            }
        }
    }

    /// Runs all requests that are posted. The caller holds the lock.
    fn run_requests(&self) {
        for slot in &self.slots {
            let request = slot.request.load(Ordering::Acquire);
            if request >= FIRST {
                // Relaxed: the request has published it.
                let amount = slot.amount.load(Ordering::Relaxed);
                let granted = self.run(&slot.steps[(request - FIRST) as usize], amount);
                let answer = if granted { GRANTED } else { REFUSED };
                slot.request.store(answer, Ordering::Release);
            }
        }
    }

    fn run(&self, step: &Step, amount: u64) -> bool {
        for (done, &at) in step.charge.iter().enumerate() {
            let after = self.used(at) + amount;
            if after > self.limits[at] {
                self.release(&step.charge[..done], amount);
                self.release(&step.held, amount);
                return false;
            }
            self.set(at, after);
        }
        self.release(&step.release, amount);
        true
    }

    fn release(&self, scopes: &[usize], amount: u64) {
        for &at in scopes {
            self.set(at, self.used(at) - amount);
        }
    }

    // Relaxed: the lock orders all accesses.

    fn used(&self, at: usize) -> u64 {
        self.used[at].load(Ordering::Relaxed)
    }

    fn set(&self, at: usize, used: u64) {
        self.used[at].store(used, Ordering::Relaxed);
    }
}

/// The engine.
pub struct Combining<W>(PhantomData<fn() -> W>);

impl<W> Combining<W> {
    pub const fn new() -> Self {
        Self(PhantomData)
    }
}

impl<W: Word> Engine for Combining<W> {
    fn name(&self) -> &'static str {
        "combining"
    }

    fn about(&self) -> &'static str {
        "counters without names or handles, all behind one combining lock: one thread runs the \
         requests of all that wait. Exact, but threads wait"
    }

    fn has_limits(&self) -> bool {
        true
    }

    fn cannot(&self, case: &Case) -> Option<&'static str> {
        cannot_count(case)
    }

    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected> {
        let chains = chains(case, Arc::new);
        let managers = case.managers();
        let combiner = |manager| {
            let of_manager: Vec<_> = chains.iter().skip(manager).step_by(managers).collect();
            Arc::new(combiner::<W>(case, &of_manager))
        };
        let combiners: Vec<_> = (0..managers).map(combiner).collect();
        for combiner in &combiners {
            W::name(&*combiner.lock, "lock");
            W::name(&*combiner.slots, "requests");
            W::name(&*combiner.used, "counters");
        }
        Ok(Box::new(Combiners(combiners)))
    }
}

/// The combiner of a manager whose threads have these scopes.
fn combiner<W: Word>(case: &Case, chains: &[&Vec<Arc<ScopeClass>>]) -> Combiner<W> {
    let mut limits = Vec::new();
    let mut indices = HashMap::new();
    let mut index = |scope: &Arc<ScopeClass>| {
        *indices.entry(Arc::as_ptr(scope)).or_insert_with(|| {
            limits.push(room(case, **scope));
            limits.len() - 1
        })
    };
    let steps_of = |chain: &&Vec<Arc<ScopeClass>>| -> Vec<Step> {
        let indices: Vec<_> = chain.iter().map(&mut index).collect();
        let all = |scopes: &[usize]| scopes.iter().map(|&at| indices[at]).collect();
        let renumbered = |step: Step| Step {
            held: all(&step.held),
            charge: all(&step.charge),
            release: all(&step.release),
        };
        steps(case).into_iter().map(renumbered).collect()
    };
    let steps = chains.iter().map(steps_of).collect();
    Combiner::new(limits, steps)
}

/// The combiner of each manager.
struct Combiners<W>(Vec<Arc<Combiner<W>>>);

impl<W: Word> Setup for Combiners<W> {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        let worker = |number: usize| -> Box<dyn Worker> {
            let combiner = Arc::clone(&self.0[number % self.0.len()]);
            let thread = number / self.0.len();
            // Relaxed: the first request publishes it.
            let slot = &combiner.slots[thread];
            slot.amount.store(amount(case), Ordering::Relaxed);
            Box::new(CombiningWorker {
                steps: slot.steps.len(),
                is_refused: case.workload.is_refused(),
                combiner,
                thread,
            })
        };
        Ok((0..case.threads).map(worker).collect())
    }

    fn end(self: Box<Self>) -> Result<(), Unexpected> {
        for combiner in &self.0 {
            let used: Vec<_> = (0..combiner.used.len())
                .map(|at| combiner.used(at))
                .collect();
            if used.iter().any(|&used| used != 0) {
                return Err(Unexpected::Leftover(format!("{used:?}")));
            }
        }
        Ok(())
    }
}

struct CombiningWorker<W> {
    combiner: Arc<Combiner<W>>,
    thread: usize,
    steps: usize,
    is_refused: bool,
}

impl<W: Word> Worker for CombiningWorker<W> {
    fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
        for _ in 0..operations {
            let mut steps = 0..black_box(self.steps);
            let granted = steps.all(|step| self.combiner.perform(self.thread, step));
            expect(self.is_refused, granted)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;
    use std::thread;

    use super::*;

    /// Scopes with these limits. Each thread charges all of them, in this order.
    fn combiner<W: Word>(limits: &[u64], threads: usize) -> Combiner<W> {
        let charge = Step {
            charge: (0..limits.len()).collect(),
            ..Step::default()
        };
        let combiner = Combiner::<W>::new(limits.to_vec(), vec![vec![charge]; threads]);
        for slot in &combiner.slots {
            slot.amount.store(1, Ordering::Relaxed);
        }
        combiner
    }

    #[test]
    fn a_refused_request_leaves_the_scopes_before_it_as_they_were() {
        let combiner = combiner::<AtomicU64>(&[5, 3, 9], 1);
        let granted = (0..10).filter(|_| combiner.perform(0, 0)).count();
        assert_eq!(granted, 3);
        let used: Vec<_> = (0..3).map(|at| combiner.used(at)).collect();
        assert_eq!(used, [3, 3, 3]);
    }

    #[test]
    fn threads_are_granted_exactly_the_room_that_there_is() {
        const LIMIT: u64 = 10_000;
        let combiner = &combiner::<AtomicU64>(&[u64::MAX / 2, LIMIT], 4);
        let fill = |thread| (0..LIMIT).filter(|_| combiner.perform(thread, 0)).count() as u64;
        let granted: u64 = thread::scope(|scope| {
            let threads = [0, 1, 2, 3].map(|thread| scope.spawn(move || fill(thread)));
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });
        assert_eq!(granted, LIMIT);
        assert_eq!(combiner.used(0), LIMIT);
    }

    #[test]
    fn the_holder_of_the_lock_runs_the_requests_of_all_that_wait() {
        let combiner = combiner::<AtomicU64>(&[2], 3);
        // Threads 1 and 2 have posted, and have not run since.
        for slot in &combiner.slots[1..] {
            slot.request.store(FIRST, Ordering::Release);
        }
        assert!(combiner.perform(0, 0));
        let answers = combiner.slots.iter();
        let answers: Vec<_> = answers
            .map(|slot| slot.request.load(Ordering::Acquire))
            .collect();
        assert_eq!(answers, [GRANTED, GRANTED, REFUSED]);
    }
}
