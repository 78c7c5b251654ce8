//! Swarms over a transport that a test builds, and dials whose end is awaited.

use std::time::Duration;

use libp2p::core::ConnectedPoint;
use libp2p::core::muxing::StreamMuxer;
use libp2p::core::transport::upgrade::Version;
use libp2p::futures::{AsyncRead, AsyncWrite, StreamExt};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, Transport, noise, yamux};
use rcmgr_core::{Error, LimitExceeded};
use rcmgr_libp2p::refusal;

/// Noise and yamux over the streams of a transport, such as TCP.
pub fn secured<T>(
    streams: T,
    key: &Keypair,
) -> impl Transport<
    Output = (
        PeerId,
        impl StreamMuxer<Substream: Send, Error: Send + Sync> + Send + use<T>,
    ),
    Error: Send + Sync + 'static,
    Dial: Send,
    ListenerUpgrade: Send,
> + Send
+ Unpin
+ use<T>
where
    T: Transport<Error: Send + Sync, Dial: Send, ListenerUpgrade: Send> + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    streams
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(key).unwrap())
        .multiplex(yamux::Config::default())
}

/// A swarm over one transport. A connection that is not set up within `timeout` fails.
pub fn swarm_over<B, T, M>(
    transport: impl FnOnce(&Keypair) -> T,
    behaviour: B,
    timeout: Duration,
) -> Swarm<B>
where
    B: NetworkBehaviour,
    T: Transport<Output = (PeerId, M)> + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
    M: StreamMuxer + Send + 'static,
    M::Substream: Send,
    M::Error: Send + Sync,
{
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(transport)
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .with_connection_timeout(timeout)
        .build()
}

/// Dials until the attempt has ended: connected, or why not.
pub async fn connect<B: NetworkBehaviour>(
    swarm: &mut Swarm<B>,
    options: impl Into<DialOpts>,
) -> Result<PeerId, DialError> {
    let options = options.into();
    let dialed = options.connection_id();
    swarm.dial(options)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished {
                connection_id,
                peer_id,
                ..
            } if connection_id == dialed => return Ok(peer_id),
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } if connection_id == dialed => return Err(error),
            _ => {}
        }
    }
}

/// Waits until a connection is established.
pub async fn established<B: NetworkBehaviour>(swarm: &mut Swarm<B>) -> PeerId {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { peer_id, .. } => return peer_id,
            SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error:?}"),
            _ => {}
        }
    }
}

/// The limit that an error of libp2p tells of.
pub fn exceeded<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a LimitExceeded {
    match refusal(error) {
        Some(Error::LimitExceeded(exceeded)) => exceeded,
        other => panic!("{other:?} in {error:?}"),
    }
}

/// Dials until both swarms have the connection. Returns how each of them sees it.
pub async fn establish<D: NetworkBehaviour, L: NetworkBehaviour>(
    dialer: &mut Swarm<D>,
    listener: &mut Swarm<L>,
    options: impl Into<DialOpts>,
) -> [ConnectedPoint; 2] {
    dialer.dial(options).unwrap();
    let (mut outbound, mut inbound) = (None, None);
    loop {
        tokio::select! {
            event = dialer.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { endpoint, .. } => outbound = Some(endpoint),
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error:?}"),
                _ => {}
            },
            event = listener.select_next_some() => match event {
                SwarmEvent::ConnectionEstablished { endpoint, .. } => inbound = Some(endpoint),
                SwarmEvent::IncomingConnectionError { error, .. } => panic!("{error:?}"),
                _ => {}
            },
        }
        if let (Some(outbound), Some(inbound)) = (&outbound, &inbound) {
            return [outbound.clone(), inbound.clone()];
        }
    }
}

/// The port of an address of TCP or QUIC. Zero if it has none.
pub fn port(address: &Multiaddr) -> u16 {
    let mut ports = address.iter().filter_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    ports.next().unwrap_or(0)
}
