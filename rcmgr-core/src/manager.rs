//! The traits of a manager, its connections and its streams.

use std::net::IpAddr;
use std::sync::Arc;

use crate::{Direction, Endpoint, Limits, ManagerStat, PeerId, ResourceScope, Result, UsesFd};

/// A connection: it is charged for one connection, for a file descriptor if it uses one, and for
/// memory.
///
/// Prefer to open streams through the connection: it already has the peer's scope, so nothing is
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
/// // The remote opens a stream. Its protocol is known later.
/// let stream = connection.open_stream(Direction::Inbound)?;
/// stream.set_protocol("/ipfs/kad/1.0.0")?;
///
/// // We open a stream and know its protocol and service.
/// let query = connection.open_stream_with(Direction::Outbound, "/ipfs/kad/1.0.0", Some("dht"))?;
/// # drop((stream, query));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ConnectionScope: ResourceScope {
    /// The type of the streams that [`open_stream`](Self::open_stream) opens.
    type Stream: StreamScope + 'static;

    /// Which side opened it.
    fn direction(&self) -> Direction;

    /// The peer, once it is set.
    fn peer(&self) -> Option<PeerId>;

    /// Sets the peer: charges the peer's scope with everything that the connection holds, then
    /// releases it from the transient scope. If the allowlist admitted the connection but does not
    /// allow this peer, the connection first moves to the standard system and transient scopes.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) if the peer's scope refuses; the call may be
    /// retried. If the standard system or transient scope refuses a connection that the allowlist
    /// admitted, the error names that scope, and the connection must be closed.
    /// [`AlreadyAttached`](crate::Error::AlreadyAttached) if the peer is already set,
    /// [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn set_peer(&self, peer: &PeerId) -> Result<()>;

    /// Attaches the connection to a service: charges the service, and the peer's share of it, with
    /// everything that the connection holds. A connection without a peer leaves the transient
    /// scope.
    ///
    /// A server without streams needs only this: the connection is charged to the system, the
    /// service and itself. It may be called before or after [`set_peer`](Self::set_peer).
    ///
    /// # Errors
    ///
    /// As [`set_peer`](Self::set_peer).
    fn set_service(&self, service: &str) -> Result<()>;

    /// Opens a stream with the connection's peer, as
    /// [`ResourceManager::open_stream`](crate::ResourceManager::open_stream) does. The stream is
    /// independent of the connection and may outlive it.
    ///
    /// # Errors
    ///
    /// As [`ResourceManager::open_stream`](crate::ResourceManager::open_stream).
    /// [`NoPeer`](crate::Error::NoPeer) before [`set_peer`](Self::set_peer),
    /// [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn open_stream(&self, direction: Direction) -> Result<Self::Stream>;

    /// Opens a stream with the connection's peer when the protocol, and perhaps the service, are
    /// already known, as
    /// [`ResourceManager::open_stream_with`](crate::ResourceManager::open_stream_with) does.
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

    /// Releases everything that the connection holds. A second call does nothing. Dropping the
    /// connection has the same effect.
    fn done(&self);
}

/// A stream: it is charged for one stream and for memory.
pub trait StreamScope: ResourceScope {
    /// Which side opened it.
    fn direction(&self) -> Direction;

    /// The peer.
    fn peer(&self) -> PeerId;

    /// The protocol, once it is set.
    fn protocol(&self) -> Option<Arc<str>>;

    /// The service, once it is set.
    fn service(&self) -> Option<Arc<str>>;

    /// Sets the protocol: charges the protocol, and the peer's share of it, with everything that
    /// the stream holds, then releases it from the transient scope.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) if one of these scopes refuses; then nothing
    /// has changed, and the call may be retried. [`AlreadyAttached`](crate::Error::AlreadyAttached)
    /// if the protocol is already set, [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn set_protocol(&self, protocol: &str) -> Result<()>;

    /// Sets the service that handles the stream: charges the service, and the peer's share of it.
    ///
    /// # Errors
    ///
    /// As [`set_protocol`](Self::set_protocol), and [`NoProtocol`](crate::Error::NoProtocol) if the
    /// protocol is not set yet.
    fn set_service(&self, service: &str) -> Result<()>;

    /// Releases everything that the stream holds. A second call does nothing. Dropping the stream
    /// has the same effect.
    fn done(&self);
}

