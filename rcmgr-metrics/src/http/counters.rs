//! The six counters of a scope, as JSON.

use rcmgr_core::{Refusals, ScopeStat};
use serde::Serialize;

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Counters {
    memory: u64,
    fd: u64,
    streams_inbound: u64,
    streams_outbound: u64,
    conns_inbound: u64,
    conns_outbound: u64,
}

impl Counters {
    pub const fn of_stat(stat: &ScopeStat) -> Self {
        Self {
            memory: stat.memory,
            fd: stat.fd,
            streams_inbound: stat.streams_inbound,
            streams_outbound: stat.streams_outbound,
            conns_inbound: stat.conns_inbound,
            conns_outbound: stat.conns_outbound,
        }
    }

    pub const fn of_refusals(refusals: &Refusals) -> Self {
        Self {
            memory: refusals.memory,
            fd: refusals.fd,
            streams_inbound: refusals.streams_inbound,
            streams_outbound: refusals.streams_outbound,
            conns_inbound: refusals.conns_inbound,
            conns_outbound: refusals.conns_outbound,
        }
    }
}
