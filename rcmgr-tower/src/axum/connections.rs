//! Requests that know their connection: for the request layer on the routes of an app.

use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::net::SocketAddr;
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
/// [`Listener`](crate::axum::Listener). So [`RequestScopes`](crate::RequestScopes) on the routes
/// charge the connection.
///
/// Handlers that need the address of the client get it with
/// [`with_connect_info`](WithConnections::with_connect_info).
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
    WithConnections {
        app,
        with_address: false,
    }
}

/// Makes a service for each connection. Made by [`with_connections`].
#[derive(Debug, Clone)]
pub struct WithConnections<A> {
    app: A,
    /// Whether each request gets the address of its client.
    with_address: bool,
}

impl<A> WithConnections<A> {
    /// Adds the address of the client to each request: the extractor `ConnectInfo<SocketAddr>` works
    /// as it does with a plain listener, outside of the layer, too.
    ///
    /// ```no_run
    /// use std::net::SocketAddr;
    ///
    /// use axum::Router;
    /// use axum::extract::ConnectInfo;
    /// use axum::routing::get;
    /// # use rcmgr_atomic::{Limits, Manager};
    /// # use rcmgr_tokio::Guarded;
    /// # use rcmgr_tower::RequestScopes;
    /// use rcmgr_tower::axum::{Listener, with_connections};
    /// # use tokio::net::TcpListener;
    ///
    /// async fn greet(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
    ///     format!("hello, {client}")
    /// }
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// # let manager = Manager::new(Limits::unlimited())?;
    /// # let listener = TcpListener::bind("127.0.0.1:8080").await?;
    /// # let listener = Guarded::new(listener, manager.clone()).service("web");
    /// let app: Router = Router::new()
    ///     .route("/", get(greet))
    ///     .layer(RequestScopes::new(&manager).on_routes());
    /// let app = with_connections(app).with_connect_info();
    /// axum::serve(Listener::new(listener), app).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn with_connect_info(self) -> Self {
        let with_address = true;
        Self {
            with_address,
            ..self
        }
    }
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
        let connection = ConnInfo::connect_info(stream);
        let address = match connection.peer() {
            Endpoint::Socket(address) if self.with_address => Some(address),
            _ => None,
        };
        ready(Ok(ConnectedApp {
            app: self.app.clone(),
            shared: Arc::new(Shared {
                connection,
                address,
            }),
        }))
    }
}

/// An app that serves one connection, and tells its requests which.
#[derive(Clone)]
pub struct ConnectedApp<A> {
    app: A,
    // Behind a pointer: the server clones the service for each request.
    shared: Arc<Shared>,
}

/// The requests of a connection share it.
#[derive(Debug)]
struct Shared {
    connection: ConnInfo,
    /// Added to each request.
    address: Option<SocketAddr>,
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
        if let Some(address) = self.shared.address {
            extensions.insert(ConnectInfo(address));
        }
        extensions.insert(Carried(self.shared.connection.clone()));
        self.app.call(request)
    }
}

impl<A: fmt::Debug> fmt::Debug for ConnectedApp<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectedApp")
            .field("app", &self.app)
            .field("connection", &self.shared.connection)
            .finish()
    }
}
