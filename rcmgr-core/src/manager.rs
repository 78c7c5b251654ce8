//! The traits of a manager, its connections and its streams.

use std::net::IpAddr;
use std::sync::Arc;

use crate::{Direction, Endpoint, Limits, ManagerStat, PeerId, ResourceScope, Result, UsesFd};

/// A connection: one connection, perhaps a file descriptor, and memory.
///
/// Streams with its peer are best opened through it: it knows the peer's scope, so that nothing is
/// looked up.
///
/// ```
/// use rcmgr_core::{
///     ConnectionScope, Direction, Endpoint, NullResourceManager, ResourceManager, StreamScope, UsesFd,
/// };
///
/// # let manager = NullResourceManager;
/// let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
/// connection.set_peer(&"tenant-7".parse()?)?;
///
/// // The remote opens a stream, and says later what it is for.
/// let stream = connection.open_stream(Direction::Inbound)?;
/// stream.set_protocol("/ipfs/kad/1.0.0")?;
///
/// // We open one, and know.
/// let query = connection.open_stream_with(Direction::Outbound, "/ipfs/kad/1.0.0", Some("dht"))?;
/// # drop((stream, query));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ConnectionScope: ResourceScope {
    /// What [`open_stream`](Self::open_stream) gives.
    type Stream: StreamScope + 'static;

    /// The direction it was opened in.
    fn direction(&self) -> Direction;

    /// The peer, once it is set.
    fn peer(&self) -> Option<PeerId>;

    /// Says who is at the other end: charges the peer's scope with all that the connection holds,
    /// then gives it back to the transient scope. A connection that the allowlist let in, but not
    /// for this peer, is first moved to the standard system and transient scopes.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) if the peer's scope refuses: it may be tried
    /// again. If the standard system or transient scope refuses a connection that the allowlist had
    /// let in, the error is theirs, and the connection must be closed. [`AlreadyAttached`](crate::Error::AlreadyAttached) the
    /// second time, [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn set_peer(&self, peer: &PeerId) -> Result<()>;

    /// Attaches the connection to a service: charges the service, and the peer's share of it, with
    /// all that the connection holds. A connection without a peer leaves the transient scope.
    ///
    /// This is what a server without streams needs: system, service, connection. It may come
    /// before or after [`set_peer`](Self::set_peer).
    ///
    /// # Errors
    ///
    /// As [`set_peer`](Self::set_peer).
    fn set_service(&self, service: &str) -> Result<()>;

    /// Opens a stream with the connection's peer, as
    /// [`ResourceManager::open_stream`](crate::ResourceManager::open_stream) does. The stream is on
    /// its own from then on: it holds nothing of the connection, and may outlive it.
    ///
    /// # Errors
    ///
    /// As [`ResourceManager::open_stream`](crate::ResourceManager::open_stream).
    /// [`NoPeer`](crate::Error::NoPeer) before [`set_peer`](Self::set_peer),
    /// [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn open_stream(&self, direction: Direction) -> Result<Self::Stream>;

    /// Opens a stream with the connection's peer of which the protocol, and perhaps the service, are
    /// known, as [`ResourceManager::open_stream_with`](crate::ResourceManager::open_stream_with)
    /// does.
    ///
    /// # Errors
    ///
    /// As [`open_stream`](Self::open_stream).
    fn open_stream_with(
        &self,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Self::Stream>;

    /// Gives back all that the connection holds, once; a second call does nothing. Dropping is the
    /// same.
    fn done(&self);
}

/// A stream: one stream, and memory.
pub trait StreamScope: ResourceScope {
    /// The direction it was opened in.
    fn direction(&self) -> Direction;

    /// The peer.
    fn peer(&self) -> PeerId;

    /// The protocol, once it is set.
    fn protocol(&self) -> Option<Arc<str>>;

    /// The service, once it is set.
    fn service(&self) -> Option<Arc<str>>;

    /// Says what is spoken: charges the protocol and the peer's share of it with all that the
    /// stream holds, then gives it back to the transient scope.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) if one of them refuses: nothing has changed,
    /// and it may be tried again. [`AlreadyAttached`](crate::Error::AlreadyAttached) the second
    /// time, [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn set_protocol(&self, protocol: &str) -> Result<()>;

    /// Says which service handles it: charges the service and the peer's share of it.
    ///
    /// # Errors
    ///
    /// As [`set_protocol`](Self::set_protocol), and [`NoProtocol`](crate::Error::NoProtocol)
    /// before it.
    fn set_service(&self, service: &str) -> Result<()>;

    /// Gives back all that the stream holds, once; a second call does nothing. Dropping is the
    /// same.
    fn done(&self);
}

