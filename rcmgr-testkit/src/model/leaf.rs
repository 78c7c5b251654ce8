//! What the model knows of a connection or stream.

use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_core::{Direction, PeerId, ScopeId, ScopeStat, UsesFd};

/// The last scopes of a leaf's path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Transient (until the leaf is attached) and system.
    Standard,
    /// The same two of the allowlist.
    Allowlisted,
    /// A connection that had to leave the allowlisted scopes and was refused by the standard ones.
    /// The system scope may have taken it before the transient scope refused.
    Stranded { on_system: bool },
}

/// A connection or stream.
#[derive(Debug, Clone)]
pub struct Leaf {
    pub number: u64,
    pub direction: Direction,
    /// `None` for a stream.
    pub uses_fd: Option<UsesFd>,
    pub peer: Option<PeerId>,
    pub protocol: Option<Arc<str>>,
    pub service: Option<Arc<str>>,
    pub end: End,
    /// Whether an allowlist of peers alone let it in.
    pub is_unproven: bool,
    /// The remote address, in the form that counts.
    pub ip: Option<IpAddr>,
    /// Whether it has a permit in the subnet of its address.
    pub has_permit: bool,
    /// The dry run in which it has a permit, too, by number.
    pub dry_run_permit: Option<u64>,
}

impl Leaf {
    pub const fn is_stream(&self) -> bool {
        self.uses_fd.is_none()
    }

    pub const fn is_connection(&self) -> bool {
        !self.is_stream()
    }

    pub const fn id(&self) -> ScopeId {
        if self.is_stream() {
            ScopeId::Stream(self.number)
        } else {
            ScopeId::Connection(self.number)
        }
    }

    /// What it holds besides memory.
    pub fn counts(&self) -> ScopeStat {
        let mut stat = ScopeStat::ZERO;
        match (self.is_stream(), self.direction) {
            (true, Direction::Inbound) => stat.streams_inbound = 1,
            (true, Direction::Outbound) => stat.streams_outbound = 1,
            (false, Direction::Inbound) => stat.conns_inbound = 1,
            (false, Direction::Outbound) => stat.conns_outbound = 1,
        }
        stat.fd = u64::from(self.uses_fd == Some(UsesFd::Yes));
        stat
    }

    /// The scopes that it is charged on, in the order in which they are asked.
    pub fn path(&self) -> Vec<ScopeId> {
        let (transient, system) = match self.end {
            End::Standard => (ScopeId::Transient, ScopeId::System),
            End::Allowlisted => (ScopeId::AllowlistedTransient, ScopeId::AllowlistedSystem),
            End::Stranded { on_system: true } => return vec![ScopeId::System],
            End::Stranded { on_system: false } => return Vec::new(),
        };
        let mut path = Vec::new();
        path.extend(self.peer.map(ScopeId::Peer));
        if let (Some(protocol), Some(peer)) = (&self.protocol, self.peer) {
            path.push(ScopeId::ProtocolPeer(protocol.clone(), peer));
        }
        if let (Some(service), Some(peer)) = (&self.service, self.peer) {
            path.push(ScopeId::ServicePeer(service.clone(), peer));
        }
        path.extend(self.protocol.clone().map(ScopeId::Protocol));
        path.extend(self.service.clone().map(ScopeId::Service));
        let is_attached = if self.is_stream() {
            self.protocol.is_some()
        } else {
            self.peer.is_some() || self.service.is_some()
        };
        if !is_attached {
            path.push(transient);
        }
        path.push(system);
        path
    }
}
