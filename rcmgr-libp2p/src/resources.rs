//! What the wrappers of a swarm share: the manager, the services by protocol, the flat memory.

use std::sync::{Arc, OnceLock};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use rcmgr_atomic::{Connection, Manager, Stream};
use rcmgr_core::{Amount, Direction, Endpoint, Error, KIB, Priority, Result, ScopeClass, UsesFd};

use crate::keeper::{Keeper, Keepers};
use crate::reports::{Arrival, Refused, Reports};
use crate::services;
use crate::turn::Floods;

/// The resources of a swarm: its [`Manager`], and how its connections and streams are charged.
///
/// A clone shares the manager. Make one for each swarm, choose its settings, and give it to each
/// transport of the swarm with [`limited`](crate::LimitExt::limited).
///
/// ```
/// use rcmgr_atomic::{Limits, Manager};
/// use rcmgr_core::KIB;
/// use rcmgr_libp2p::Resources;
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let resources = Resources::new(manager.clone())
///     .service("chat", ["/chat/1.0.0", "/chat/2.0.0"])
///     .memory(64 * KIB, 4 * KIB);
/// # let _ = resources;
/// # Ok::<(), rcmgr_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Resources(Arc<Settings>);

/// What the streams of a connection share.
#[derive(Debug)]
pub(crate) struct Streams {
    pub(crate) resources: Resources,
    keeper: Arc<Keeper>,
}

impl Streams {
    /// As [`Resources::set_protocol`].
    pub(crate) fn set_protocol(&self, stream: &Stream, protocol: &[u8]) -> Result<()> {
        self.resources.set_protocol(stream, protocol, &self.keeper)
    }

    /// The connection has ended. Streams may outlive it.
    pub(crate) fn end(&self) {
        self.keeper.end();
    }
}

#[derive(Debug, Clone)]
struct Settings {
    manager: Manager,
    /// The service of each protocol.
    services: services::Services,
    /// Bytes that each connection is charged with.
    connection_memory: u64,
    /// Bytes that each stream is charged with.
    stream_memory: u64,
    swallows: bool,
    ends_inside_a_message: bool,
    /// Made with the behaviour: without one, there is nothing to report to. Clones share it, also
    /// when their settings differ.
    reports: Arc<OnceLock<Reports>>,
    /// The connections that keep scopes. Clones share the list.
    keepers: Arc<Keepers>,
    floods: Floods,
}

impl Resources {
    /// The resources that `manager` counts.
    ///
    /// The services of the behaviours that come with libp2p are known under the names that
    /// go-libp2p gives them, such as `libp2p.ping`, `libp2p.identify` and `libp2p.DHT`. The memory is
    /// as with [`memory`](Self::memory)`(32 * KIB, KIB)`.
    pub fn new(manager: Manager) -> Self {
        Self(Arc::new(Settings {
            manager,
            services: services::bundled(),
            connection_memory: 32 * KIB,
            stream_memory: KIB,
            swallows: false,
            ends_inside_a_message: false,
            reports: Arc::default(),
            keepers: Arc::default(),
            floods: Floods::default(),
        }))
    }

    /// Streams of these protocols are charged to the service `name` too. A protocol has one service:
    /// the last one that was set.
    #[must_use]
    pub fn service<P: AsRef<str>>(
        mut self,
        name: &str,
        protocols: impl IntoIterator<Item = P>,
    ) -> Self {
        let name = Arc::<str>::from(name);
        let services = &mut self.settings().services;
        for protocol in protocols {
            services.insert(protocol.as_ref().into(), name.clone());
        }
        self
    }

    /// The memory that each connection and each stream is charged with while it lives, in bytes.
    /// Zero charges nothing.
    ///
    /// libp2p does not say how much memory its muxers and QUIC use, so this is a flat amount. The
    /// default, 32 KiB and 1 KiB, covers an idle TCP connection and an idle stream, which were
    /// measured to need 21 KB and 0.8 KB. An idle QUIC connection needs 61 KB. At worst QUIC buffers
    /// 10 MB for a stream and 15 MB for a connection. yamux buffers 256 KiB for a stream, and more for
    /// one that was fast: up to 1 GiB for a connection.
    #[must_use]
    pub fn memory(mut self, connection: impl Amount, stream: impl Amount) -> Self {
        let settings = self.settings();
        settings.connection_memory = connection.bytes();
        settings.stream_memory = stream.bytes();
        self
    }

