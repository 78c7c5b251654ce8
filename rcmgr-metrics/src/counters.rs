//! Arithmetic on the six counters of a scope. It saturates.

use rcmgr_core::ScopeStat;

/// The sum of two amounts.
pub(crate) fn plus(one: &ScopeStat, other: &ScopeStat) -> ScopeStat {
    fields(one, other, u64::saturating_add)
}

/// The difference of two amounts.
pub(crate) fn minus(one: &ScopeStat, other: &ScopeStat) -> ScopeStat {
    fields(one, other, u64::saturating_sub)
}

/// The lower of both, field by field.
pub(crate) fn lower(one: &ScopeStat, other: &ScopeStat) -> ScopeStat {
    fields(one, other, Ord::min)
}

fn fields(one: &ScopeStat, other: &ScopeStat, f: impl Fn(u64, u64) -> u64) -> ScopeStat {
    ScopeStat {
        streams_inbound: f(one.streams_inbound, other.streams_inbound),
        streams_outbound: f(one.streams_outbound, other.streams_outbound),
        conns_inbound: f(one.conns_inbound, other.conns_inbound),
        conns_outbound: f(one.conns_outbound, other.conns_outbound),
        fd: f(one.fd, other.fd),
        memory: f(one.memory, other.memory),
    }
}

/// The six counters as an array: streams in and out, connections in and out, file descriptors,
/// bytes of memory. Reports and test vectors have this order.
pub(crate) const fn six(usage: &ScopeStat) -> [u64; 6] {
    [
        usage.streams_inbound,
        usage.streams_outbound,
        usage.conns_inbound,
        usage.conns_outbound,
        usage.fd,
        usage.memory,
    ]
}
