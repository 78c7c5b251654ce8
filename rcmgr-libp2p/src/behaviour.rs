//! The behaviour that tells a swarm what the wrappers of its transports have refused, and which
//! connections came past them.

pub mod connections;

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use libp2p_core::transport::PortUse;
use libp2p_core::{Endpoint, Multiaddr};
use libp2p_identity::PeerId;
use libp2p_swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, THandler, THandlerInEvent,
    THandlerOutEvent, ToSwarm, dummy,
};

use crate::reports::Refused;
use crate::resources::Resources;

/// Emits an [`Event`] for each refusal, and for each connection that is not under limits: see
/// [`Resources::behaviour`].
///
/// It limits nothing itself, and denies no connection.
#[derive(Debug)]
pub struct Behaviour {
    resources: Resources,
    unlimited: VecDeque<Event>,
    /// How many of the dropped refusals have been told.
    told_dropped: u64,
    has_warned: bool,
    /// Whether the last poll returned a refusal.
    is_others_turn: bool,
}

/// What a [`Behaviour`] tells the swarm.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A connection or stream was refused.
    Refused(Refused),
    /// A connection was established that is not under limits: its transport was not wrapped with
    /// [`limited`](crate::LimitExt::limited). This happens when the swarm was built with
    /// `with_relay_client`, for example.
    ///
    /// If several connections with the peer are set up at the same time, this may name another one
    /// of them.
    Unlimited {
        /// The peer.
        peer: PeerId,
        /// The connection.
        connection: ConnectionId,
        /// Its remote address.
        address: Multiaddr,
    },
}

impl Resources {
    /// The behaviour that tells the swarm what was refused.
    ///
    /// Without it a refused inbound stream shows only in the metrics. A refused inbound connection
    /// is an error whose text says only that the transport failed. At most 256 refusals
    /// wait for the swarm. More are dropped and counted: see [`Refused::dropped_before`].
    ///
    /// Make it before the swarm runs, once for each swarm: it compares the connections of its swarm
    /// with those that were made with these `Resources` or clones of them. If two swarms shared
    /// them, each refusal would be told to one of the two swarms. Put it before other behaviours
    /// that deny connections.
    ///
    /// ```
    /// # use rcmgr_atomic::{Limits, Manager};
    /// use libp2p::swarm::NetworkBehaviour;
    /// use libp2p::{SwarmBuilder, ping, quic};
    /// use rcmgr_libp2p::{Event, LimitExt, Resources};
    ///
    /// #[derive(NetworkBehaviour)]
    /// struct Node {
    ///     limits: rcmgr_libp2p::Behaviour,
    ///     ping: ping::Behaviour,
    /// }
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    /// # let _in_runtime = runtime.enter();
    /// let resources = Resources::new(Manager::new(Limits::unlimited())?);
    /// let swarm = SwarmBuilder::with_new_identity()
    ///     .with_tokio()
    ///     .with_other_transport(|key| {
    ///         quic::tokio::Transport::new(quic::Config::new(key)).limited(&resources)
    ///     })?
    ///     .with_behaviour(|_| Node {
    ///         limits: resources.behaviour(),
    ///         ping: ping::Behaviour::default(),
    ///     })?
    ///     .build();
    /// # drop(swarm);
    ///
    /// fn on_event(event: NodeEvent) {
    ///     match event {
    ///         NodeEvent::Limits(Event::Refused(refused)) => {
    ///             println!("{:?}: {}", refused.peer, refused.error);
    ///         }
    ///         NodeEvent::Limits(Event::Unlimited { peer, address, .. }) => {
    ///             println!("{peer} at {address} is not under limits");
    ///         }
    ///         _ => {}
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn behaviour(&self) -> Behaviour {
        // From now on the wrappers report.
        self.reports();
        Behaviour {
            resources: self.clone(),
            unlimited: VecDeque::new(),
            told_dropped: 0,
            has_warned: false,
            is_others_turn: false,
        }
    }
}

impl Behaviour {
    /// How many refusals have no event so far, because as many as may wait for the swarm were
    /// waiting.
    pub fn dropped(&self) -> u64 {
        self.resources.reports().dropped()
    }

    /// Looks whether a wrapper holds the connection that the swarm establishes. It holds it until
    /// the handler has been made, so it cannot have ended yet.
    fn on_established(&mut self, connection: ConnectionId, peer: PeerId, address: &Multiaddr) {
        if self.resources.reports().arrivals().take(&peer.into()) {
            return;
        }
        if !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                %peer,
                %address,
                "a connection is not under limits: wrap its transport with `.limited(&resources)`; further ones are not logged"
            );
        }
        self.unlimited.push_back(Event::Unlimited {
            peer,
            connection,
            address: address.clone(),
        });
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = dummy::ConnectionHandler;
    type ToSwarm = Event;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        _local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.on_established(connection, peer, remote);
        Ok(dummy::ConnectionHandler)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        remote: &Multiaddr,
        _role: Endpoint,
        _port_use: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.on_established(connection, peer, remote);
        Ok(dummy::ConnectionHandler)
    }

    fn on_swarm_event(&mut self, _event: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _peer: PeerId,
        _connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ToSwarm<Event, THandlerInEvent<Self>>> {
        if let Some(event) = self.unlimited.pop_front() {
            return Poll::Ready(ToSwarm::GenerateEvent(event));
        }
        // A swarm polls its connections only when its behaviour has nothing to tell. A remote that
        // causes refusals as fast as it can must not keep it from them.
        if std::mem::take(&mut self.is_others_turn) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let reports = self.resources.reports();
        let mut refused = ready!(reports.poll_refused(cx));
        let dropped = reports.dropped();
        refused.dropped_before = dropped - self.told_dropped;
        self.told_dropped = dropped;
        self.is_others_turn = true;
        Poll::Ready(ToSwarm::GenerateEvent(Event::Refused(refused)))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use rcmgr_atomic::Manager;
    use rcmgr_core::{Direction, Limits, UsesFd};

    use super::*;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn between_two_refusals_the_swarm_turns_to_its_connections_and_comes_back() {
        let mut limits = Limits::unlimited();
        limits.system.conns = 0.into();
        let resources = Resources::new(Manager::new(limits).unwrap());
        let mut behaviour = resources.behaviour();
        let remote = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
        for _ in 0..3 {
            let opened = resources.open_connection(Direction::Inbound, UsesFd::Yes, &remote);
            assert!(opened.is_err());
        }
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        for round in 1..=3 {
            assert!(behaviour.poll(&mut cx).is_ready());
            assert!(behaviour.poll(&mut cx).is_pending());
            assert_eq!(wakes.0.load(Ordering::Relaxed), round);
        }
        assert!(behaviour.poll(&mut cx).is_pending());
        assert_eq!(wakes.0.load(Ordering::Relaxed), 3);
    }
}
