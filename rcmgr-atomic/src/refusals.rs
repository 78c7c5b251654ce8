use rcmgr_core::{Direction, Refusals, Resource};

use crate::sync::{AtomicU64, LANES, OnceBox, Ordering, lane};

/// Counts refusals by resource and direction, off the lines that grants are made on.
///
/// Where several threads may be refused at a time, each counts in a lane of its own: they are made
/// beforehand, since a refusal allocates nothing.
#[derive(Debug)]
pub struct RefusalCounts {
    counts: Counts,
    lanes: OnceBox<[Lane; LANES]>,
}

type Counts = [AtomicU64; 6];

/// On a cache line of its own.
#[derive(Debug)]
#[repr(align(64))]
struct Lane(Counts);

fn zeros() -> Counts {
    std::array::from_fn(|_| AtomicU64::new(0))
}

fn fields(refusals: Refusals) -> [u64; 6] {
    [
        refusals.memory,
        refusals.streams_inbound,
        refusals.streams_outbound,
        refusals.conns_inbound,
        refusals.conns_outbound,
        refusals.fd,
    ]
}

impl RefusalCounts {
    pub fn new() -> Self {
        Self {
            counts: zeros(),
            lanes: OnceBox::new(),
        }
    }

    /// Prepares for several threads. What was counted before stays where it is.
    pub fn spread(&self) {
        if self.lanes.get().is_none() {
            // Another thread may have been faster.
            let _ = (self.lanes).set(Box::new(std::array::from_fn(|_| Lane(zeros()))));
        }
    }

    pub fn is_spread(&self) -> bool {
        self.lanes.get().is_some()
    }

    /// Counts one refusal; `direction` is that of the stream or connection it was about.
    pub fn count(&self, resource: Resource, direction: Option<Direction>) {
        let outbound = usize::from(direction == Some(Direction::Outbound));
        let at = match resource {
            Resource::Memory => 0,
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
                1 + outbound
            }
            Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound => 3 + outbound,
            Resource::Fd => 5,
        };
        let counts = match self.lanes.get() {
            Some(lanes) => &lanes[lane()].0,
            None => &self.counts,
        };
        // Relaxed: counts are read by themselves and order nothing.
        counts[at].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what was counted elsewhere.
    pub fn add(&self, other: Refusals) {
        for (count, more) in self.counts.iter().zip(fields(other)) {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// Raises every count to at least what it is in `other`. What they are then.
    pub fn raise(&self, other: Refusals) -> Refusals {
        for (count, least) in self.counts.iter().zip(fields(other)) {
            count.fetch_max(least, Ordering::Relaxed);
        }
        self.get()
    }

    /// The sum of all lanes. It never goes back, since none of them does.
    pub fn get(&self) -> Refusals {
        let lanes = self.lanes.get().into_iter().flat_map(|lanes| lanes.iter());
        let all = std::iter::once(&self.counts).chain(lanes.map(|lane| &lane.0));
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
    ] = std::array::from_fn(|at| counts[at].load(Ordering::Relaxed));
    Refusals {
        memory,
        streams_inbound,
        streams_outbound,
        conns_inbound,
        conns_outbound,
        fd,
    }
}
