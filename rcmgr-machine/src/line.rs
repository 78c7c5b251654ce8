//! The protocol of one cache line: which cores have it, which one owns it, and until when it is
//! busy.

use crate::description::Machine;
use crate::time::Time;

/// The kind of an access to a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// A load: the core needs a copy of the line.
    Load,
    /// A plain store: the core needs to own the line, but does not wait for it.
    Store,
    /// A locked read-modify-write: the core needs to own the line.
    Update,
}

/// A cache line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line {
    /// The cores that have a copy, one bit for each.
    holders: u128,
    /// Whether the only holder owns it: it may write without telling other cores.
    is_owned: bool,
    /// Whether the owner has written the line since it came.
    is_written: bool,
    /// The end of the last transfer or store. The next transfer begins then at the earliest.
    busy_until: Time,
    /// The owner before the last transfer.
    former_owner: FormerOwner,
}

/// A core goes on with a line that it owns until the request of another core arrives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct FormerOwner {
    core: usize,
    until: Time,
}

/// An access of a core at a time, which asked for the line at another. `vary` makes a time of a mean.
struct Request<V> {
    core: usize,
    at: Time,
    asked: Time,
    vary: V,
}

/// How an access was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Served {
    /// When the access is done.
    pub end: Time,
    /// How long it waited for other transfers of the line.
    pub waited: Time,
    /// Whether the line, or the right to write it, came from elsewhere.
    pub is_transfer: bool,
}

impl Line {
    /// A line that one core owns.
    pub const fn owned_by(core: usize) -> Self {
        Self {
            holders: bit(core),
            is_owned: true,
            is_written: true,
            busy_until: Time::ZERO,
            former_owner: FormerOwner {
                core: 0,
                until: Time::ZERO,
            },
        }
    }

    /// The owner, if there is one.
    pub const fn owner(&self) -> Option<usize> {
        match self.is_owned {
            true => Some(self.holders.trailing_zeros() as usize),
            false => None,
        }
    }

    /// Whether this core has a copy.
    pub const fn is_at(&self, core: usize) -> bool {
        self.holders & bit(core) != 0
    }

    /// The number of cores that have a copy.
    pub const fn holders(&self) -> usize {
        self.holders.count_ones() as usize
    }

    /// Serves an access of a core at this time. If the core needs the line from elsewhere, it has asked
    /// for it this long before. How long it takes, and how long the owner goes on with the line, varies: `vary` makes a
    /// time of a mean. Accesses come in the order in which the cores come to them; a store may be served for a later time.
    pub fn serve(
        &mut self,
        core: usize,
        access: Access,
        at: Time,
        ahead: Time,
        vary: impl FnMut(Time) -> Time,
        machine: &Machine,
    ) -> Served {
        let request = Request {
            core,
            at,
            asked: at.since(ahead),
            vary,
        };
        match access {
            Access::Load => self.load(request, machine),
            Access::Store => {
                let served = self.write(request, machine.ns.hit, machine);
                // The value changes now, but the store is done later: it may wait for the stores before it, and for the
                // line. Until then no access sees the line that begins after this. The owner before does not go on
                // with it: it would see the new value.
                self.busy_until = self.busy_until.max(served.end);
                if served.is_transfer {
                    self.former_owner = FormerOwner::default();
                }
                served
            }
            Access::Update => self.write(request, machine.ns.update, machine),
        }
    }

    /// Whether the core owned the line, and has not received the request of the next core yet.
    fn is_still_at(&self, core: usize, at: Time) -> bool {
        core == self.former_owner.core && at < self.former_owner.until
    }

    /// The owner before a transfer that begins and ends then, which goes on with the line for the time `kept`.
    fn owner_until_asked(&self, begin: Time, end: Time, kept: Time) -> FormerOwner {
        self.owner()
            .map_or(FormerOwner::default(), |core| FormerOwner {
                core,
                until: (begin + kept).min(end),
            })
    }

    fn load(&mut self, request: Request<impl FnMut(Time) -> Time>, machine: &Machine) -> Served {
        let Request {
            core,
            at,
            asked,
            mut vary,
        } = request;
        let [hit, kept] = [machine.ns.hit, machine.ns.kept].map(Time::from_ns);
        if self.is_at(core) || self.is_still_at(core, at) {
            return Served::hit(at + hit);
        }
        let begin = asked.max(self.busy_until);
        let end = at.max(begin + self.varied(self.fetch(core, machine), &mut vary));
        // An owner answers one core at a time. Copies of a shared line are served in parallel.
        if self.is_owned {
            self.busy_until = end;
            self.former_owner = self.owner_until_asked(begin, end, vary(kept));
        }
        // A processor with `loads_take` assumes that the next core writes, too, and leaves no copy behind.
        if self.is_owned && self.is_written && machine.loads_take {
            self.holders = 0;
        }
        self.is_owned = self.holders == 0;
        self.is_written = false;
        self.holders |= bit(core);
        Served::transfer(at, begin, end + hit)
    }

