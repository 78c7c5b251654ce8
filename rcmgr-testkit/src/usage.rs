//! The usage of a scope as the vectors write it.

use rcmgr_core::ScopeStat;

/// Streams inbound and outbound, connections inbound and outbound, file descriptors, memory.
pub type Usage = [u64; 6];

/// The usage in a snapshot of a scope.
pub fn usage(stat: &ScopeStat) -> Usage {
    [
        stat.streams_inbound,
        stat.streams_outbound,
        stat.conns_inbound,
        stat.conns_outbound,
        stat.fd,
        stat.memory,
    ]
}
