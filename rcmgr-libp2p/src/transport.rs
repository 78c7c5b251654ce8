//! The wrapper of a transport: each connection is charged from its start to its end.

pub(crate) mod descriptor;
mod upgrade;

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use libp2p_core::muxing::StreamMuxer;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p_core::{Multiaddr, Transport};
use libp2p_identity::PeerId;
use pin_project_lite::pin_project;
use rcmgr_core::{Direction, UsesFd};

pub use self::upgrade::Upgrade;
use crate::error::Error;
use crate::muxer::LimitedMuxer;
use crate::resources::Resources;
use crate::turn;

/// The most connections that are refused and swallowed before other work gets its turn.
const REFUSED_IN_A_ROW: usize = 32;

/// Puts a transport under the limits of a manager.
///
/// ```
/// # use rcmgr_atomic::{Limits, Manager};
/// use libp2p::core::upgrade::Version;
/// use libp2p::{SwarmBuilder, Transport, noise, quic, tcp, yamux};
/// use rcmgr_libp2p::{LimitExt, Resources};
///
/// # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
/// # let _in_runtime = runtime.enter();
/// let resources = Resources::new(Manager::new(Limits::unlimited())?);
/// let swarm = SwarmBuilder::with_new_identity()
///     .with_tokio()
///     .with_other_transport(|key| {
///         let tcp = tcp::tokio::Transport::new(tcp::Config::default())
///             .upgrade(Version::V1Lazy)
///             .authenticate(noise::Config::new(key)?)
///             .multiplex(yamux::Config::default());
///         Ok(tcp.limited(&resources))
///     })?
///     .with_other_transport(|key| {
///         quic::tokio::Transport::new(quic::Config::new(key)).limited(&resources)
///     })?
///     .with_dns()?
///     .with_behaviour(|_| libp2p::ping::Behaviour::default())?
///     .build();
/// # drop(swarm);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait LimitExt: Transport + Sized {
    /// Charges each connection of this transport, and each stream on it, to the manager of
    /// `resources`, and refuses those for which a limit has no room.
    ///
    /// Call it on the finished transport, after authentication and multiplexing, and before DNS: then
    /// each address that a name resolves to is charged on its own.
    fn limited<M>(self, resources: &Resources) -> Limited<Self>
    where
        Self: Transport<Output = (PeerId, M)>,
        M: StreamMuxer,
    {
        Limited {
            inner: self,
            resources: resources.clone(),
        }
    }
}

impl<T: Transport> LimitExt for T {}

pin_project! {
    /// A transport under limits: see [`LimitExt::limited`].
    ///
    /// | a connection is | charged |
    /// | --- | --- |
    /// | inbound | when it arrives, before the handshake |
    /// | outbound, with a descriptor of its own | when it is dialed: the socket exists from then on |
    /// | outbound, without one | when the dial is polled first |
    ///
    /// It is transient until the handshake has told its peer, and then charged to that peer. Everything
    /// is released when libp2p drops it.
    ///
    /// libp2p-quic accepts an inbound connection before it is charged, so `verify_source_address` of
    /// the manager has no effect here: QUIC's Retry cannot be sent.
    #[derive(Debug, Clone)]
    pub struct Limited<T> {
        #[pin]
        inner: T,
        resources: Resources,
    }
}

impl<T, M> Transport for Limited<T>
where
    T: Transport<Output = (PeerId, M)>,
    T::Error: 'static,
    M: StreamMuxer,
{
    type Output = (PeerId, LimitedMuxer<M>);
    type Error = Error<T::Error>;
    type ListenerUpgrade = Upgrade<T::ListenerUpgrade>;
    type Dial = Upgrade<T::Dial>;

    fn listen_on(
        &mut self,
        id: ListenerId,
        address: Multiaddr,
    ) -> Result<(), TransportError<Self::Error>> {
        let listening = self.inner.listen_on(id, address);
        listening.map_err(|error| error.map(Error::Transport))
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(
        &mut self,
        address: Multiaddr,
        options: DialOpts,
    ) -> Result<Self::Dial, TransportError<Self::Error>> {
        // The transport is asked first: an address that it does not support costs nothing.
        let dial = self.inner.dial(address.clone(), options);
        let dial = dial.map_err(|error| error.map(Error::Transport))?;
        let resources = self.resources.clone();
        if descriptor::of_dial(&address, options) == UsesFd::No {
            return Ok(Upgrade::at_first_poll(dial, address, resources));
        }
        match resources.open_connection(Direction::Outbound, UsesFd::Yes, &address) {
            Ok(connection) => Ok(Upgrade::open(dial, connection, address, resources)),
            Err(error) => Err(TransportError::Other(Error::Refused(error))),
        }
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, Self::Error>> {
        let mut this = self.project();
        for _ in 0..REFUSED_IN_A_ROW {
            let event = ready!(this.inner.as_mut().poll(cx));
            let resources = this.resources.clone();
            let mut is_refused = false;
            let remote = match &event {
                TransportEvent::Incoming { send_back_addr, .. } => Some(send_back_addr.clone()),
                _ => None,
            };
            let event = event.map_err(Error::Transport).map_upgrade(|upgrade| {
                let remote = remote.unwrap_or_else(Multiaddr::empty);
                let uses_fd = descriptor::of_address(&remote);
                match resources.open_connection(Direction::Inbound, uses_fd, &remote) {
                    Ok(connection) => Upgrade::open(upgrade, connection, remote, resources),
                    Err(error) => {
                        is_refused = true;
                        Upgrade::refused(error, resources)
                    }
                }
            });
            if !(is_refused && this.resources.swallows()) {
                return Poll::Ready(event);
            }
        }
        // The transport has registered no waker: it has more.
        turn::end(cx);
        Poll::Pending
    }
}
