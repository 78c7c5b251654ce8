//! Requests that know their connection: for the request layer on the routes of an app.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::serve::IncomingStream;
use rcmgr_core::Endpoint;
use tower_service::Service;

use super::make_service::with_services;
use crate::ConnInfo;
use crate::conn_info::Carried;

/// Gives each request of an app its connection, for [`axum::serve()`] with a
/// [`Listener`](crate::axum::Listener), and the address of its client. So
/// [`RequestScopes`](crate::RequestScopes) on the routes charge the connection, and the extractor
/// `ConnectInfo<SocketAddr>` works as it does with a plain listener, outside of the layer, too.
///
/// It costs less than `into_make_service_with_connect_info::<ConnInfo>()`. Use that where handlers
/// need `ConnectInfo<ConnInfo>`.
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
///     .layer(RequestScopes::new(&manager))
///     // Outside of the layer.
///     .route("/health", get(|| async { "healthy" }));
/// axum::serve(Listener::new(listener), with_connections(app)).await?;
/// # Ok(())
/// # }
/// ```
pub fn with_connections<A: 'static>(app: A) -> WithConnections<A> {
    let app = with_services(app);
    WithConnections { app }
}

/// Makes a service for each connection. Made by [`with_connections`].
#[derive(Debug, Clone)]
pub struct WithConnections<A> {
    app: A,
}

impl<'a, A, L> Service<IncomingStream<'a, L>> for WithConnections<A>
where
    A: Clone,
    L: axum::serve::Listener,
    ConnInfo: Connected<IncomingStream<'a, L>>,
{
    type Response = ConnectedApp<A>;
    type Error = Infallible;
    type Future = Ready<Result<ConnectedApp<A>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'a, L>) -> Self::Future {
        ready(Ok(ConnectedApp {
            app: self.app.clone(),
            connection: Arc::new(ConnInfo::connect_info(stream)),
        }))
    }
}

/// An app that serves one connection, and tells its requests which.
#[derive(Clone)]
pub struct ConnectedApp<A> {
    app: A,
    // Behind a pointer: the server clones the service for each request.
    connection: Arc<ConnInfo>,
}

impl<A> Service<Request> for ConnectedApp<A>
where
    A: Service<Request>,
{
    type Response = A::Response;
    type Error = A::Error;
    type Future = A::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let extensions = request.extensions_mut();
        if let Endpoint::Socket(address) = self.connection.peer() {
            extensions.insert(ConnectInfo(address));
        }
        extensions.insert(Carried(ConnInfo::clone(&self.connection)));
        self.app.call(request)
    }
}

impl<A: fmt::Debug> fmt::Debug for ConnectedApp<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectedApp")
            .field("app", &self.app)
            .field("connection", &self.connection)
            .finish()
    }
}
