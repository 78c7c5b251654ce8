//! The usage of one scope, and of all scopes of a manager.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::{PeerId, Resource, ScopeId};

/// The usage of a scope at one moment: six counters.
///
/// Memory, streams, and connections with file descriptors are each read atomically, one after the
/// other.
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
    /// No usage.
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

    /// The usage of one resource: a counter, or the sum of both directions.
    ///
    /// ```
    /// use rcmgr_core::{Resource, ScopeStat};
    ///
    /// let stat = ScopeStat { streams_inbound: 3, streams_outbound: 1, ..ScopeStat::ZERO };
    /// assert_eq!(stat.get(Resource::Streams), 4);
    /// assert_eq!(stat.get(Resource::StreamsInbound), 3);
    /// ```
    #[inline]
    pub const fn get(&self, resource: Resource) -> u64 {
        match resource {
            Resource::Memory => self.memory,
            Resource::Fd => self.fd,
            Resource::Streams => self.streams(),
            Resource::StreamsInbound => self.streams_inbound,
            Resource::StreamsOutbound => self.streams_outbound,
            Resource::Conns => self.conns(),
            Resource::ConnsInbound => self.conns_inbound,
            Resource::ConnsOutbound => self.conns_outbound,
        }
    }

    /// The six counters with their resources, in the order of [`Resource::COUNTED`].
    pub fn iter(&self) -> impl Iterator<Item = (Resource, u64)> + use<> {
        let stat = *self;
        Resource::COUNTED
            .into_iter()
            .map(move |resource| (resource, stat.get(resource)))
    }

    /// Whether all counters are zero.
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

/// The usage of all named scopes of a manager.
///
/// Each scope is read separately: while the manager is in use, the parts show slightly different
/// moments.
///
/// The text has one line for each of the four scopes that every manager has, and one line with the
/// numbers of the other scopes. With `{:#}` it has one line for each scope.
///
/// ```
/// use rcmgr_core::{ManagerStat, ScopeStat};
///
/// let mut stat = ManagerStat::default();
/// stat.services.insert("dht".into(), ScopeStat { memory: 4096, ..ScopeStat::ZERO });
/// let lines = stat.to_string();
/// assert!(lines.starts_with("system: connections 0 in 0 out, streams 0 in 0 out, 0 fds, 0 bytes"));
/// assert!(lines.ends_with("1 service, 0 protocols, 0 peers"));
/// let last = "service:dht: connections 0 in 0 out, streams 0 in 0 out, 0 fds, 4096 bytes";
/// assert!(format!("{stat:#}").ends_with(last));
/// ```
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
    /// Each service, by name.
    pub services: BTreeMap<Arc<str>, ScopeStat>,
    /// Each live protocol, by id.
    pub protocols: BTreeMap<Arc<str>, ScopeStat>,
    /// Each live peer, by id.
    pub peers: BTreeMap<PeerId, ScopeStat>,
}

impl fmt::Display for ManagerStat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", ScopeId::System, self.system)?;
        writeln!(f, "{}: {}", ScopeId::Transient, self.transient)?;
        writeln!(
            f,
            "{}: {}",
            ScopeId::AllowlistedSystem,
            self.allowlisted_system
        )?;
        write!(
            f,
            "{}: {}",
            ScopeId::AllowlistedTransient,
            self.allowlisted_transient
        )?;
        if !f.alternate() {
            let [services, protocols, peers] = [
                (self.services.len(), "service"),
                (self.protocols.len(), "protocol"),
                (self.peers.len(), "peer"),
            ]
            .map(|(count, name)| Counted { count, name });
            return write!(f, "\n{services}, {protocols}, {peers}");
        }
        for (name, stat) in &self.services {
            write!(f, "\n{}: {stat}", ScopeId::Service(name.clone()))?;
        }
        for (id, stat) in &self.protocols {
            write!(f, "\n{}: {stat}", ScopeId::Protocol(id.clone()))?;
        }
        for (peer, stat) in &self.peers {
            write!(f, "\n{}: {stat}", ScopeId::Peer(*peer))?;
        }
        Ok(())
    }
}

/// A number with a noun, which is in the plural unless the number is 1.
struct Counted {
    count: usize,
    name: &'static str,
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { count, name } = self;
        write!(f, "{count} {name}{}", if *count == 1 { "" } else { "s" })
    }
}
