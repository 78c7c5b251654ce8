//! A guarded listener for axum, and the span of a request as an extractor, with the feature `axum`.

mod app_service;
mod connections;
mod make_service;
mod on_routes;

use std::fmt;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::connect_info::Connected;
use axum::response::{IntoResponse, Response};
use axum::serve::{IncomingStream, TapIo};
use http::StatusCode;
use http::request::Parts;
use rcmgr_core::Endpoint;
use rcmgr_tokio::{Accept, Guarded};

use crate::refusal::{Refusal, answer_http};
use crate::retry_after::RetryAfter;
use crate::{ConnInfo, Io, RequestSpan};

pub use app_service::{AppFuture, AppService};
pub use connections::{ConnectedApp, WithConnections, with_connections};
pub use make_service::MakeService;
pub use on_routes::OnRoutes;

/// A guarded listener for [`axum::serve()`].
///
/// Around a whole app, use [`into_make_service`](crate::RequestScopes::into_make_service) of the layer:
/// it costs least. For a layer on some of the routes, use
/// [`on_routes`](crate::RequestScopes::on_routes) and serve with [`with_connections`]: it is how the
/// layer finds the connection of a request. Without it, requests are charged to their service only.
///
/// ```no_run
/// use axum::Router;
/// use axum::routing::get;
/// use rcmgr_atomic::{Limits, Manager};
/// use rcmgr_tokio::Guarded;
/// use rcmgr_tower::RequestScopes;
/// use rcmgr_tower::axum::{Listener, with_connections};
/// use tokio::net::TcpListener;
///
/// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
/// let manager = Manager::new(Limits::unlimited())?;
/// let listener = TcpListener::bind("127.0.0.1:8080").await?;
/// let listener = Guarded::new(listener, manager.clone()).service("web");
/// let app: Router = Router::new()
///     .route("/", get(|| async { "hello" }))
///     .layer(RequestScopes::new(&manager).on_routes());
/// axum::serve(Listener::new(listener), with_connections(app)).await?;
/// # Ok(())
/// # }
/// ```
///
/// # The address of the client
///
/// | serve with | `ConnectInfo<SocketAddr>` | `ConnectInfo<ConnInfo>`, which has the scope as well |
/// | --- | --- | --- |
/// | [`into_make_service`](crate::RequestScopes::into_make_service) of the layer | no | no |
/// | [`into_make_service_with_connect_info`](crate::RequestScopes::into_make_service_with_connect_info) of the layer | yes | no |
/// | [`with_connections`] | no | no |
/// | [`with_connections`] and [`with_connect_info`](WithConnections::with_connect_info) | yes | no |
/// | axum's `into_make_service_with_connect_info::<ConnInfo>()` | inside [`RequestScopes`](crate::RequestScopes) | yes |
///
/// The extractor `ConnectInfo<SocketAddr>` works as it does with a plain listener. The last row costs
/// most.
///
/// Options of the sockets are set as with a plain listener, by
/// [`tap_io`](axum::serve::ListenerExt::tap_io):
///
/// ```no_run
/// use axum::serve::ListenerExt;
/// # use rcmgr_tokio::Guarded;
/// # use rcmgr_tower::axum::Listener;
/// # use tokio::net::TcpListener;
///
/// # fn tap(listener: Guarded<TcpListener>) {
/// let listener = Listener::new(listener).tap_io(|stream| {
///     // An error means that the client is gone, which the first read finds.
///     let _ = stream.get_ref().set_nodelay(true);
/// });
/// # let _ = listener;
/// # }
/// ```
#[derive(Debug)]
pub struct Listener<L> {
    guarded: Guarded<L>,
    request_within: Option<Duration>,
}

impl<L: Accept> Listener<L> {
    /// The listener of a server.
    pub fn new(guarded: Guarded<L>) -> Self {
        Self {
            guarded,
            request_within: None,
        }
    }

    /// Closes a connection that has been without a request for this long: see
    /// [`Io::request_within`]. [`axum::serve()`] itself waits for ever, also for a client that sends the
    /// head of a request slowly.
    #[must_use]
    pub fn request_within(mut self, limit: Duration) -> Self {
        self.request_within = Some(limit);
        self
    }
}

impl<L: Accept + 'static> axum::serve::Listener for Listener<L> {
    type Io = Io<L::Io>;
    type Addr = Endpoint;

    async fn accept(&mut self) -> (Self::Io, Endpoint) {
        let stream = self.guarded.accept().await;
        let peer = stream.peer();
        (Io::accepted(stream, self.request_within), peer)
    }

    fn local_addr(&self) -> io::Result<Endpoint> {
        self.guarded.listener().local_endpoint()
    }
}

impl<L: Accept + 'static> Connected<IncomingStream<'_, Listener<L>>> for ConnInfo {
    fn connect_info(stream: IncomingStream<'_, Listener<L>>) -> Self {
        stream.io().conn_info()
    }
}

impl<L, F> Connected<IncomingStream<'_, TapIo<Listener<L>, F>>> for ConnInfo
where
    L: Accept + 'static,
    F: FnMut(&mut Io<L::Io>) + Send + 'static,
{
    fn connect_info(stream: IncomingStream<'_, TapIo<Listener<L>, F>>) -> Self {
        stream.io().conn_info()
    }
}

/// The span of the request. It is there inside of [`RequestScopes`](crate::RequestScopes).
impl<S: Sync> FromRequestParts<S> for RequestSpan {
    type Rejection = NoRequestSpan;

    async fn from_request_parts(head: &mut Parts, _: &S) -> Result<Self, NoRequestSpan> {
        let span = head.extensions.get::<Self>();
        span.cloned().ok_or(NoRequestSpan)
    }
}

/// A handler asks for the [`RequestSpan`], and the request has none: status 500, and a text for the
/// author of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRequestSpan;

impl fmt::Display for NoRequestSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the request has no RequestSpan: add `.layer(RequestScopes::new(&manager))` to the \
             router, after its routes",
        )
    }
}

impl std::error::Error for NoRequestSpan {}

impl IntoResponse for NoRequestSpan {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, format!("{self}\n")).into_response()
    }
}

/// The same answer that the layer gives, so that a handler can pass a refusal on with `?`. The time in
/// `Retry-After` is random, from 1 s to 9 s.
///
/// ```
/// use rcmgr_core::{MIB, Priority};
/// use rcmgr_tower::{Refusal, RequestSpan};
///
/// async fn resize(span: RequestSpan) -> Result<&'static str, Refusal> {
///     let room = span.reserve(16 * MIB, Priority::Low)?;
///     // .. the work ..
///     drop(room);
///     Ok("done")
/// }
/// # let _: axum::routing::MethodRouter = axum::routing::get(resize);
/// ```
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = answer_http(&self, &RetryAfter::default());
        response.extensions_mut().insert(self);
        response.map(Body::from)
    }
}
