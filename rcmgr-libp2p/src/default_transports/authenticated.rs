//! A transport of bytes with noise, yamux and limits, as a swarm can use it.

use futures::io::{AsyncRead, AsyncWrite};
use libp2p_core::Transport;
use libp2p_core::muxing::StreamMuxer;
use libp2p_core::upgrade::Version;
use libp2p_identity::{Keypair, PeerId};

use crate::resources::Resources;
use crate::transport::LimitExt;

/// A transport that a swarm can use: it has all properties that
/// `SwarmBuilder::with_other_transport` asks for. It is implemented for each such transport.
pub trait SwarmTransport:
    Transport<
        Output = (PeerId, Self::Muxer),
        Error: Send + Sync + 'static,
        Dial: Send + 'static,
        ListenerUpgrade: Send + 'static,
    > + Send
    + Unpin
    + 'static
{
    /// The muxer of a connection.
    type Muxer: StreamMuxer<Substream: Send + 'static, Error: Send + Sync + 'static>
        + Send
        + 'static;
}

impl<T, M> SwarmTransport for T
where
    T: Transport<Output = (PeerId, M)> + Send + Unpin + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    M: StreamMuxer + Send + 'static,
    M::Substream: Send + 'static,
    M::Error: Send + Sync + 'static,
{
    type Muxer = M;
}

/// A transport, or why it could not be made: the result that `SwarmBuilder::with_other_transport`
/// takes.
pub type TransportResult<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// A transport of bytes with noise, yamux and limits.
pub(super) fn limited<T>(
    transport: T,
    key: &Keypair,
    resources: &Resources,
) -> TransportResult<impl SwarmTransport + use<T>>
where
    T: Transport + Send + Unpin + 'static,
    T::Output: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
{
    let transport = transport
        .upgrade(Version::V1Lazy)
        .authenticate(libp2p_noise::Config::new(key)?)
        .multiplex(libp2p_yamux::Config::default());
    Ok(transport.limited(resources))
}
