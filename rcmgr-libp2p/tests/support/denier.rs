//! A behaviour that denies connections.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Denies connections.
#[derive(Debug, Clone, Copy)]
pub enum Denier {
    /// All, when they are pending.
    Pending,
    /// All, when they are established.
    Established,
    /// Those over TCP, when they are established.
    EstablishedTcp,
    /// All, when they are established, with a refusal by the manager as the reason.
    Refusal,
}

/// The refusal of a manager that is closed.
pub fn closed() -> rcmgr_core::Error {
    rcmgr_core::Error::ScopeClosed {
        scope: rcmgr_core::ScopeId::System.into(),
    }
}

impl Denier {
    fn on_pending(self) -> Result<(), ConnectionDenied> {
        match self {
            Self::Pending => Err(denied()),
            Self::Established | Self::EstablishedTcp | Self::Refusal => Ok(()),
        }
    }

    fn on_established(
        self,
        remote: &Multiaddr,
    ) -> Result<dummy::ConnectionHandler, ConnectionDenied> {
        let is_tcp = || remote.iter().any(|part| matches!(part, Protocol::Tcp(_)));
        match self {
            Self::Established => Err(denied()),
            Self::EstablishedTcp if is_tcp() => Err(denied()),
            Self::Refusal => Err(ConnectionDenied::new(closed())),
            Self::Pending | Self::EstablishedTcp => Ok(dummy::ConnectionHandler),
        }
    }
}

fn denied() -> ConnectionDenied {
    ConnectionDenied::new(io::Error::other("not welcome"))
}

impl NetworkBehaviour for Denier {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        self.on_pending()
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.on_pending().map(|()| Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.on_established(remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        remote: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.on_established(remote)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Infallible, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}
