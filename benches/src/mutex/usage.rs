//! Arithmetic on usage, and the threshold of a limit.

use rcmgr_core::{Direction, LimitValue, Priority, Resource, ScopeStat};

pub fn add(used: &mut ScopeStat, more: &ScopeStat) {
    used.memory += more.memory;
    used.streams_inbound += more.streams_inbound;
    used.streams_outbound += more.streams_outbound;
    used.conns_inbound += more.conns_inbound;
    used.conns_outbound += more.conns_outbound;
    used.fd += more.fd;
}

/// The requested streams, connections and file descriptors, in the order of the checks.
pub fn slots(more: &ScopeStat) -> [(Resource, Option<Direction>, u64); 7] {
    use Direction::{Inbound, Outbound};
    let direction = |inbound| Some(if inbound > 0 { Inbound } else { Outbound });
    let streams = direction(more.streams_inbound);
    let conns = direction(more.conns_inbound);
    [
        (
            Resource::StreamsInbound,
            Some(Inbound),
            more.streams_inbound,
        ),
        (
            Resource::StreamsOutbound,
            Some(Outbound),
            more.streams_outbound,
        ),
        (Resource::Streams, streams, more.streams()),
        (Resource::ConnsInbound, Some(Inbound), more.conns_inbound),
        (Resource::ConnsOutbound, Some(Outbound), more.conns_outbound),
        (Resource::Conns, conns, more.conns()),
        (Resource::Fd, conns, more.fd),
    ]
}

/// The usage up to which a reservation of this priority is granted.
pub fn threshold(limit: LimitValue, priority: Priority) -> LimitValue {
    match limit {
        LimitValue::Limited(limit) => {
            let part = u128::from(limit) * (u128::from(priority.level()) + 1) / 256;
            LimitValue::Limited(part as u64)
        }
        LimitValue::Unlimited => LimitValue::Unlimited,
    }
}
