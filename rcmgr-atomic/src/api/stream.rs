//! The handle on a stream.

use std::sync::Arc;

use rcmgr_core::{Direction, Error, PeerId, Result, ScopeClass, StreamScope};

use super::inherent::scope_methods;
use super::kept_scopes::KeptScopes;
use super::leaf_handle::leaf_handle;
use crate::counters::Slot;
use crate::engine::Path;
use crate::leaf::{Leaf, ask_first, charge_new};
use crate::lifetime::{Shared, Use};

/// A stream of a [`Manager`](crate::Manager). It gives back all that it holds when it is dropped.
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
#[must_use = "a stream that is dropped gives everything back"]
pub struct Stream {
    leaf: Shared<Leaf>,
}

impl Stream {
    /// Opens a stream on `path`.
    ///
    /// # Errors
    ///
    /// If its own limit or the path leaves no room: then nothing is charged.
    #[inline(always)]
    pub(super) fn open(path: Use<Path>, direction: Direction) -> Result<Self> {
        let slot = Slot::Stream(direction);
        charge_new(&path, slot)?;
        Ok(Self::new(path, slot))
    }

    #[inline(always)]
    pub(super) fn new(path: Use<Path>, slot: Slot) -> Self {
        let is_observed = path.home().is_observed();
        let leaf = Shared::new_with(|| Leaf::charged(path, slot));
        if is_observed {
            leaf.observe_opened();
        }
        Self { leaf }
    }
}

impl Stream {
    /// The direction it was opened in.
    pub fn direction(&self) -> Direction {
        StreamScope::direction(self)
    }

    /// The peer.
    pub fn peer(&self) -> PeerId {
        StreamScope::peer(self)
    }

    /// The protocol, once it is set.
    pub fn protocol(&self) -> Option<Arc<str>> {
        StreamScope::protocol(self)
    }

    /// The service, once it is set.
    pub fn service(&self) -> Option<Arc<str>> {
        StreamScope::service(self)
    }

    /// Sets the protocol, once: charges the protocol, and the share of the peer in it.
    ///
    /// # Errors
    ///
    /// As [`StreamScope::set_protocol`].
    pub fn set_protocol(&self, protocol: &str) -> Result<()> {
        StreamScope::set_protocol(self, protocol)
    }

    /// Sets the service, once, after the protocol: charges the service, and the share of the peer
    /// in it.
    ///
    /// # Errors
    ///
    /// As [`StreamScope::set_service`].
    pub fn set_service(&self, service: &str) -> Result<()> {
        StreamScope::set_service(self, service)
    }

    /// Sets the protocol and the service, once, in one step: for a protocol whose service is known. It
    /// costs less than [`set_protocol`](Self::set_protocol) and [`set_service`](Self::set_service)
    /// after each other, and asks the same scopes in the same order.
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Limits, Manager};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let stream = manager.open_stream(&"tenant-7".parse()?, Direction::Inbound)?;
    /// stream.set_protocol_and_service("/ipfs/kad/1.0.0", "dht")?;
    /// assert_eq!(stream.service().as_deref(), Some("dht"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::LimitExceeded`] if one of these scopes has no room, and [`Error::AlreadyAttached`] if the
    /// stream has a protocol: then nothing has changed, and the stream has no service either.
    /// [`Error::ScopeClosed`] if it is closed.
    pub fn set_protocol_and_service(&self, protocol: &str, service: &str) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Protocol)?;
        let path = mover.path();
        mover.advance(
            path.shared_home()
                .path_beyond(path, protocol, Some(service)),
        )
    }

    /// Sets the protocol, and the service if there is one, to those of kept scopes, once and in one step.
    /// For a stream of the same peer it costs less than
    /// [`set_protocol_and_service`](Self::set_protocol_and_service), because nothing is looked up by
    /// name. It asks the same scopes in the same order.
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Limits, Manager};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let peer = "tenant-7".parse()?;
    /// let first = manager.open_stream(&peer, Direction::Inbound)?;
    /// first.set_protocol("/ipfs/kad/1.0.0")?;
    /// let kept = first.keep_scopes()?;
    ///
    /// let next = manager.open_stream(&peer, Direction::Inbound)?;
    /// next.set_kept_scopes(&kept)?;
    /// assert_eq!(next.protocol().as_deref(), Some("/ipfs/kad/1.0.0"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`set_protocol_and_service`](Self::set_protocol_and_service).
    /// [`Error::NoProtocol`] if the kept scopes have none.
    pub fn set_kept_scopes(&self, kept: &KeptScopes) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Protocol)?;
        let (path, kept) = (mover.path(), kept.path());
        let next = if kept.begins_on(path) {
            kept.try_join()
        } else {
            // They are those of another peer or another manager, or have no protocol.
            let Some(protocol) = kept.name_of(ScopeClass::Protocol) else {
                return Err(Error::NoProtocol {
                    scope: self.leaf.name(),
                });
            };
            let service = kept.name_of(ScopeClass::Service);
            path.shared_home()
                .path_beyond(path, protocol, service.map(|name| &**name))
        };
        mover.advance(next)
    }

    /// Keeps the scopes that the stream is charged on now, until the result is dropped: for peers that
    /// open one stream after the other. [`KeptScopes`] says what that means.
    ///
    /// # Errors
    ///
    /// [`Error::ScopeClosed`] if the stream is closed.
    ///
    /// # Panics
    ///
    /// If 2²⁶ results for the same scopes were forgotten (`mem::forget`).
    pub fn keep_scopes(&self) -> Result<KeptScopes> {
        let kept = match self.leaf.is_closed() {
            true => None,
            // The path has no use if the stream is closed meanwhile.
            false => KeptScopes::of(self.leaf.path()),
        };
        kept.ok_or_else(|| self.leaf.closed())
    }

    /// Gives back all that the stream holds, once. A second call does nothing. Dropping it does the
    /// same.
    pub fn done(&self) {
        StreamScope::done(self);
    }
}

/// Opens a stream that begins on `from`.
pub fn open_stream_with(
    from: Use<Path>,
    direction: Direction,
    protocol: &str,
    service: Option<&str>,
) -> Result<Stream> {
    let engine = from.shared_home();
    // The peer is checked first, so that it may refuse before anything is made for names that a
    // remote chose.
    if let Some(peer) = from.peer() {
        ask_first(engine, peer, direction)?;
    }
    let path = engine.path_beyond(&from, protocol, service);
    let path = path.expect("a path with a user can have branches");
    Stream::open(path, direction)
}

scope_methods!(Stream);
leaf_handle!(Stream);

impl Drop for Stream {
    fn drop(&mut self) {
        // The only reference closes the stream when it drops it. Otherwise spans still hold it.
        if !self.leaf.is_only() {
            self.leaf.close();
        }
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
        mover.advance(path.shared_home().protocol_path(mover.from(), protocol))
    }

    fn set_service(&self, service: &str) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Service)?;
        let path = mover.path();
        if path.node(ScopeClass::Protocol).is_none() {
            return Err(Error::NoProtocol {
                scope: self.leaf.name(),
            });
        }
        mover.advance(path.shared_home().service_path(mover.from(), service))
    }

    fn done(&self) {
        self.leaf.close();
    }
}