/// Decides, for every connection, stream, file descriptor and byte of buffer, whether the node may
/// take it on.
///
/// Written against as a generic it costs nothing; for a choice at run time there is
/// [`dynamic::DynResourceManager`](crate::dynamic::DynResourceManager).
///
/// ```
/// use rcmgr_core::{
///     ConnectionScope, Direction, Endpoint, NullResourceManager, PeerId, ResourceManager, UsesFd,
/// };
///
/// fn accept<M: ResourceManager>(
///     manager: &M,
///     from: Endpoint,
///     peer: &PeerId,
/// ) -> rcmgr_core::Result<M::Connection> {
///     let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, from)?;
///     connection.set_peer(peer)?;
///     Ok(connection)
/// }
/// # accept(&NullResourceManager, Endpoint::None, &"a".parse().unwrap()).unwrap();
/// ```
pub trait ResourceManager: Send + Sync {
    /// What the views give.
    type Scope: ResourceScope + 'static;
    /// What [`open_service`](Self::open_service) gives.
    type Service: ResourceScope + 'static;
    /// A connection.
    type Connection: ConnectionScope<Stream = Self::Stream> + 'static;
    /// A stream.
    type Stream: StreamScope + 'static;

    /// Opens a connection. First the address is asked: the rate of new connections from there, then
    /// how many there are from its subnet. Then the connection, and its file descriptor, is charged
    /// on itself, on the transient scope and on the system scope; where these refuse and the address
    /// is on the allowlist, on the allowlisted scopes instead.
    ///
    /// # Errors
    ///
    /// [`RateLimit`](crate::Error::RateLimit) or [`SubnetLimit`](crate::Error::SubnetLimit) if the
    /// address is refused; [`LimitExceeded`](crate::Error::LimitExceeded) names the first scope
    /// that refused. Nothing is charged then (but a token of the rate).
    /// [`ScopeClosed`](crate::Error::ScopeClosed) after [`close`](Self::close).
    fn open_connection(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: Endpoint,
    ) -> Result<Self::Connection>;

    /// Opens a stream with a peer: charges it on itself, on the peer's, the transient and the
    /// system scope.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) names the first scope that refused; nothing
    /// is charged then. [`ScopeClosed`](crate::Error::ScopeClosed) after [`close`](Self::close).
    fn open_stream(&self, peer: &PeerId, direction: Direction) -> Result<Self::Stream>;

