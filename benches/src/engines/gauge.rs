//! Engines that only count: a counter with a limit for each scope, and no names, handles or moves
//! of a whole leaf.

use std::hint::black_box;
use std::marker::PhantomData;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::apart::create_workers;
use super::chain::{Step, amount, chains, room, steps};
use crate::case::{Case, Workload};
use crate::engine::{Engine, Setup, Unexpected, Worker};

/// Counts the use of one scope, up to its limit.
///
/// It is the smallest part of an engine that decides how threads contend. [`counting`] makes an
/// engine of it, which takes part in the study. Each gauge has cache lines of its own.
pub trait Gauge: Send + Sync + Sized + 'static {
    /// A gauge at zero. `threads` threads use it. The limit and all amounts are less than 2^48.
    fn new(limit: u64, threads: usize) -> Self;

    /// Charges an amount, or returns `None` if there is no room for it. The result is passed to
    /// [`release`](Self::release); a gauge with one counter returns 0. `thread` is less than the
    /// number of threads. No two threads have the same one at the same time.
    fn charge(&self, thread: usize, amount: u64) -> Option<usize>;

    /// Releases an amount that this thread charged, at the place that was returned.
    fn release(&self, thread: usize, place: usize, amount: u64);

    /// The amount in use. Exact while no thread charges or releases.
    fn used(&self) -> u64;

    /// Names the words of the gauge after its scope, with [`Word::name`](super::Word::name). The
    /// names are in the list of the hottest words of a simulation.
    fn name_words(&self, scope: &str) {
        let _ = scope;
    }
}

/// An engine with a gauge for each scope.
pub fn counting<G: Gauge>(name: &'static str, about: &'static str) -> Box<dyn Engine> {
    Box::new(Counting::<G> {
        name,
        about,
        gauge: PhantomData,
    })
}

struct Counting<G> {
    name: &'static str,
    about: &'static str,
    gauge: PhantomData<fn() -> G>,
}

/// The reason why an engine that only counts cannot run a case.
pub const fn cannot_count(case: &Case) -> Option<&'static str> {
    match case.workload {
        Workload::ConnectionIp => Some("it has no addresses"),
        Workload::RefusedById => Some("it has no names"),
        _ if case.peers > 0 => Some("it has no peers"),
        _ => None,
    }
}

impl<G: Gauge> Engine for Counting<G> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn about(&self) -> &'static str {
        self.about
    }

    fn has_limits(&self) -> bool {
        true
    }

    fn cannot(&self, case: &Case) -> Option<&'static str> {
        cannot_count(case)
    }

    fn set_up(&self, case: &Case) -> Result<Box<dyn Setup>, Unexpected> {
        let chains = chains(case, |class| {
            let gauge = Arc::new(CachePadded::new(G::new(room(case, class), case.threads)));
            gauge.name_words(class.as_str());
            gauge
        });
        Ok(Box::new(Gauges(chains)))
    }
}

/// The scopes of each thread.
struct Gauges<G>(Vec<Vec<Scope<G>>>);

/// A gauge that shares no cache line with another.
type Scope<G> = Arc<CachePadded<G>>;

impl<G: Gauge> Setup for Gauges<G> {
    fn workers(&self, case: &Case) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
        create_workers(self.0.len(), |thread| {
            let scopes = &self.0[thread];
            Ok(Box::new(CountingWorker {
                thread,
                places: vec![0; scopes.len()],
                scopes: scopes.clone(),
                steps: steps(case),
                amount: amount(case),
                is_refused: case.workload.is_refused(),
            }))
        })
    }

    fn end(self: Box<Self>) -> Result<(), Unexpected> {
        let mut used = self.0.iter().flatten().map(|gauge| gauge.used());
        match used.find(|&used| used != 0) {
            Some(used) => Err(Unexpected::Leftover(used.to_string())),
            None => Ok(()),
        }
    }
}

struct CountingWorker<G> {
    thread: usize,
    scopes: Vec<Scope<G>>,
    /// Where each scope was charged.
    places: Vec<usize>,
    steps: Vec<Step>,
    amount: u64,
    /// Whether every operation is refused.
    is_refused: bool,
}

impl<G: Gauge> CountingWorker<G> {
    /// Performs one step. If a scope has no room, everything is released.
    fn step(&mut self, step: usize) -> bool {
        let Step {
            held,
            charge,
            release,
        } = &self.steps[step];
        for (done, &at) in charge.iter().enumerate() {
            match self.scopes[at].charge(self.thread, self.amount) {
                Some(place) => self.places[at] = place,
                None => {
                    self.release(&charge[..done]);
                    self.release(held);
                    return false;
                }
            }
        }
        self.release(release);
        true
    }

    fn release(&self, scopes: &[usize]) {
        for &at in scopes {
            self.scopes[at].release(self.thread, self.places[at], self.amount);
        }
    }
}

impl<G: Gauge> Worker for CountingWorker<G> {
    fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
        for _ in 0..operations {
            let granted = (0..black_box(self.steps.len())).all(|step| self.step(step));
            expect(self.is_refused, granted)?;
        }
        Ok(())
    }
}

/// Compares the result of an operation with the expected one.
pub fn expect(refusal: bool, granted: bool) -> Result<(), Unexpected> {
    match (refusal, granted) {
        (false, true) | (true, false) => Ok(()),
        (false, false) => Err(Unexpected::Refused("a scope is full".to_owned())),
        (true, true) => Err(Unexpected::Granted),
    }
}
