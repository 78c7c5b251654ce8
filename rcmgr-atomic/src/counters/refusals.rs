//! Refusals, counted by resource and direction.

use rcmgr_core::{Direction, Refusals, Resource};

use super::per_thread::PerThread;
use super::slot::Slot;
use crate::sync::{AtomicU64, OnceBox, Ordering};

/// Counts refusals by resource and direction, off the cache lines that grants are made on.
///
/// Where several threads may be refused at once, each counts in a shard of its own. The shards are
/// made beforehand, because a refusal allocates nothing.
#[derive(Debug)]
pub struct RefusalCounts {
    counts: Counts,
    shards: OnceBox<PerThread<Counts>>,
}

type Counts = [AtomicU64; FIELDS];

/// The number of counts: one cache line.
const FIELDS: usize = 8;

fn zeros() -> Counts {
    std::array::from_fn(|_| AtomicU64::new(0))
}

fn fields(refusals: Refusals) -> [u64; FIELDS] {
    [
        refusals.memory,
        refusals.streams_inbound,
        refusals.streams_outbound,
        refusals.conns_inbound,
        refusals.conns_outbound,
        refusals.fd,
        refusals.fd_outbound,
        refusals.conns_with_fd,
    ]
}

impl RefusalCounts {
    pub fn new() -> Self {
        Self {
            counts: zeros(),
            shards: OnceBox::new(),
        }
    }

    /// Prepares for several threads. Earlier counts stay where they are.
    pub fn spread(&self) {
        self.spread_over(PerThread::new);
    }

    /// The same with a few shards, whatever the machine: for a scope whose number a remote decides.
    #[inline]
    pub fn spread_a_little(&self) {
        if !self.is_spread() {
            self.spread_over(PerThread::few);
        }
    }

    // Not part of its callers, whose frames stay small.
    #[cold]
    #[inline(never)]
    fn spread_over(&self, shards: fn(fn() -> Counts) -> PerThread<Counts>) {
        if self.shards.get().is_none() {
            // Another thread may have been faster: then its shards stay.
            let _ = self.shards.set(Box::new(shards(zeros)));
        }
    }

    #[inline]
    pub fn is_spread(&self) -> bool {
        self.shards.get().is_some()
    }

    /// Counts one refusal of a stream or connection, or of something else.
    pub fn count(&self, resource: Resource, slot: Option<Slot>) {
        let direction = slot.map(Slot::direction);
        let is_outbound = direction == Some(Direction::Outbound);
        let outbound = usize::from(is_outbound);
        let at = match resource {
            Resource::Memory => 0,
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
                1 + outbound
            }
            Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound => 3 + outbound,
            Resource::Fd => 5,
        };
        let counts = match self.shards.get() {
            Some(shards) => shards.of_this_thread(),
            None => &self.counts,
        };
        // Relaxed, here and below: counts are read by themselves and order nothing.
        counts[at].fetch_add(1, Ordering::Relaxed);
        let uses_fd = slot.is_some_and(Slot::uses_fd);
        let part = match resource {
            Resource::Fd => is_outbound.then_some(6),
            _ => uses_fd.then_some(7),
        };
        if let Some(at) = part {
            counts[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Adds counts that were made elsewhere.
    pub fn add(&self, other: Refusals) {
        for (count, more) in self.counts.iter().zip(fields(other)) {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// Raises every count to at least its value in `other`. Returns the counts after that.
    pub fn raise(&self, other: Refusals) -> Refusals {
        for (count, least) in self.counts.iter().zip(fields(other)) {
            count.fetch_max(least, Ordering::Relaxed);
        }
        self.get()
    }

    /// The sum of all shards. It never decreases, because no shard does.
    pub fn get(&self) -> Refusals {
        let shards = self
            .shards
            .get()
            .into_iter()
            .flat_map(|shards| shards.iter());
        let all = std::iter::once(&self.counts).chain(shards);
        all.map(refusals).sum()
    }
}

fn refusals(counts: &Counts) -> Refusals {
    let [
        memory,
        streams_inbound,
        streams_outbound,
        conns_inbound,
        conns_outbound,
        fd,
        fd_outbound,
        conns_with_fd,
    ] = std::array::from_fn(|at| counts[at].load(Ordering::Relaxed));
    Refusals {
        memory,
        streams_inbound,
        streams_outbound,
        conns_inbound,
        conns_outbound,
        fd,
        fd_outbound,
        conns_with_fd,
    }
}
