//! A behaviour that denies connections.

use std::convert::Infallible;
use std::io;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use libp2p::{Multiaddr, PeerId};

/// Denies all connections.
#[derive(Debug, Clone, Copy)]
pub enum Denier {
    Pending,
    Established,
    /// Once they are established, with a refusal by the manager as the reason.
    Refusal,
}

/// The refusal of a manager that is closed.
pub fn closed() -> rcmgr_core::Error {
    rcmgr_core::Error::ScopeClosed {
        scope: rcmgr_core::ScopeId::System.into(),
    }
}

impl Denier {
    fn deny(self, pending: bool) -> Result<(), ConnectionDenied> {
        match (self, pending) {
            (Self::Pending, true) | (Self::Established, false) => {
                Err(ConnectionDenied::new(io::Error::other("not welcome")))
            }
            (Self::Refusal, false) => Err(ConnectionDenied::new(closed())),
            _ => Ok(()),
        }
    }
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
        self.deny(true)
    }

    fn handle_pending_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: Option<PeerId>,
        _: &[Multiaddr],
        _: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        self.deny(true).map(|()| Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.deny(false).map(|()| dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.deny(false).map(|()| dummy::ConnectionHandler)
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
