//! One core: its clock, what it waits for, and what it asks for meanwhile.

use fastrand::Rng;

use crate::description::Machine;
use crate::line::{Access, Line, Served};
use crate::time::Time;
use crate::work::Place;

/// How far a core looks ahead while it waits, in nanoseconds of its work. A processor of today holds about 500 instructions.
const LOOKS_AHEAD: f64 = 100.0;

/// The time between two lines that a core asks for together, in nanoseconds. (On the machine of `two-core-vm.toml`, a lock whose
/// value lies on five more lines of another core takes 40 to 50 ns longer. A transfer takes 60 ns there.)
const BETWEEN_REQUESTS: f64 = 8.0;

pub struct Core {
    pub clock: Time,
    /// Where it accessed a line last, after work.
    pub place: Place,
    /// When the stores so far are done.
    pub stores_done: Time,
    /// How long it has waited for the lines of loads since the last locked operation, fence or pause.
    loads_waited: Time,
    /// When the first of these waits began.
    loads_since: Time,
    /// When it can ask for another line together with the last one.
    next_request: Time,
    /// When it asked for the line of the last access in order, and how long that takes, relative to the mean.
    last_asked: Time,
    last_factor: f64,
    rng: Rng,
}

/// When a core asks for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// In the order of the program.
    InOrder,
    /// Just after it asked for the line of the last access in order. Both transfers take equally long.
    WithTheLast,
}

impl Core {
    /// A core whose times vary by this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            clock: Time::ZERO,
            place: Place::default(),
            stores_done: Time::ZERO,
            loads_waited: Time::ZERO,
            loads_since: Time::ZERO,
            next_request: Time::ZERO,
            last_asked: Time::ZERO,
            last_factor: 1.0,
            rng: Rng::with_seed(seed),
        }
    }

    /// Works for about this time.
    pub fn work(&mut self, mean: Time) {
        self.clock += vary(&mut self.rng, mean);
    }

    /// Accesses a line. `number` is that of this core. Returns when the access began, and how it was
    /// served.
    pub fn access(
        &mut self,
        number: usize,
        line: &mut Line,
        kind: Access,
        asking: Asking,
        machine: &Machine,
    ) -> (Time, Served) {
        // Stores are done one after the other, and a locked operation waits for those before it.
        let at = match kind {
            Access::Update | Access::Store => self.clock.max(self.stores_done),
            Access::Load => self.clock,
        };
        let looked_ahead = self.clock.since(self.loads_since);
        let looked_ahead = looked_ahead.since(self.loads_waited);
        if looked_ahead > Time::from_ns(LOOKS_AHEAD) {
            self.goes_in_order();
        }
        // While it waits for the line of a load, it goes on, and asks for those of the next loads. It asks for the line
        // of a store when it comes to it.
        let asked = match (asking, kind) {
            (Asking::InOrder, Access::Load) => at.since(self.loads_waited).max(self.next_request),
            (Asking::InOrder, Access::Store) => self.clock,
            (Asking::InOrder, Access::Update) => at,
            (Asking::WithTheLast, _) => self.last_asked.max(self.next_request),
        };
        let asked = asked.min(at);
        if asking == Asking::InOrder {
            self.last_asked = asked;
            self.last_factor = factor(&mut self.rng);
        }
        // Without variation, cores that share lines would follow each other for ever, which real ones never do. The first
        // time is that of the transfer.
        let mut of_transfer = Some(self.last_factor);
        let vary = |mean: Time| {
            let factor = of_transfer.take().unwrap_or_else(|| factor(&mut self.rng));
            Time::from_ns(mean.as_ns() * factor)
        };
        let served = line.serve(number, kind, at, at.since(asked), vary, machine);
        if served.is_transfer && kind != Access::Store {
            self.next_request = asked + Time::from_ns(BETWEEN_REQUESTS);
        }
        let hit = Time::from_ns(machine.ns.hit);
        match kind {
            Access::Load => {
                if self.loads_waited == Time::ZERO {
                    self.loads_since = at;
                }
                self.loads_waited += served.end.since(at + hit);
                self.clock = served.end;
            }
            Access::Store => {
                self.stores_done = served.end;
                self.clock += hit;
            }
            Access::Update => {
                self.goes_in_order();
                self.clock = served.end;
            }
        }
        (at, served)
    }

    /// Asks for no line of a later load before this moment, as at a locked operation, a fence and a pause.
    pub fn goes_in_order(&mut self) {
        self.loads_waited = Time::ZERO;
    }
}

/// A time with this mean, as that between random events: its distribution is exponential.
fn vary(rng: &mut Rng, mean: Time) -> Time {
    Time::from_ns(mean.as_ns() * -(1.0 - rng.f64()).ln())
}

/// A number with the mean one: from an eighth to fifteen eighths, all equally likely. The standard deviation is a half.
fn factor(rng: &mut Rng) -> f64 {
    1.75f64.mul_add(rng.f64(), 0.125)
}
