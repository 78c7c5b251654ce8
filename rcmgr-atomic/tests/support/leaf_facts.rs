use std::net::IpAddr;

use rcmgr_atomic::{Direction, PeerId, ScopeId, ScopeStat, UsesFd};

/// Where the path of a leaf ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Standard,
    Allowlisted,
    /// Neither the allowlist nor the standard scopes let it in, but perhaps for system.
    Stranded {
        on_system: bool,
    },
}

/// What is known of a connection or stream.
#[derive(Debug, Clone)]
pub struct LeafFacts {
    pub number: u64,
    pub direction: Direction,
    /// `None` for a stream.
    pub uses_fd: Option<UsesFd>,
    pub peer: Option<PeerId>,
    pub protocol: Option<String>,
    pub service: Option<String>,
    pub end: End,
    /// The remote address, if any.
    pub ip: Option<IpAddr>,
    /// Whether it has a permit in the subnet of its address.
    pub has_place: bool,
}

impl LeafFacts {
    pub fn is_stream(&self) -> bool {
        self.uses_fd.is_none()
    }

    pub fn id(&self) -> ScopeId {
        if self.is_stream() {
            ScopeId::Stream(self.number)
        } else {
            ScopeId::Connection(self.number)
        }
    }

    /// What it holds besides memory.
    pub fn slot(&self) -> ScopeStat {
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
        if let End::Stranded { on_system } = self.end {
            return on_system.then_some(ScopeId::System).into_iter().collect();
        }
        let peer = self.peer;
        let protocol = self.protocol.as_deref();
        let service = self.service.as_deref();
        let mut path = Vec::new();
        path.extend(peer.map(ScopeId::Peer));
        if let (Some(protocol), Some(peer)) = (protocol, peer) {
            path.push(ScopeId::ProtocolPeer(protocol.into(), peer));
        }
        if let (Some(service), Some(peer)) = (service, peer) {
            path.push(ScopeId::ServicePeer(service.into(), peer));
        }
        path.extend(protocol.map(|protocol| ScopeId::Protocol(protocol.into())));
        path.extend(service.map(|service| ScopeId::Service(service.into())));
        let attached = if self.is_stream() {
            protocol.is_some()
        } else {
            peer.is_some() || service.is_some()
        };
        let (transient, system) = match self.end {
            End::Allowlisted => (ScopeId::AllowlistedTransient, ScopeId::AllowlistedSystem),
            _ => (ScopeId::Transient, ScopeId::System),
        };
        path.extend((!attached).then_some(transient));
        path.push(system);
        path
    }
}
