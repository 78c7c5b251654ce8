//! Swarms with some transports under limits and others without.

use std::time::Duration;

use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, upgrade::Version};
use libp2p::swarm::NetworkBehaviour;
use libp2p::{PeerId, Swarm, SwarmBuilder, Transport, noise, quic, tcp, yamux};
use rcmgr_libp2p::{LimitExt, Resources};

use super::Kind;

/// Hides the types of a transport, of its muxer and of its errors.
pub fn boxed<T, M>(transport: T) -> Boxed<(PeerId, StreamMuxerBox)>
where
    T: Transport<Output = (PeerId, M)> + Send + Unpin + 'static,
    T::Error: Send + Sync,
    T::Dial: Send,
    T::ListenerUpgrade: Send,
    M: libp2p::core::muxing::StreamMuxer + Send + 'static,
    M::Substream: Send,
    M::Error: Send + Sync,
{
    transport
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed()
}

/// A swarm with TCP and QUIC, with only `limited` under the limits of `resources`.
pub fn swarm<B: NetworkBehaviour>(
    limited: &[Kind],
    resources: &Resources,
    behaviour: B,
) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default())
                .upgrade(Version::V1Lazy)
                .authenticate(noise::Config::new(key)?)
                .multiplex(yamux::Config::default());
            Ok(match limited.contains(&Kind::Tcp) {
                true => boxed(tcp.limited(resources)),
                false => boxed(tcp),
            })
        })
        .unwrap()
        .with_other_transport(|key| {
            let quic = quic::tokio::Transport::new(quic::Config::new(key));
            match limited.contains(&Kind::Quic) {
                true => boxed(quic.limited(resources)),
                false => boxed(quic),
            }
        })
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build()
}

/// A swarm with TCP and QUIC as `SwarmBuilder` builds them, without limits.
pub fn plain<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(
            tcp::Config::default(),
            noise::Config::new,
            yamux::Config::default,
        )
        .unwrap()
        .with_quic()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build()
}
