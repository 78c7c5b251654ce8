use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_core::{
    ConnectionScope, Direction, Error, Limit, PeerId, Priority, ResourceScope, Result, ScopeClass,
    ScopeName, ScopeStat, StreamScope,
};

use crate::addresses::{Addresses, BarePermit};
use crate::allowlisted::leave_allowlist;
use crate::leaf::{ConnectionLeaf, Leaf, LeafMover, ask_first, charge_new, join_charged};
use crate::path::{Path, PathKind};
use crate::scope::{Span, show};
use crate::shared::{Shared, Use};
use crate::slot::Slot;
use crate::span::Owner;

/// A connection of [`Manager`](crate::Manager). Dropped, it gives back
/// all that it holds.
///
/// ```
/// use rcmgr_atomic::{
///     Manager, ConnectionScope, Direction, Endpoint, Limits, ResourceManager, UsesFd,
/// };
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let connection =
///     manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
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
pub struct Connection {
    leaf: Shared<ConnectionLeaf>,
}

/// A stream of [`Manager`](crate::Manager). Dropped, it gives back all
/// that it holds.
///
/// ```
/// use rcmgr_atomic::{
///     Manager, Direction, KIB, Limits, Priority, ResourceManager, ResourceScope,
///     StreamScope,
/// };
///
/// let manager = Manager::new(Limits::unlimited())?;
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
pub struct Stream {
    leaf: Shared<Leaf>,
}

impl Connection {
    /// A connection on a path that is charged with it, with a permit in its subnet, or none.
    #[inline(always)]
    pub(crate) fn new(path: Use<Path>, slot: Slot, permit: BarePermit) -> Self {
        let is_recorded = path.engine().recorder().is_some();
        Self::opened(is_recorded, || ConnectionLeaf {
            leaf: Leaf::charged(path, slot),
            permit,
            allowlisted: None,
        })
    }

    /// A connection from an address on the allowlist, on a path for these that is charged with it.
    pub(crate) fn allowlisted(path: Use<Path>, slot: Slot, ip: IpAddr) -> Self {
        let is_recorded = path.engine().recorder().is_some();
        Self::opened(is_recorded, || ConnectionLeaf {
            leaf: Leaf::charged(path, slot),
            permit: BarePermit::none(),
            allowlisted: Some(Box::new(ip)),
        })
    }

    #[inline(always)]
    fn opened(is_recorded: bool, leaf: impl FnOnce() -> ConnectionLeaf) -> Self {
        let leaf = Shared::new_with(leaf);
        if is_recorded {
            leaf.leaf.tell_opened();
        }
        Self { leaf }
    }

    /// Whether the path of the connection may go on as it is when the remote turns out to be this
    /// peer.
    fn may_stay(&self, path: &Path, peer: &PeerId) -> bool {
        let allowed = |ip: &IpAddr| path.engine().addresses().allowlist().allows(peer, *ip);
        path.kind() != PathKind::AllowlistedConnection
            || self.leaf.allowlisted.as_deref().is_some_and(allowed)
    }
}

impl Stream {
    /// Opens a stream on `path`.
    ///
    /// # Errors
    ///
    /// If its own limit or the path leaves no room: then nothing is charged.
    #[inline(always)]
    pub(crate) fn open(path: Use<Path>, direction: Direction) -> Result<Self> {
        let slot = Slot::Stream(direction);
        charge_new(&path, slot)?;
        Ok(Self::new(path, slot))
    }

    #[inline(always)]
    fn new(path: Use<Path>, slot: Slot) -> Self {
        let is_recorded = path.engine().recorder().is_some();
        let leaf = Shared::new_with(|| Leaf::charged(path, slot));
        if is_recorded {
            leaf.tell_opened();
        }
        Self { leaf }
    }
}

fn addresses(leaf: &Leaf) -> &Addresses {
    leaf.path().engine().addresses()
}

/// Opens a stream that begins on `from`.
pub(crate) fn open_stream_with(
    from: Use<Path>,
    direction: Direction,
    protocol: &str,
    service: Option<&str>,
) -> Result<Stream> {
    let engine = from.engine();
    // The peer is asked first, so it may refuse before anything is made for names that a remote has
    // chosen.
    if let Some(peer) = from.peer() {
        ask_first(engine, peer, direction)?;
    }
    let path = engine.path_beyond(&from, protocol, service);
    let path = path.expect("a path with a user can have branches");
    Stream::open(path, direction)
}