    fn write(
        &mut self,
        request: Request<impl FnMut(Time) -> Time>,
        cost_ns: f64,
        machine: &Machine,
    ) -> Served {
        let Request {
            core,
            at,
            asked,
            mut vary,
        } = request;
        let [cost, kept] = [cost_ns, machine.ns.kept].map(Time::from_ns);
        if self.is_owned && self.is_at(core) || self.is_still_at(core, at) {
            self.is_written |= self.is_owned && self.is_at(core);
            if machine.loads_take && !self.is_owned && self.is_at(core) {
                // The request of the other core finds a line that was written, and takes it.
                self.holders &= !bit(core);
                self.is_owned = self.holders() == 1;
            }
            return Served::hit(at + cost);
        }
        let others = self.holders & !bit(core);
        let begin = asked.max(self.busy_until);
        // The data comes from the nearest holder while the copies are invalidated. The last answer
        // is that of the farthest one.
        let data = match self.is_at(core) {
            true => Time::ZERO,
            false => self.fetch(core, machine),
        };
        let farthest = bits(others)
            .map(|other| machine.transfer(other, core))
            .max();
        let more = u64::from(others.count_ones().saturating_sub(1));
        let invalidated =
            farthest.unwrap_or(Time::ZERO) + Time::from_ns(machine.ns.invalidate) * more;
        let comes = at.max(begin + self.varied(data.max(invalidated), &mut vary));
        let end = comes + cost;
        *self = Self {
            busy_until: end,
            former_owner: self.owner_until_asked(begin, comes, vary(kept)),
            ..Self::owned_by(core)
        };
        Served::transfer(at, begin, end)
    }

    /// The time of a transfer with this mean. Memory always takes the same time.
    fn varied(&self, mean: Time, vary: &mut impl FnMut(Time) -> Time) -> Time {
        match self.holders {
            0 => mean,
            _ => vary(mean),
        }
    }

    /// The time of the line from its nearest holder, or from memory.
    fn fetch(&self, core: usize, machine: &Machine) -> Time {
        let times = bits(self.holders).map(|holder| machine.transfer(holder, core));
        times.min().unwrap_or(Time::from_ns(machine.ns.memory))
    }
}

impl Served {
    const fn hit(end: Time) -> Self {
        Self {
            end,
            waited: Time::ZERO,
            is_transfer: false,
        }
    }

    fn transfer(at: Time, begin: Time, end: Time) -> Self {
        Self {
            end,
            waited: begin.since(at),
            is_transfer: true,
        }
    }
}

const fn bit(core: usize) -> u128 {
    1 << core
}