    /// Inbound connections that are refused when they arrive are dropped inside the transport: the
    /// swarm does not see them. This saves a task and two events for each.
    ///
    /// By default the swarm emits `IncomingConnection` and `IncomingConnectionError` for them.
    #[must_use]
    pub fn swallow_refused_connections(mut self) -> Self {
        self.settings().swallows = true;
        self
    }

    /// A refused inbound stream ends inside a message of the negotiation, so that the remote sees it
    /// fail and not as unsupported.
    ///
    /// By default the stream just ends. There is no error code to send with it, so the dialer in
    /// rust-libp2p takes that for `StreamUpgradeError::NegotiationFailed`: the protocol is not
    /// supported. libp2p-ping for example then stops for the rest of the connection, even when the
    /// limit has room again.
    ///
    /// With this setting the dialer gets `StreamUpgradeError::Io` with the kind `UnexpectedEof`, and
    /// libp2p-ping goes on as soon as there is room. The price: until then it retries without a
    /// delay, thousands of times a second. Each attempt is refused, and costs both sides a stream.
    #[must_use]
    pub fn end_refused_streams_inside_a_message(mut self) -> Self {
        self.settings().ends_inside_a_message = true;
        self
    }

    /// The manager.
    pub fn manager(&self) -> &Manager {
        &self.0.manager
    }

    fn settings(&mut self) -> &mut Settings {
        Arc::make_mut(&mut self.0)
    }

    pub(crate) fn swallows(&self) -> bool {
        self.0.swallows
    }

    pub(crate) fn ends_inside_a_message(&self) -> bool {
        self.0.ends_inside_a_message
    }

    /// What the behaviour reads. From the first call on, the wrappers write to it.
    pub(crate) fn reports(&self) -> &Reports {
        self.0.reports.get_or_init(Reports::default)
    }

    #[inline]
    pub(crate) fn floods(&self) -> &Floods {
        &self.0.floods
    }

    /// A connection with its flat memory. It is transient until its peer is set.
    pub(crate) fn open_connection(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        remote: &Multiaddr,
    ) -> Result<Connection> {
        let opened = self.0.manager.open_connection_with_memory(
            direction,
            uses_fd,
            Endpoint::from(remote),
            self.0.connection_memory,
            Priority::Always,
        );
        opened.inspect_err(|error| self.refuse_connection(direction, None, remote, error))
    }

    /// Charges the connection to its peer.
    pub(crate) fn set_peer(
        &self,
        connection: &Connection,
        peer: PeerId,
        remote: &Multiaddr,
    ) -> Result<()> {
        connection.set_peer(&peer.into()).inspect_err(|error| {
            self.refuse_connection(connection.direction(), Some(peer), remote, error);
        })
    }

    /// Counts a connection that a wrapper holds, if there is a behaviour that compares it with those
    /// of the swarm.
    pub(crate) fn arrival(&self, connection: &Connection) -> Option<Arrival> {
        let reports = self.0.reports.get()?;
        Some(reports.arrivals().add(&connection.peer()?))
    }

    /// What the streams of a new connection share.
    pub(crate) fn streams(&self) -> Arc<Streams> {
        Arc::new(Streams {
            resources: self.clone(),
            keeper: self.keeper(),
        })
    }

    /// What keeps the scopes of the streams of a new connection.
    pub(crate) fn keeper(&self) -> Arc<Keeper> {
        Keeper::new(&self.0.keepers)
    }

    /// A stream with its flat memory. It is transient until its protocol is set.
    pub(crate) fn open_stream(&self, on: &Connection, direction: Direction) -> Result<Stream> {
        let opened = on.open_stream(direction).and_then(|stream| {
            if self.0.stream_memory > 0 {
                stream.reserve_memory(self.0.stream_memory, Priority::Always)?;
            }
            Ok(stream)
        });
        // By reference, as in `set_protocol`.
        if let Err(error) = &opened {
            self.refuse_stream(direction, || on.peer(), None, error);
        }
        opened
    }

    /// Charges the stream to its protocol, and to the service of that protocol if it has one. Does nothing
    /// if it has a protocol. `keeper` is that of its connection.
    pub(crate) fn set_protocol(
        &self,
        stream: &Stream,
        protocol: &[u8],
        keeper: &Arc<Keeper>,
    ) -> Result<()> {
        // 1. Most streams have the protocol of a stream before: nothing is looked up in the manager.
        let set = match keeper.kept(protocol) {
            Some(kept) => stream.set_kept_scopes(&kept),
            None => self.set_new_protocol(stream, protocol, keeper),
        };
        // By reference: `inspect_err` would copy the large result, also one without an error.
        if let Err(error) = &set {
            // 2. The deciding bytes come again if the inner stream did not take them all. Or a handler has
            //    set a protocol.
            let is_set = matches!(
                error,
                Error::AlreadyAttached { .. } | Error::ScopeClosed { .. }
            );
            if is_set && stream.protocol().is_some() {
                return Ok(());
            }
            let peer = || Some(stream.peer());
            let protocol = str::from_utf8(protocol).ok();
            self.refuse_stream(stream.direction(), peer, protocol, error);
        }
        set
    }

