use std::fmt;
use std::sync::Arc;

use rcmgr_core::{
    ConnectionScope, Direction, Error, Limit, PeerId, Priority, ResourceScope, Result, ScopeClass,
    ScopeName, ScopeStat, StreamScope,
};

use crate::leaf::Leaf;
use crate::path::Path;
use crate::scope::{Span, show};
use crate::span::Owner;

/// A connection of [`AtomicResourceManager`](crate::AtomicResourceManager). Dropped, it gives back
/// all that it holds.
///
/// ```
/// use rcmgr_atomic::{
///     AtomicResourceManager, ConnectionScope, Direction, Endpoint, Limits, ResourceManager, UsesFd,
/// };
///
/// let manager = AtomicResourceManager::new(Limits::unlimited())?;
/// let connection =
///     manager.open_connection(Direction::Inbound, UsesFd::Yes, &Endpoint::None)?;
/// assert_eq!(manager.stat().transient.conns_inbound, 1);
///
/// let client = "192.0.2.7".parse()?;
/// connection.set_peer(&client)?;
/// assert_eq!(manager.stat().transient.conns_inbound, 0);
/// assert_eq!(manager.stat().peers[&client].conns_inbound, 1);
///
/// drop(connection);
/// assert!(manager.stat().system.is_zero());
/// assert!(manager.peers().is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection(Arc<Leaf>);

/// A stream of [`AtomicResourceManager`](crate::AtomicResourceManager). Dropped, it gives back all
/// that it holds.
///
/// ```
/// use rcmgr_atomic::{
///     AtomicResourceManager, Direction, KIB, Limits, Priority, ResourceManager, ResourceScope,
///     StreamScope,
/// };
///
/// let manager = AtomicResourceManager::new(Limits::unlimited())?;
/// let stream = manager.open_stream(&"tenant-7".parse()?, Direction::Inbound)?;
/// stream.set_protocol("/ipfs/kad/1.0.0")?;
/// stream.set_service("dht")?;
///
/// let buffer = stream.reserve(64 * KIB, Priority::Medium)?;
/// assert_eq!(manager.view_service("dht").stat().memory, 64 * KIB);
/// drop(buffer);
/// assert_eq!(stream.stat().memory, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Stream(Arc<Leaf>);

impl Connection {
    pub(crate) fn new(leaf: Leaf) -> Self {
        Self(Arc::new(leaf))
    }
}

impl Stream {
    pub(crate) fn new(leaf: Leaf) -> Self {
        Self(Arc::new(leaf))
    }
}

/// What connections and streams have in common: both are a handle on a leaf.
macro_rules! leaf_handle {
    ($handle:ident) => {
        impl ResourceScope for $handle {
            type Span = Span;

            fn name(&self) -> ScopeName {
                self.0.name()
            }

            fn stat(&self) -> ScopeStat {
                self.0.stat()
            }

            fn limit(&self) -> Limit {
                self.0.limit()
            }

            fn set_limit(&self, limit: Limit) {
                self.0.set_limit(Some(limit));
            }

            fn reset_limit(&self) {
                self.0.set_limit(None);
            }

            #[inline]
            fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()> {
                self.0.reserve(size, priority)
            }

            #[inline]
            fn release_memory(&self, size: u64) {
                if let Some(taken) = self.0.release(size)
                    && taken < size
                {
                    let engine = self.0.path().engine();
                    engine.count_mistake(&self.name(), size, taken);
                }
            }

            fn release(&self) {
                self.0.release(u64::MAX);
            }

            fn begin_span(&self) -> Result<Span> {
                Span::begin(Owner::Leaf(self.0.clone()))
            }
        }

        impl $handle {
            /// An error if the path goes through a scope of this class already.
            fn check_unattached(&self, path: &Path, to: ScopeClass) -> Result<()> {
                match path.node(to) {
                    Some(_) => Err(Error::AlreadyAttached {
                        scope: self.name(),
                        to,
                    }),
                    None => Ok(()),
                }
            }
        }

        impl Drop for $handle {
            fn drop(&mut self) {
                // Spans may hold the leaf on.
                self.0.close();
            }
        }

        impl fmt::Debug for $handle {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                show(f, stringify!($handle), self)
            }
        }
    };
}

leaf_handle!(Connection);
leaf_handle!(Stream);

impl ConnectionScope for Connection {
    fn direction(&self) -> Direction {
        self.0.slot().direction()
    }

    fn peer(&self) -> Option<PeerId> {
        self.0.path().node(ScopeClass::Peer)?.id().peer()
    }

    fn set_peer(&self, peer: &PeerId) -> Result<()> {
        self.0.advance(|path| {
            self.check_unattached(path, ScopeClass::Peer)?;
            let engine = path.engine();
            let peer = engine.peer(peer);
            let service = path.node(ScopeClass::Service);
            let next = engine.path(ScopeClass::Connection, Some(&peer), None, service);
            engine.release_node(&peer);
            Ok(next)
        })
    }

    fn set_service(&self, service: &str) -> Result<()> {
        self.0.advance(|path| {
            self.check_unattached(path, ScopeClass::Service)?;
            let engine = path.engine();
            let peer = path.node(ScopeClass::Peer);
            let service = engine.service(service);
            Ok(engine.path(ScopeClass::Connection, peer, None, Some(&service)))
        })
    }

    fn done(&self) {
        self.0.close();
    }
}

impl StreamScope for Stream {
    fn direction(&self) -> Direction {
        self.0.slot().direction()
    }

    fn peer(&self) -> PeerId {
        let peer = self.0.path().node(ScopeClass::Peer);
        peer.and_then(|node| node.id().peer())
            .expect("a stream's path has a peer")
    }

    fn protocol(&self) -> Option<Arc<str>> {
        self.0
            .path()
            .node(ScopeClass::Protocol)?
            .id()
            .name()
            .cloned()
    }

    fn service(&self) -> Option<Arc<str>> {
        self.0
            .path()
            .node(ScopeClass::Service)?
            .id()
            .name()
            .cloned()
    }

    fn set_protocol(&self, protocol: &str) -> Result<()> {
        self.0.advance(|path| {
            self.check_unattached(path, ScopeClass::Protocol)?;
            let engine = path.engine();
            let peer = path.node(ScopeClass::Peer);
            let protocol = engine.protocol(protocol);
            let next = engine.path(ScopeClass::Stream, peer, Some(&protocol), None);
            engine.release_node(&protocol);
            Ok(next)
        })
    }

    fn set_service(&self, service: &str) -> Result<()> {
        self.0.advance(|path| {
            self.check_unattached(path, ScopeClass::Service)?;
            let protocol = path.node(ScopeClass::Protocol);
            if protocol.is_none() {
                return Err(Error::NoProtocol { scope: self.name() });
            }
            let engine = path.engine();
            let peer = path.node(ScopeClass::Peer);
            let service = engine.service(service);
            Ok(engine.path(ScopeClass::Stream, peer, protocol, Some(&service)))
        })
    }

    fn done(&self) {
        self.0.close();
    }
}
