//! The requests that are counted apart: by resource and direction, or by limiter.

use rcmgr_atomic::address::AddressStat;
use rcmgr_core::{Refusals, Resource};

/// The resources whose refusals are counted separately.
pub(super) const ASKED: [Resource; 6] = [
    Resource::Memory,
    Resource::StreamsInbound,
    Resource::StreamsOutbound,
    Resource::ConnsInbound,
    Resource::ConnsOutbound,
    Resource::Fd,
];

pub(super) const fn by_asked(refusals: &Refusals) -> [u64; ASKED.len()] {
    [
        refusals.memory,
        refusals.streams_inbound,
        refusals.streams_outbound,
        refusals.conns_inbound,
        refusals.conns_outbound,
        refusals.fd,
    ]
}

pub(super) const LIMITERS: [&str; 2] = ["rate", "subnet"];

pub(super) const fn by_limiter(stat: &AddressStat) -> [u64; LIMITERS.len()] {
    [stat.refused_by_rate, stat.refused_by_subnet]
}