    /// The same for a protocol whose scopes are not kept.
    fn set_new_protocol(
        &self,
        stream: &Stream,
        protocol: &[u8],
        keeper: &Arc<Keeper>,
    ) -> Result<()> {
        // multistream-select writes text. All else is no protocol.
        let Ok(protocol) = str::from_utf8(protocol) else {
            return Ok(());
        };
        let service = self.0.services.get(protocol).map(|service| &**service);
        match service {
            Some(service) => stream.set_protocol_and_service(protocol, service)?,
            None => stream.set_protocol(protocol)?,
        }
        keeper.settled(stream, protocol, service);
        Ok(())
    }

    /// Reports a refused connection. A refusal may be as frequent as a grant: without a behaviour,
    /// nothing is done, and nothing is allocated where the queue is full.
    fn refuse_connection(
        &self,
        direction: Direction,
        peer: Option<PeerId>,
        remote: &Multiaddr,
        error: &Error,
    ) {
        let Some(reports) = self.0.reports.get() else {
            return;
        };
        reports.refuse(|| Refused {
            class: ScopeClass::Connection,
            direction,
            peer,
            address: (!remote.is_empty()).then(|| remote.clone()),
            protocol: None,
            error: error.clone(),
            dropped_before: 0,
        });
    }

    /// Reports a refused stream, as [`refuse_connection`](Self::refuse_connection) does.
    fn refuse_stream(
        &self,
        direction: Direction,
        peer: impl FnOnce() -> Option<rcmgr_core::PeerId>,
        protocol: Option<&str>,
        error: &Error,
    ) {
        let Some(reports) = self.0.reports.get() else {
            return;
        };
        reports.refuse(|| Refused {
            class: ScopeClass::Stream,
            direction,
            peer: peer().and_then(|peer| PeerId::from_bytes(peer.as_bytes()).ok()),
            address: None,
            protocol: protocol.map(Arc::from),
            error: error.clone(),
            dropped_before: 0,
        });
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_core::Limits;
    use rcmgr_core::address::{AddressConfig, AddressLimits};

    use super::*;

    fn refuse(resources: &Resources) {
        let remote = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
        let refused = resources.open_connection(Direction::Inbound, UsesFd::Yes, &remote);
        assert!(refused.is_err());
    }

    #[test]
    fn a_trusted_peer_connects_where_the_standard_scopes_lack_room_for_its_flat_memory() {
        let mut limits = Limits::unlimited();
        limits.system.memory = 100.into();
        let mut addresses = AddressConfig::none();
        addresses.allowlist = vec!["/ip4/192.0.2.0/ipcidr/24".parse().unwrap()];
        limits.addresses = AddressLimits::new(addresses).unwrap();
        let manager = Manager::new(limits).unwrap();
        let resources = Resources::new(manager.clone()).memory(60_u64, 0_u64);
        let open = |remote: &str| {
            resources.open_connection(Direction::Inbound, UsesFd::Yes, &remote.parse().unwrap())
        };

        let _stranger = open("/ip4/198.51.100.1/tcp/4001").unwrap();
        assert!(open("/ip4/198.51.100.2/tcp/4001").is_err());
        let trusted = open("/ip4/192.0.2.7/tcp/4001").unwrap();
        assert_eq!(manager.stat().allowlisted_system.memory, 60);
        drop(trusted);
        assert!(manager.stat().allowlisted_system.is_zero());
    }

    #[test]
    fn refusals_are_kept_for_a_behaviour_only_once_there_is_one() {
        let mut limits = Limits::unlimited();
        limits.system.conns = 0.into();
        let resources = Resources::new(Manager::new(limits).unwrap());
        refuse(&resources);
        assert!(resources.0.reports.get().is_none());

        // Clones report to the same behaviour, with whichever settings.
        let reports = resources.reports();
        refuse(&resources.clone().memory(7_u64, 7_u64));
        refuse(&resources);
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        for _ in 0..2 {
            assert!(reports.poll_refused(&mut cx).is_ready());
        }
        assert!(reports.poll_refused(&mut cx).is_pending());
    }
}
