//! Limits for connections alone, for a swarm whose transports cannot be wrapped.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::task::{Context, Poll};

use libp2p_core::transport::PortUse;
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::behaviour::{ConnectionClosed, DialFailure, ListenFailure};
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};
use rcmgr_atomic::Connection;
use rcmgr_core::{Direction, UsesFd};

use crate::resources::Resources;
use crate::transport::descriptor;

/// Charges the connections of a swarm, and denies those for which a limit has no room.
///
/// It is for a swarm whose transports are built by `with_tcp`, `with_quic` and the like. The
/// [wrapper of a transport](crate::LimitExt::limited) sees more, and is the better choice where it
/// can be used:
///
/// | | wrapper | this behaviour |
/// | --- | --- | --- |
/// | streams, protocols, services | charged | not seen |
/// | a dial of several addresses | one connection for each address that is tried | one connection |
/// | limits and allowlists by address, of a dial | each address | the address, if there is one only |
/// | descriptors | those that are open | guessed from the address, one at most for a dial |
/// | a connection that is refused at its peer | ends before the swarm has established it | the same |
///
/// A connection is transient until it is established, and then charged to its peer. It is released
/// when the swarm says that it is closed or has failed, which may be shortly before its socket is
/// closed.
///
/// The swarm's `ListenError::Denied` and `DialError::Denied` have a cause in which
/// [`refusal`](crate::refusal) finds the error of the manager.
///
/// Do not use it together with the wrapper: each connection would be charged twice. Do not use it
/// together with [`Resources::behaviour`] either, which would report each connection as unlimited.
///
/// ```
/// # use rcmgr_atomic::{Limits, Manager};
/// use libp2p::swarm::NetworkBehaviour;
/// use libp2p::{SwarmBuilder, noise, ping, tcp, yamux};
/// use rcmgr_libp2p::{Resources, connections};
///
/// #[derive(NetworkBehaviour)]
/// struct Node {
///     limits: connections::Behaviour,
///     ping: ping::Behaviour,
/// }
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _in_runtime = runtime.enter();
/// let resources = Resources::new(Manager::new(Limits::unlimited())?);
/// let swarm = SwarmBuilder::with_new_identity()
///     .with_tokio()
///     .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)?
///     .with_behaviour(|_| Node {
///         limits: connections::Behaviour::new(&resources),
///         ping: ping::Behaviour::default(),
///     })?
///     .build();
/// # drop(swarm);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Behaviour {
    resources: Resources,
    connections: HashMap<ConnectionId, Connection>,
}

impl Behaviour {
    /// The behaviour of one swarm. Of the settings of `resources`, it uses the manager and the
    /// memory of a connection.
    pub fn new(resources: &Resources) -> Self {
        Self {
            resources: resources.clone(),
            connections: HashMap::new(),
        }
    }

    /// Charges the peer of a connection that the swarm is about to establish.
    fn establish(
        &mut self,
        id: ConnectionId,
        direction: Direction,
        peer: PeerId,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        let connection = match self.connections.entry(id) {
            Entry::Occupied(pending) => pending.into_mut(),
            // This behaviour was put in use while the connection was pending.
            Entry::Vacant(unknown) => {
                let uses_fd = descriptor::of_address(remote);
                let opened = self.resources.open_connection(direction, uses_fd, remote);
                unknown.insert(opened.map_err(ConnectionDenied::new)?)
            }
        };
        // If it is refused, the swarm says next that the connection has failed.
        let charged = self.resources.set_peer(connection, peer, remote);
        charged.map_err(ConnectionDenied::new)?;
        Ok(dummy::ConnectionHandler)
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = std::convert::Infallible;

    fn handle_pending_inbound_connection(
        &mut self,
        id: ConnectionId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<(), ConnectionDenied> {
        let uses_fd = descriptor::of_address(remote);
        let opened = self
            .resources
            .open_connection(Direction::Inbound, uses_fd, remote);
        self.connections
            .insert(id, opened.map_err(ConnectionDenied::new)?);
        Ok(())
    }

    fn handle_pending_outbound_connection(
        &mut self,
        id: ConnectionId,
        _peer: Option<PeerId>,
        addresses: &[Multiaddr],
        _role: Endpoint,
    ) -> Result<Vec<Multiaddr>, ConnectionDenied> {
        // Another behaviour may add addresses. If there are none yet, these may use a descriptor.
        let may_use_fd = addresses.is_empty()
            || (addresses.iter()).any(|address| descriptor::of_address(address) == UsesFd::Yes);
        let uses_fd = if may_use_fd { UsesFd::Yes } else { UsesFd::No };
        let remote = match addresses {
            [address] => address,
            _ => &Multiaddr::empty(),
        };
        let opened = self
            .resources
            .open_connection(Direction::Outbound, uses_fd, remote);
        self.connections
            .insert(id, opened.map_err(ConnectionDenied::new)?);
        Ok(Vec::new())
    }

    fn handle_established_inbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.establish(id, Direction::Inbound, peer, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.establish(id, Direction::Outbound, peer, remote)
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        let (FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. })
        | FromSwarm::DialFailure(DialFailure { connection_id, .. })
        | FromSwarm::ListenFailure(ListenFailure { connection_id, .. })) = event
        else {
            return;
        };
        self.connections.remove(&connection_id);
    }

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _id: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        _cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

#[cfg(test)]
mod tests;
