//! One core: its clock, what it waits for, and how far it looks ahead.

use fastrand::Rng;

use crate::description::Machine;
use crate::line::{Access, Line, Served};
use crate::time::Time;

pub struct Core {
    pub clock: Time,
    /// When the stores so far are done.
    pub stores_done: Time,
    /// When the last access began.
    last_access: Time,
    /// The last wait for a line.
    last_wait: Wait,
    rng: Rng,
}

/// When a core asks for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asking {
    /// When it comes to the access, or a little ahead.
    InTurn,
    /// When it asks for the line of the access before.
    WithTheLast,
}

#[derive(Debug, Clone, Copy, Default)]
struct Wait {
    length: Time,
    end: Time,
}

impl Core {
    /// A core whose times vary by this seed.
    pub fn new(seed: u64) -> Self {
        Self {
            clock: Time::ZERO,
            stores_done: Time::ZERO,
            last_access: Time::ZERO,
            last_wait: Wait::default(),
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
        // A locked operation waits until the stores before it are done.
        let at = match kind {
            Access::Update => self.clock.max(self.stores_done),
            Access::Load | Access::Store => self.clock,
        };
        let ahead = match asking {
            Asking::InTurn => self.last_wait.asked_ahead(at, machine),
            Asking::WithTheLast => at.since(self.last_access),
        };
        self.last_access = at;
        let kept = || vary(&mut self.rng, Time::from_ns(machine.ns.kept));
        let served = line.serve(number, kind, at, ahead, kept, machine);
        if kind == Access::Store {
            self.stores_done = self.stores_done.max(served.end);
            self.clock += Time::from_ns(machine.ns.hit);
            return (at, served);
        }
        if served.is_transfer {
            self.last_wait = Wait {
                length: served.end.since(at),
                end: served.end,
            };
        }
        self.clock = served.end;
        (at, served)
    }
}

/// A time with this mean. It varies as the time between random events does: its distribution is
/// exponential. With little variation, cores that share lines would follow each other for ever, which real
/// ones never do.
fn vary(rng: &mut Rng, mean: Time) -> Time {
    Time::from_ns(mean.as_ns() * -(1.0 - rng.f64()).ln())
}

impl Wait {
    /// How long before this time the core asked for the line that it needs now. While it waited for the
    /// last one, it looked ahead, as far as it can.
    fn asked_ahead(&self, at: Time, machine: &Machine) -> Time {
        let ahead = Time::from_ns(machine.ns.ahead);
        match at.since(self.end) < ahead {
            true => self.length.min(ahead),
            false => Time::ZERO,
        }
    }
}