    /// Opens a stream with a peer of which the protocol, and perhaps the service, are known: charges
    /// it at once on all that it would be charged on after
    /// [`set_protocol`](StreamScope::set_protocol) and
    /// [`set_service`](StreamScope::set_service), and never on the transient scope.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) names the first scope that refused: the stream
    /// itself, the peer, its shares of protocol and service, protocol, service, system are asked, in
    /// this order. Nothing is charged then. [`ScopeClosed`](crate::Error::ScopeClosed) after
    /// [`close`](Self::close).
    fn open_stream_with(
        &self,
        peer: &PeerId,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Self::Stream>;

    /// Whether the transport should make the remote prove that this address is its own before it
    /// goes on: true while many connections come from there. (For QUIC: send a Retry packet.)
    fn verify_source_address(&self, ip: IpAddr) -> bool;

    /// A handle of one's own on a service's scope. Where there is no limit for that service, and
    /// none by default, it is a span of the system scope.
    ///
    /// # Errors
    ///
    /// [`ScopeClosed`](crate::Error::ScopeClosed) after [`close`](Self::close).
    fn open_service(&self, service: &str) -> Result<Self::Service>;

    /// The system scope.
    fn view_system(&self) -> Self::Scope;

    /// The transient scope.
    fn view_transient(&self) -> Self::Scope;

    /// A service's scope, made if absent. It lives as long as the manager.
    fn view_service(&self, service: &str) -> Self::Scope;

    /// A protocol's scope, made if absent. It lives while it is referred to or holds something.
    fn view_protocol(&self, protocol: &str) -> Self::Scope;

    /// A peer's scope, made if absent. It lives while it is referred to or holds something.
    fn view_peer(&self, peer: &PeerId) -> Self::Scope;

    /// The names of all services.
    fn services(&self) -> Vec<Arc<str>>;

    /// The ids of all live protocols.
    fn protocols(&self) -> Vec<Arc<str>>;

    /// The ids of all live peers.
    fn peers(&self) -> Vec<PeerId>;

    /// What all named scopes use.
    fn stat(&self) -> ManagerStat;

    /// The limits that were set last, limits set on single scopes apart.
    fn limits(&self) -> Arc<Limits>;

    /// Changes all limits in place, for scopes that are open too. What is used above a lowered
    /// limit stays; only what is new is refused.
    fn set_limits(&self, limits: Limits);

    /// Refuses to open anything from now on. What is open goes on until it is done.
    fn close(&self);
}

/// The methods of [`ConnectionScope`], passed on to what `$target` gives; streams go through
/// `$wrap`.
macro_rules! forward_connection {
    ($self:ident => $target:expr, $wrap:expr) => {
        fn open_stream(&$self, direction: $crate::Direction) -> $crate::Result<Self::Stream> {
            $target.open_stream(direction).map($wrap)
        }
        fn open_stream_with(
            &$self,
            direction: $crate::Direction,
            protocol: &str,
            service: Option<&str>,
        ) -> $crate::Result<Self::Stream> {
            $target.open_stream_with(direction, protocol, service).map($wrap)
        }
        fn direction(&$self) -> $crate::Direction {
            $target.direction()
        }
        fn peer(&$self) -> Option<$crate::PeerId> {
            $target.peer()
        }
        fn set_peer(&$self, peer: &$crate::PeerId) -> $crate::Result<()> {
            $target.set_peer(peer)
        }
        fn set_service(&$self, service: &str) -> $crate::Result<()> {
            $target.set_service(service)
        }
        fn done(&$self) {
            $target.done();
        }
    };
}
pub(crate) use forward_connection;

/// The methods of [`StreamScope`], passed on to what `$target` gives.
macro_rules! forward_stream {
    ($self:ident => $target:expr) => {
        fn direction(&$self) -> $crate::Direction {
            $target.direction()
        }
        fn peer(&$self) -> $crate::PeerId {
            $target.peer()
        }
        fn protocol(&$self) -> Option<std::sync::Arc<str>> {
            $target.protocol()
        }
        fn service(&$self) -> Option<std::sync::Arc<str>> {
            $target.service()
        }
        fn set_protocol(&$self, protocol: &str) -> $crate::Result<()> {
            $target.set_protocol(protocol)
        }
        fn set_service(&$self, service: &str) -> $crate::Result<()> {
            $target.set_service(service)
        }
        fn done(&$self) {
            $target.done();
        }
    };
}
pub(crate) use forward_stream;

/// The methods of [`ResourceManager`], passed on to what `$target` gives; scopes go through
/// `$wrap`.
macro_rules! forward_manager {
    ($self:ident => $target:expr, $wrap:expr) => {
        fn open_connection(
            &$self,
            direction: $crate::Direction,
            uses_fd: $crate::UsesFd,
            endpoint: $crate::Endpoint,
        ) -> $crate::Result<Self::Connection> {
            $target.open_connection(direction, uses_fd, endpoint).map($wrap)
        }
        fn open_stream(
            &$self,
            peer: &$crate::PeerId,
            direction: $crate::Direction,
        ) -> $crate::Result<Self::Stream> {
            $target.open_stream(peer, direction).map($wrap)
        }
        fn open_stream_with(
            &$self,
            peer: &$crate::PeerId,
            direction: $crate::Direction,
            protocol: &str,
            service: Option<&str>,
        ) -> $crate::Result<Self::Stream> {
            $target.open_stream_with(peer, direction, protocol, service).map($wrap)
        }
        fn verify_source_address(&$self, ip: std::net::IpAddr) -> bool {
            $target.verify_source_address(ip)
        }
        fn open_service(&$self, service: &str) -> $crate::Result<Self::Service> {
            $target.open_service(service).map($wrap)
        }
        fn view_system(&$self) -> Self::Scope {
            $wrap($target.view_system())
        }
        fn view_transient(&$self) -> Self::Scope {
            $wrap($target.view_transient())
        }
        fn view_service(&$self, service: &str) -> Self::Scope {
            $wrap($target.view_service(service))
        }
        fn view_protocol(&$self, protocol: &str) -> Self::Scope {
            $wrap($target.view_protocol(protocol))
        }
        fn view_peer(&$self, peer: &$crate::PeerId) -> Self::Scope {
            $wrap($target.view_peer(peer))
        }
        fn services(&$self) -> Vec<std::sync::Arc<str>> {
            $target.services()
        }
        fn protocols(&$self) -> Vec<std::sync::Arc<str>> {
            $target.protocols()
        }
        fn peers(&$self) -> Vec<$crate::PeerId> {
            $target.peers()
        }
        fn stat(&$self) -> $crate::ManagerStat {
            $target.stat()
        }
        fn limits(&$self) -> std::sync::Arc<$crate::Limits> {
            $target.limits()
        }
        fn set_limits(&$self, limits: $crate::Limits) {
            $target.set_limits(limits);
        }
        fn close(&$self) {
            $target.close();
        }
    };
}
pub(crate) use forward_manager;

/// What refers to a connection, stream, span or manager is one.
macro_rules! behind {
    ($($pointer:ty),*) => {$(
        impl<T: ConnectionScope + ?Sized> ConnectionScope for $pointer {
            type Stream = T::Stream;
            forward_connection!(self => (**self), std::convert::identity);
        }

        impl<T: StreamScope + ?Sized> StreamScope for $pointer {
            forward_stream!(self => (**self));
        }

        impl<T: ResourceManager + ?Sized> ResourceManager for $pointer {
            type Scope = T::Scope;
            type Service = T::Service;
            type Connection = T::Connection;
            type Stream = T::Stream;
            forward_manager!(self => (**self), std::convert::identity);
        }
    )*};
}
behind!(&T, Box<T>, Arc<T>);
