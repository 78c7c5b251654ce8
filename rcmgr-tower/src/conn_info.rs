//! What a request knows of its connection: the scope, and the remote endpoint.

use std::sync::Arc;

#[cfg(feature = "axum")]
use ::axum::extract::ConnectInfo;
use http::Extensions;
use rcmgr_core::Endpoint;
use rcmgr_tokio::{ConnScope, GuardedStream};

use crate::requests::{InProgress, Requests};

/// The scope of a connection and its remote endpoint, as the extensions of a request have them.
///
/// - axum: serve with `into_make_service_with_connect_info::<ConnInfo>()`. A handler gets it from the
///   extractor `ConnectInfo<ConnInfo>`. Where no handler needs it,
///   `rcmgr_tower::axum::with_connections` costs less.
/// - tonic: it is in the extensions of each request, if the connections come from
///   `rcmgr_tower::tonic::incoming`.
/// - hyper: put it into the extensions of each request yourself.
///
/// ```
/// use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};
/// use rcmgr_tokio::{ConnScope, GuardedStream};
/// use rcmgr_tower::ConnInfo;
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let peer = "192.0.2.7:4001".parse().map(Endpoint::Socket).unwrap();
/// let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, peer)?;
/// let (socket, _) = tokio::io::duplex(64);
/// let stream = GuardedStream::new(socket, ConnScope::new(connection), peer);
///
/// let info = ConnInfo::of(&stream);
/// assert_eq!(info.peer().to_string(), "192.0.2.7:4001");
/// assert_eq!(info.scope().stat().conns_inbound, 1);
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ConnInfo {
    scope: ConnScope,
    peer: Endpoint,
    /// If the time without a request is limited.
    requests: Option<Arc<Requests>>,
}

impl ConnInfo {
    /// The facts of a stream. It is a handle on the stream's scope, so the scope lives as long.
    pub fn of<S>(stream: &GuardedStream<S>) -> Self {
        Self {
            scope: stream.scope().clone(),
            peer: stream.peer(),
            requests: None,
        }
    }

    /// With the requests of the connection.
    pub(crate) fn with_requests(self, requests: Option<Arc<Requests>>) -> Self {
        Self { requests, ..self }
    }

    /// Begins a request: returns the scope, and the request as one that is in progress. Also a
    /// request that is refused is one.
    pub(crate) fn begin(&self) -> (ConnScope, Option<InProgress>) {
        let request = self.requests.clone().map(Requests::begin);
        (self.scope.clone(), request)
    }

    /// The scope of the connection.
    pub fn scope(&self) -> &ConnScope {
        &self.scope
    }

    /// The remote endpoint.
    pub fn peer(&self) -> Endpoint {
        self.peer
    }
}

/// A connection whose remote endpoint is not known.
impl From<&ConnScope> for ConnInfo {
    fn from(scope: &ConnScope) -> Self {
        Self {
            scope: scope.clone(),
            peer: Endpoint::None,
            requests: None,
        }
    }
}

/// The connection of a request on its way to the layer, which takes it out: the more extensions a
/// request has, the more each costs.
#[cfg(feature = "axum")]
#[derive(Debug, Clone)]
pub(crate) struct Carried(pub(crate) ConnInfo);

/// The connection of a request: its scope, and the request as one that is in progress. Where the
/// address of the client is known, it is added to the extensions in the form in which handlers of
/// axum and tonic look for it.
pub(crate) fn connection_of(
    extensions: &mut Extensions,
) -> Option<(ConnScope, Option<InProgress>)> {
    #[cfg(feature = "axum")]
    if let Some(Carried(info)) = extensions.remove() {
        let request = info.requests.map(Requests::begin);
        return Some((info.scope, request));
    }
    #[cfg(feature = "axum")]
    if let Some(ConnectInfo(info)) = extensions.get::<ConnectInfo<ConnInfo>>() {
        let (connection, peer) = (info.begin(), info.peer);
        // For handlers that are written for a plain listener.
        if let Endpoint::Socket(address) = peer {
            extensions.insert(ConnectInfo(address));
        }
        return Some(connection);
    }
    if let Some(info) = extensions.get::<ConnInfo>() {
        let connection = info.begin();
        // For `Request::remote_addr`.
        #[cfg(feature = "tonic")]
        if let Endpoint::Socket(address) = info.peer {
            extensions.insert(::tonic::transport::server::TcpConnectInfo {
                local_addr: None,
                remote_addr: Some(address),
            });
        }
        return Some(connection);
    }
    let scope = extensions.get::<ConnScope>()?;
    Some((scope.clone(), None))
}
