//! One core: its clock, and what it waits for.

use fastrand::Rng;

use crate::description::Machine;
use crate::line::{Access, Line, Served};
use crate::time::Time;

pub struct Core {
    pub clock: Time,
    /// When the stores so far are done.
    pub stores_done: Time,
    /// How long it has waited for the lines of loads since the last locked operation, fence or pause.
    loads_waited: Time,
    /// When the last access in order began.
    last_access: Time,
    rng: Rng,
}

/// When a core asks for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// In the order of the program.
    InOrder,
    /// When it asked for the line of the last access in order.
    WithTheLast,
}

impl Core {
    /// A core whose times vary by this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            clock: Time::ZERO,
            stores_done: Time::ZERO,
            loads_waited: Time::ZERO,
            last_access: Time::ZERO,
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
        // While it waits for the line of a load, it goes on, and asks for those of the next loads. It asks for the line
        // of a store when it comes to it.
        let asked = match (asking, kind) {
            (Asking::InOrder, Access::Load) => at.since(self.loads_waited),
            (Asking::InOrder, Access::Store) => self.clock,
            (Asking::InOrder, Access::Update) => at,
            (Asking::WithTheLast, _) => self.last_access,
        };
        if asking == Asking::InOrder {
            self.last_access = at;
        }
        // Without variation, cores that share lines would follow each other for ever, which real ones never do.
        let vary = |mean| vary_less(&mut self.rng, mean);
        let served = line.serve(number, kind, at, at.since(asked), vary, machine);
        let hit = Time::from_ns(machine.ns.hit);
        match kind {
            Access::Load => {
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

/// A time with this mean: from an eighth to fifteen eighths of it, all equally likely. The standard deviation is half the
/// mean.
fn vary_less(rng: &mut Rng, mean: Time) -> Time {
    Time::from_ns(mean.as_ns() * 1.75f64.mul_add(rng.f64(), 0.125))
}
