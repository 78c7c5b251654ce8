use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::PeerId;

/// What a scope uses at one moment: the six counters.
///
/// Memory, streams and connections (with their file descriptors) are each read in one step; the
/// three are read one after the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct ScopeStat {
    /// Streams that the remote opened.
    pub streams_inbound: u64,
    /// Streams that we opened.
    pub streams_outbound: u64,
    /// Connections that the remote opened.
    pub conns_inbound: u64,
    /// Connections that we opened.
    pub conns_outbound: u64,
    /// File descriptors.
    pub fd: u64,
    /// Memory, in bytes.
    pub memory: u64,
}

impl ScopeStat {
    /// Nothing used.
    pub const ZERO: Self = Self {
        streams_inbound: 0,
        streams_outbound: 0,
        conns_inbound: 0,
        conns_outbound: 0,
        fd: 0,
        memory: 0,
    };

    /// Streams of both directions.
    pub const fn streams(&self) -> u64 {
        self.streams_inbound.saturating_add(self.streams_outbound)
    }

    /// Connections of both directions.
    pub const fn conns(&self) -> u64 {
        self.conns_inbound.saturating_add(self.conns_outbound)
    }

    /// Whether nothing is used.
    pub fn is_zero(&self) -> bool {
        *self == Self::ZERO
    }
}

impl fmt::Display for ScopeStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "connections {} in {} out, streams {} in {} out, {} fds, {} bytes",
            self.conns_inbound,
            self.conns_outbound,
            self.streams_inbound,
            self.streams_outbound,
            self.fd,
            self.memory,
        )
    }
}

/// What all named scopes of a manager use.
///
/// Each scope is read by itself: while the manager is in use, the parts are of slightly different
/// moments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManagerStat {
    /// The system scope.
    pub system: ScopeStat,
    /// The transient scope.
    pub transient: ScopeStat,
    /// The system scope of allowlisted connections.
    pub allowlisted_system: ScopeStat,
    /// The transient scope of allowlisted connections.
    pub allowlisted_transient: ScopeStat,
    /// Each service by name.
    pub services: BTreeMap<Arc<str>, ScopeStat>,
    /// Each live protocol by its id.
    pub protocols: BTreeMap<Arc<str>, ScopeStat>,
    /// Each live peer by its id.
    pub peers: BTreeMap<PeerId, ScopeStat>,
}