/// Decides for each connection, stream, file descriptor and byte of memory whether the node may
/// take it.
///
/// Code that is generic over this trait pays no indirect calls. To choose the manager at run time,
/// use [`dynamic::DynResourceManager`](crate::dynamic::DynResourceManager).
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
    /// The type of the scopes that the `view_` methods return.
    type Scope: ResourceScope + 'static;
    /// The type that [`open_service`](Self::open_service) returns.
    type Service: ResourceScope + 'static;
    /// The type of a connection.
    type Connection: ConnectionScope<Stream = Self::Stream> + 'static;
    /// The type of a stream.
    type Stream: StreamScope + 'static;

    /// Opens a connection. First the limits by remote address are checked: the rate of new
    /// connections, then the number of open connections in the address's subnets. Then the
    /// connection and its file descriptor are charged to the connection itself, the transient scope
    /// and the system scope. If these refuse and the address is on the allowlist, the allowlisted
    /// scopes are charged instead.
    ///
    /// # Errors
    ///
    /// [`RateLimit`](crate::Error::RateLimit) or [`SubnetLimit`](crate::Error::SubnetLimit) if a
    /// limit by address refuses; [`LimitExceeded`](crate::Error::LimitExceeded) names the first
    /// scope that refused. Then nothing is charged, except that a token of the rate limit is spent.
    /// [`ScopeClosed`](crate::Error::ScopeClosed) after [`close`](Self::close).
    fn open_connection(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: Endpoint,
    ) -> Result<Self::Connection>;

    /// Opens a stream with a peer: charges the stream itself and the peer, transient and system
    /// scopes.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) names the first scope that refused; then
    /// nothing is charged. [`ScopeClosed`](crate::Error::ScopeClosed) after [`close`](Self::close).
    fn open_stream(&self, peer: &PeerId, direction: Direction) -> Result<Self::Stream>;

    /// Opens a stream with a peer when the protocol, and perhaps the service, are already known:
    /// charges it at once on all that it would be charged on after
    /// [`set_protocol`](StreamScope::set_protocol) and [`set_service`](StreamScope::set_service),
    /// and never on the transient scope.
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) names the first scope that refused, in this
    /// order: the stream itself, the peer, the peer's shares of protocol and service, the protocol,
    /// the service, the system. Then nothing is charged. [`ScopeClosed`](crate::Error::ScopeClosed)
    /// after [`close`](Self::close).
    fn open_stream_with(
        &self,
        peer: &PeerId,
        direction: Direction,
        protocol: &str,
        service: Option<&str>,
    ) -> Result<Self::Stream>;

    /// Whether the transport should make the remote prove that it owns this address before it
    /// continues: true while many connections come from there. For QUIC, send a Retry packet.
    fn verify_source_address(&self, ip: IpAddr) -> bool;

    /// Opens a handle to a service's scope. If the limits have neither an entry for the service nor
    /// a default for services, the handle is a span of the system scope.
    ///
    /// # Errors
    ///
    /// [`ScopeClosed`](crate::Error::ScopeClosed) after [`close`](Self::close).
    fn open_service(&self, service: &str) -> Result<Self::Service>;

    /// The system scope.
    fn view_system(&self) -> Self::Scope;

    /// The transient scope.
    fn view_transient(&self) -> Self::Scope;

    /// A service's scope, created if absent. It lives as long as the manager.
    fn view_service(&self, service: &str) -> Self::Scope;

    /// A protocol's scope, created if absent. It lives while it is referenced or holds something.
    fn view_protocol(&self, protocol: &str) -> Self::Scope;

    /// A peer's scope, created if absent. It lives while it is referenced or holds something.
    fn view_peer(&self, peer: &PeerId) -> Self::Scope;

    /// The names of all services.
    fn services(&self) -> Vec<Arc<str>>;

    /// The ids of all live protocols.
    fn protocols(&self) -> Vec<Arc<str>>;

    /// The ids of all live peers.
    fn peers(&self) -> Vec<PeerId>;

    /// The usage of all named scopes.
    fn stat(&self) -> ManagerStat;

    /// The limits that were set last, without overrides on single scopes.
    fn limits(&self) -> Arc<Limits>;

    /// Replaces all limits. Open scopes obey the new limits too. Usage above a lowered limit stays;
    /// only new requests are refused.
    fn set_limits(&self, limits: Limits);

    /// Refuses to open anything from now on. Open connections, streams and spans continue until
    /// they are done.
    fn close(&self);
}

/// The methods of [`ConnectionScope`], forwarded to `$target`; streams go through `$wrap`.
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

/// The methods of [`StreamScope`], forwarded to `$target`.
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

/// The methods of [`ResourceManager`], forwarded to `$target`; scopes go through `$wrap`.
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

/// Implements the traits for a pointer to a connection, stream or manager.
macro_rules! implement_for_pointers {
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
implement_for_pointers!(&T, Box<T>, Arc<T>);
