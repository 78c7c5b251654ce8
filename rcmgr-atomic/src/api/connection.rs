//! The handle on a connection.

use rcmgr_core::{ConnectionScope, Direction, PeerId, Result, ScopeClass};

use super::inherent::scope_methods;
use super::leaf_handle::leaf_handle;
use super::span::Span;
use super::stream::{Stream, open_stream_with};
use crate::counters::Slot;
use crate::engine::{FromPath, Path};
use crate::leaf::{ConnectionLeaf, Leaf, More, charge_new, join_charged, leave_allowlist};
use crate::lifetime::{Shared, Use};
use crate::limits::{Addresses, BarePermit};
use crate::path::PathKind;
use crate::span::Owner;

/// A connection of a [`Manager`](crate::Manager). It gives back all that it holds when it is
/// dropped.
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
#[must_use = "a connection that is dropped gives everything back"]
pub struct Connection {
    leaf: Shared<ConnectionLeaf>,
}

impl Connection {
    /// A connection on a path that is charged with it, with a permit in the subnet of its address,
    /// or none.
    #[inline(always)]
    pub(super) fn new(
        path: Use<Path>,
        slot: Slot,
        permit: BarePermit,
        more: Option<Box<More>>,
    ) -> Self {
        let leaf = Shared::new_with(|| ConnectionLeaf {
            leaf: Leaf::charged(path, slot),
            permit,
            more,
        });
        Self { leaf }
    }

    pub(super) fn shared_leaf(&self) -> Shared<ConnectionLeaf> {
        self.leaf.clone()
    }

    /// The path on which its streams begin, with the caller as a user.
    pub(super) fn streams_path(&self) -> Result<Use<Path>> {
        let streams = self.leaf.streams()?.try_join();
        streams.ok_or_else(|| self.leaf.closed())
    }

    /// Records that it was opened.
    pub(super) fn record_opened(&self) {
        self.leaf.record_opened();
    }

    /// Whether it is charged on the allowlisted scopes.
    pub(super) fn is_allowlisted(&self) -> bool {
        self.leaf.path().kind() == PathKind::AllowlistedConnection
    }

    /// Whether the connection may stay on its path when the remote turns out to be this peer.
    fn may_stay(&self, path: &Path, peer: &PeerId) -> bool {
        let allowed = |endpoint| path.home().addresses().allowlist().allows(peer, endpoint);
        let more = self.leaf.more.as_ref();
        path.kind() != PathKind::AllowlistedConnection
            || more.and_then(|more| more.allowlisted).is_some_and(allowed)
    }
}

impl Connection {
    /// The direction it was opened in.
    pub fn direction(&self) -> Direction {
        ConnectionScope::direction(self)
    }

    /// The peer, once it is set.
    pub fn peer(&self) -> Option<PeerId> {
        ConnectionScope::peer(self)
    }

    /// Sets the peer, once: charges the scope of the peer with all that the connection holds.
    ///
    /// # Errors
    ///
    /// As [`ConnectionScope::set_peer`].
    pub fn set_peer(&self, peer: &PeerId) -> Result<()> {
        ConnectionScope::set_peer(self, peer)
    }

    /// Opens a span, as [`begin_span`](Self::begin_span) does. Where that fails, the span is closed from
    /// the start: each reservation on it fails as on a span that was closed. It is for code that opens
    /// a span when it first needs one, and cannot fail there.
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Endpoint, Error, Limits, Manager, Priority, UsesFd};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
    /// assert!(connection.begin_span_or_closed().reserve(1, Priority::Low).is_ok());
    /// connection.done();
    /// let refused = connection.begin_span_or_closed().reserve(1, Priority::Low).map(drop);
    /// assert!(matches!(refused, Err(Error::ScopeClosed { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn begin_span_or_closed(&self) -> Span {
        let closed = |_| Span::closed_from_start(Owner::Leaf(self.leaf.clone().into()));
        self.begin_span().unwrap_or_else(closed)
    }

    /// Attaches the connection to a service, once: charges the service, and the share of the peer
    /// in it.
    ///
    /// # Errors
    ///
    /// As [`ConnectionScope::set_service`].
    pub fn set_service(&self, service: &str) -> Result<()> {
        ConnectionScope::set_service(self, service)
    }

    /// Opens a stream with the peer of the connection.
    ///
    /// # Errors
    ///
    /// As [`ConnectionScope::open_stream`].
    pub fn open_stream(&self, direction: Direction) -> Result<Stream> {
        ConnectionScope::open_stream(self, direction)
    }

    /// Opens a stream with the peer of the connection, whose protocol, and perhaps service, are
    /// known.
    ///
    /// # Errors
    ///
    /// As [`ConnectionScope::open_stream_with`].
    pub fn open_stream_with(
        &self,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Stream> {
        ConnectionScope::open_stream_with(self, direction, protocol, service)
    }

    /// Gives back all that the connection holds, once. A second call does nothing. Dropping it does
    /// the same.
    pub fn done(&self) {
        ConnectionScope::done(self);
    }
}

fn addresses(leaf: &Leaf) -> &Addresses {
    leaf.path().home().addresses()
}

scope_methods!(Connection);
leaf_handle!(Connection);

impl Drop for Connection {
    fn drop(&mut self) {
        match self.leaf.only_mut() {
            // The only reference closes the connection when it drops it.
            Some(ConnectionLeaf { leaf, permit, .. }) => addresses(leaf).give_back_last(permit),
            // Spans still hold it.
            None => self.done(),
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
        let engine = path.shared_home();
        let of_peer = engine.peer_path(path.kind(), peer);
        let next = match path.name_of(ScopeClass::Service) {
            None => Some(of_peer),
            Some(service) => engine.service_path(FromPath::user(&of_peer), service),
        };
        mover.advance(next)?;
        let path = mover.path();
        if let Some(node) = path.peer()
            && !node.are_refusals_spread()
            && path.has_several_uses()
        {
            // Each connection may have a thread that is refused streams, and a refusal allocates
            // nothing. So the counts of refusals are spread here.
            node.spread_refusals();
        }
        Ok(())
    }

    fn set_service(&self, service: &str) -> Result<()> {
        let mut mover = self.attach(ScopeClass::Service)?;
        let engine = mover.path().shared_home();
        mover.advance(engine.service_path(mover.from(), service))
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
        open_stream_with(self.streams_path()?, direction, protocol, service)
    }

    fn done(&self) {
        self.leaf.close();
        addresses(&self.leaf).give_back(&self.leaf.permit);
        let more = self.leaf.more.as_ref();
        if let Some(permit) = more.and_then(|more| more.dry_run_permit.as_ref()) {
            permit.give_back();
        }
    }
}
