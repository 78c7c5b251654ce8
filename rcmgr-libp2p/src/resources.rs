//! What the wrappers of a swarm share: the manager, the services by protocol, the flat memory.

use std::collections::HashMap;
use std::sync::Arc;

use libp2p_core::Multiaddr;
use rcmgr_atomic::{Connection, Manager, Stream};
use rcmgr_core::{Amount, Direction, Endpoint, KIB, Priority, Result, UsesFd};

use crate::services;

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

#[derive(Debug, Clone)]
struct Settings {
    manager: Manager,
    /// The service of each protocol.
    services: HashMap<Arc<str>, Arc<str>>,
    /// Bytes that each connection is charged with.
    connection_memory: u64,
    /// Bytes that each stream is charged with.
    stream_memory: u64,
    swallows: bool,
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
    /// default, 32 KiB and 1 KiB, is about what an idle connection and an idle stream were measured
    /// to need. At worst yamux buffers 256 KiB for a stream, and QUIC 10 MB for a stream and 15 MB
    /// for a connection.
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

    pub(crate) fn service_of(&self, protocol: &str) -> Option<&Arc<str>> {
        self.0.services.get(protocol)
    }

    /// A connection with its flat memory. It is transient until its peer is set.
    pub(crate) fn open_connection(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        remote: &Multiaddr,
    ) -> Result<Connection> {
        let manager = &self.0.manager;
        let connection = manager.open_connection(direction, uses_fd, Endpoint::from(remote))?;
        if self.0.connection_memory > 0 {
            connection.reserve_memory(self.0.connection_memory, Priority::Always)?;
        }
        Ok(connection)
    }

    /// A stream with its flat memory. It is transient until its protocol is set.
    pub(crate) fn open_stream(&self, on: &Connection, direction: Direction) -> Result<Stream> {
        let stream = on.open_stream(direction)?;
        if self.0.stream_memory > 0 {
            stream.reserve_memory(self.0.stream_memory, Priority::Always)?;
        }
        Ok(stream)
    }
}