/// What connections and streams have in common: both are a handle on a leaf.
macro_rules! leaf_handle {
    ($handle:ident) => {
        impl ResourceScope for $handle {
            type Span = Span;

            fn name(&self) -> ScopeName {
                self.leaf.name()
            }

            fn stat(&self) -> ScopeStat {
                self.leaf.stat()
            }

            fn limit(&self) -> Limit {
                self.leaf.limit()
            }

            fn set_limit(&self, limit: Limit) {
                self.leaf.set_limit(Some(limit));
            }

            fn reset_limit(&self) {
                self.leaf.set_limit(None);
            }

            #[inline]
            fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()> {
                self.leaf.reserve(size, priority)
            }

            #[inline]
            fn release_memory(&self, size: u64) {
                if let Some(taken) = self.leaf.release(size)
                    && taken < size
                {
                    let engine = self.leaf.path().engine();
                    engine.count_over_release(&self.name(), size, taken);
                }
            }

            fn release(&self) {
                self.leaf.release(u64::MAX);
            }

            fn begin_span(&self) -> Result<Span> {
                Span::begin(Owner::Leaf(self.leaf.clone().into()))
            }
        }

        impl $handle {
            /// The right to move on, to a path that goes through a scope of this class.
            #[inline(always)]
            fn attach(&self, to: ScopeClass) -> Result<LeafMover<'_>> {
                let mover = self.leaf.mover()?;
                if mover.path().kind() == PathKind::StrandedConnection {
                    return Err(self.leaf.closed());
                }
                match mover.path().node(to) {
                    Some(_) => Err(Error::AlreadyAttached {
                        scope: self.name(),
                        to,
                    }),
                    None => Ok(mover),
                }
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

impl Drop for Connection {
    fn drop(&mut self) {
        match self.leaf.only_mut() {
            // It closes itself when it goes, which is now.
            Some(ConnectionLeaf { leaf, permit, .. }) => addresses(leaf).give_back_last(permit),
            // Spans hold it on.
            None => self.done(),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        // One that nobody else has closes itself when it goes, which is now; else spans hold it on.
        if !self.leaf.is_only() {
            self.leaf.close();
        }
    }
}

impl ConnectionScope for Connection {
    type Stream = Stream;

    fn direction(&self) -> Direction {
        self.leaf.slot().direction()
    }

    fn peer(&self) -> Option<PeerId> {
        self.leaf.path().peer()?.id().peer()
    }

    fn set_peer(&self, peer: &PeerId) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Peer)?;
        let mut path = mover.path();
        if !self.may_stay(path, peer) {
            leave_allowlist(&mut mover)?;
            path = mover.path();
        }
        let engine = path.engine();
        let of_peer = engine.peer_path(path.kind(), peer);
        let next = match path.name_of(ScopeClass::Service) {
            None => Some(of_peer),
            Some(service) => engine.service_path(&of_peer, service),
        };
        mover.advance(next)?;
        let path = mover.path();
        if path.has_several_users() {
            // Each connection may have a thread that is refused streams. It is prepared here, where
            // nothing was refused.
            path.peer().inspect(|node| node.spread_refusals());
        }
        Ok(())
    }

    fn set_service(&self, service: &str) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Service)?;
        let path = mover.path();
        mover.advance(path.engine().service_path(path, service))
    }

    fn open_stream(&self, direction: Direction) -> Result<Stream> {
        let streams = self.leaf.streams()?;
        let slot = Slot::Stream(direction);
        charge_new(streams, slot)?;
        match join_charged(streams, slot) {
            Some(path) => Ok(Stream::new(path, slot)),
            None => Err(self.leaf.closed()),
        }
    }

    fn open_stream_with(
        &self,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Stream> {
        let streams = self.leaf.streams()?.try_join();
        let streams = streams.ok_or_else(|| self.leaf.closed())?;
        open_stream_with(streams, direction, protocol, service)
    }

    fn done(&self) {
        self.leaf.close();
        addresses(&self.leaf).give_back(&self.leaf.permit);
    }
}

impl StreamScope for Stream {
    fn direction(&self) -> Direction {
        self.leaf.slot().direction()
    }

    fn peer(&self) -> PeerId {
        let peer = self.leaf.path().peer();
        peer.and_then(|node| node.id().peer())
            .expect("a stream's path has a peer")
    }

    fn protocol(&self) -> Option<Arc<str>> {
        self.leaf.path().name_of(ScopeClass::Protocol).cloned()
    }

    fn service(&self) -> Option<Arc<str>> {
        self.leaf.path().name_of(ScopeClass::Service).cloned()
    }

    fn set_protocol(&self, protocol: &str) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Protocol)?;
        let path = mover.path();
        mover.advance(path.engine().protocol_path(path, protocol))
    }

    fn set_service(&self, service: &str) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Service)?;
        let path = mover.path();
        if path.node(ScopeClass::Protocol).is_none() {
            return Err(Error::NoProtocol { scope: self.name() });
        }
        mover.advance(path.engine().service_path(path, service))
    }

    fn done(&self) {
        self.leaf.close();
    }
}