/// The numbers of the bits that are set.
fn bits(mut set: u128) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let first = (set != 0).then(|| set.trailing_zeros() as usize)?;
        set &= set - 1;
        Some(first)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two clusters of two cores in each of two sockets. Every cost is another power of two.
    fn machine() -> Machine {
        let text = r#"
            name = "test"
            about = "For tests."
            sources = []
            cores_per_cluster = 2
            clusters_per_socket = 2
            sockets = 2
            [ns]
            hit = 1
            update = 2
            fence = 4
            within_cluster = 16
            within_socket = 32
            across_sockets = 64
            invalidate = 8
            kept = 0
            memory = 128
            pause = 1
            yield_now = 256
            wake = 512
            wake_latency = 1024
        "#;
        Machine::from_toml(text).unwrap()
    }

    fn ns(ns: u64) -> Time {
        Time::from_ns(ns as f64)
    }

    fn kept_for(kept: f64) -> Machine {
        let mut machine = machine();
        machine.ns.kept = kept;
        machine
    }

    /// Times that do not vary.
    const fn exact(mean: Time) -> Time {
        mean
    }

    #[test]
    fn the_first_access_comes_from_memory_and_makes_an_owner() {
        for (access, cost) in [(Access::Load, 1), (Access::Store, 1), (Access::Update, 2)] {
            let mut line = Line::default();
            let served = line.serve(3, access, ns(10), Time::ZERO, exact, &machine());
            assert_eq!(served.end, ns(10 + 128 + cost), "{access:?}");
            assert!(served.is_transfer);
            assert_eq!(line.owner(), Some(3));
        }
    }

    #[test]
    fn an_owner_pays_for_the_access_alone() {
        let mut line = Line::owned_by(3);
        for (access, cost) in [(Access::Load, 1), (Access::Store, 1), (Access::Update, 2)] {
            let served = line.serve(3, access, ns(10), Time::ZERO, exact, &machine());
            assert_eq!(served, Served::hit(ns(10 + cost)), "{access:?}");
        }
        assert_eq!((line.owner(), line.holders()), (Some(3), 1));
    }

    #[test]
    fn a_load_shares_the_line_and_takes_the_way_of_the_nearest_copy() {
        let mut line = Line::owned_by(0);
        let far = line.serve(4, Access::Load, ns(0), Time::ZERO, exact, &machine());
        assert_eq!(far.end, ns(64 + 1));
        assert_eq!((line.owner(), line.holders()), (None, 2));
        let near = line.serve(5, Access::Load, ns(100), Time::ZERO, exact, &machine());
        assert_eq!(near.end, ns(100 + 16 + 1), "from core 4");
        assert_eq!(
            line.serve(0, Access::Load, ns(200), Time::ZERO, exact, &machine())
                .end,
            ns(201)
        );
    }

    #[test]
    fn a_load_takes_a_line_that_was_written_where_the_machine_does_so() {
        let mut machine = machine();
        machine.loads_take = true;
        let mut line = Line::owned_by(0);
        let taken = line.serve(1, Access::Load, ns(100), Time::ZERO, exact, &machine);
        assert_eq!(taken.end, ns(100 + 16 + 1));
        assert_eq!((line.owner(), line.holders()), (Some(1), 1));
        // Core 1 has only read it, so this load leaves it a copy.
        let copied = line.serve(0, Access::Load, ns(200), Time::ZERO, exact, &machine);
        assert_eq!(copied.end, ns(200 + 16 + 1));
        assert_eq!((line.owner(), line.holders()), (None, 2));
        // After a write the next load takes it again, whether the core had the only copy or not.
        for (core, begin) in [(1, 1000), (0, 2000)] {
            line.serve(core, Access::Update, ns(begin), Time::ZERO, exact, &machine);
            line.serve(
                core,
                Access::Update,
                ns(begin + 200),
                Time::ZERO,
                exact,
                &machine,
            );
            line.serve(
                1 - core,
                Access::Load,
                ns(begin + 400),
                Time::ZERO,
                exact,
                &machine,
            );
            assert_eq!(line.owner(), Some(1 - core));
        }
    }

    #[test]
    fn nobody_goes_on_with_a_line_that_has_come_to_another_core() {
        let machine = kept_for(100.0);
        for access in [Access::Load, Access::Update] {
            let mut line = Line::owned_by(0);
            line.serve(1, access, ns(100), Time::ZERO, exact, &machine);
            // It comes after 16 ns.
            let before = line.serve(0, Access::Update, ns(115), Time::ZERO, exact, &machine);
            assert!(!before.is_transfer, "{access:?}");
            let after = line.serve(0, Access::Update, ns(116), Time::ZERO, exact, &machine);
            assert!(after.is_transfer, "{access:?}");
        }
    }

    #[test]
    fn a_load_takes_a_line_that_is_written_before_the_request_arrives() {
        let mut machine = kept_for(8.0);
        machine.loads_take = true;
        let mut line = Line::default();
        line.serve(0, Access::Load, ns(0), Time::ZERO, exact, &machine);
        line.serve(1, Access::Load, ns(1000), Time::ZERO, exact, &machine);
        assert_eq!(line.holders(), 2);
        let write = line.serve(0, Access::Update, ns(1004), Time::ZERO, exact, &machine);
        assert!(!write.is_transfer);
        assert_eq!((line.owner(), line.holders()), (Some(1), 1));
    }

    #[test]
    fn copies_of_a_shared_line_are_served_in_parallel() {
        let mut line = Line::owned_by(0);
        line.serve(1, Access::Load, ns(0), Time::ZERO, exact, &machine());
        // Both ask at once. Core 2 has the way from another cluster.
        let far = line.serve(2, Access::Load, ns(20), Time::ZERO, exact, &machine());
        assert_eq!((far.end, far.waited), (ns(20 + 32 + 1), ns(0)));
        let near = line.serve(3, Access::Load, ns(20), Time::ZERO, exact, &machine());
        assert_eq!((near.end, near.waited), (ns(20 + 16 + 1), ns(0)));
    }

    #[test]
    fn a_write_invalidates_all_copies_and_waits_for_the_farthest() {
        let mut line = Line::owned_by(0);
        for core in [1, 2, 4] {
            line.serve(core, Access::Load, ns(0), Time::ZERO, exact, &machine());
        }
        let served = line.serve(1, Access::Update, ns(1000), Time::ZERO, exact, &machine());
        // Cores 0, 2 and 4 lose their copies; core 4 is in the other socket.
        assert_eq!(served.end, ns(1000 + 64 + 2 * 8 + 2));
        assert_eq!((line.owner(), line.holders()), (Some(1), 1));
        assert!(!line.is_at(0) && line.is_at(1));
    }

    #[test]
    fn an_owner_goes_on_with_a_line_until_the_request_of_another_core_arrives() {
        let machine = kept_for(8.0);
        for access in [Access::Update, Access::Load] {
            let mut line = Line::owned_by(0);
            line.serve(1, access, ns(100), Time::ZERO, exact, &machine);
            let before = line.serve(0, Access::Update, ns(107), Time::ZERO, exact, &machine);
            assert_eq!(before, Served::hit(ns(109)), "{access:?}");
            let stored = line.serve(0, Access::Store, ns(107), Time::ZERO, exact, &machine);
            assert_eq!(stored, Served::hit(ns(108)), "{access:?}");
            let again = line.serve(0, Access::Update, ns(107), Time::ZERO, exact, &machine);
            assert!(!again.is_transfer, "{access:?}");
            let after = line.serve(0, Access::Update, ns(108), Time::ZERO, exact, &machine);
            assert!(after.is_transfer, "{access:?}");
        }
        // A copy is no right to write.
        let mut line = Line::owned_by(0);
        line.serve(1, Access::Load, ns(0), Time::ZERO, exact, &machine);
        line.serve(2, Access::Load, ns(50), Time::ZERO, exact, &machine);
        assert!(
            line.serve(0, Access::Update, ns(51), Time::ZERO, exact, &machine)
                .is_transfer
        );
    }

    #[test]
    fn no_later_access_sees_a_store_before_it_is_done() {
        let machine = kept_for(8.0);
        let mut line = Line::owned_by(0);
        let stored = line.serve(1, Access::Store, ns(100), Time::ZERO, exact, &machine);
        assert_eq!(stored.end, ns(100 + 16 + 1));
        // The owner before waits for it, as a core does that polls.
        let polled = line.serve(0, Access::Load, ns(101), Time::ZERO, exact, &machine);
        assert_eq!(polled.end, ns(117 + 16 + 1));
        // A store to a line that the core has may wait for the stores before it.
        let mut line = Line::owned_by(0);
        line.serve(0, Access::Store, ns(200), ns(100), exact, &machine);
        let polled = line.serve(1, Access::Load, ns(100), Time::ZERO, exact, &machine);
        assert_eq!(polled.end, ns(200 + 1 + 16 + 1));
    }

    #[test]
    fn a_line_that_was_asked_for_ahead_comes_earlier() {
        let served = |ahead| {
            let mut line = Line::owned_by(0);
            line.serve(1, Access::Update, ns(100), ns(ahead), exact, &machine())
        };
        assert_eq!(served(10).end, ns(100 - 10 + 16 + 2));
        assert_eq!(served(50).end, ns(100 + 2), "it has come before");
        // It is not asked for before the last transfer has ended.
        let mut line = Line::owned_by(0);
        line.serve(1, Access::Update, ns(90), Time::ZERO, exact, &machine());
        let next = line.serve(4, Access::Update, ns(100), ns(50), exact, &machine());
        assert_eq!((next.end, next.waited), (ns(90 + 18 + 64 + 2), ns(8)));
    }

    #[test]
    fn transfers_of_one_line_queue_behind_each_other() {
        let mut line = Line::owned_by(0);
        let step = 16 + 2;
        let first = line.serve(1, Access::Update, ns(0), Time::ZERO, exact, &machine());
        assert_eq!((first.end, first.waited), (ns(step), ns(0)));
        let second = line.serve(0, Access::Update, ns(1), Time::ZERO, exact, &machine());
        assert_eq!((second.end, second.waited), (ns(2 * step), ns(step - 1)));
        let third = line.serve(1, Access::Load, ns(step), Time::ZERO, exact, &machine());
        assert_eq!((third.end, third.waited), (ns(2 * step + 16 + 1), ns(step)));
    }
}
