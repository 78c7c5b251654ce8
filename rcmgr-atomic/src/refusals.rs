use rcmgr_core::{Direction, Refusals, Resource};

use crate::sync::{AtomicU64, Ordering};

/// Counts refusals by resource and direction, off the lines that grants are made on.
#[derive(Debug)]
pub struct RefusalCounts([AtomicU64; 6]);

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
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
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
        // Relaxed: counts are read by themselves and order nothing.
        self.0[at].fetch_add(1, Ordering::Relaxed);
    }

    /// Adds what was counted elsewhere.
    pub fn add(&self, other: Refusals) {
        for (count, more) in self.0.iter().zip(fields(other)) {
            if more > 0 {
                count.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    /// Raises every count to at least what it is in `other`. What they are then.
    pub fn raise(&self, other: Refusals) -> Refusals {
        for (count, least) in self.0.iter().zip(fields(other)) {
            count.fetch_max(least, Ordering::Relaxed);
        }
        self.get()
    }

    pub fn get(&self) -> Refusals {
        let [
            memory,
            streams_inbound,
            streams_outbound,
            conns_inbound,
            conns_outbound,
            fd,
        ] = std::array::from_fn(|at| self.0[at].load(Ordering::Relaxed));
        Refusals {
            memory,
            streams_inbound,
            streams_outbound,
            conns_inbound,
            conns_outbound,
            fd,
        }
    }
}
