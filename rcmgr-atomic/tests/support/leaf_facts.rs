use rcmgr_atomic::{Direction, PeerId, ScopeId, ScopeStat, UsesFd};

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
        if !attached {
            path.push(ScopeId::Transient);
        }
        path.push(ScopeId::System);
        path
    }
}
