//! The request layer around a whole app of axum: a service for each connection, which knows its
//! scope.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::connect_info::Connected;
use axum::serve::IncomingStream;
use rcmgr_core::Endpoint;
use tower_service::Service;

use super::app_service::{AppService, Shared};
use crate::{ConnInfo, RequestScopes};

impl RequestScopes {
    /// Applies the layer to a whole app, for [`axum::serve()`] with a
    /// [`Listener`](crate::axum::Listener). It takes about half the instructions of the layer on the
    /// routes: it knows the connection, so it neither adds it to the requests nor looks for it there.
    ///
    /// In the handlers, `ConnectInfo` is missing. Where they need the address of the client, use
    /// [`into_make_service_with_connect_info`](Self::into_make_service_with_connect_info). For a layer
    /// on some of the routes, use [`on_routes`](Self::on_routes).
    ///
    /// ```no_run
    /// use axum::Router;
    /// use axum::routing::get;
    /// use rcmgr_atomic::{Limits, Manager};
    /// use rcmgr_tokio::Guarded;
    /// use rcmgr_tower::RequestScopes;
    /// use rcmgr_tower::axum::Listener;
    /// use tokio::net::TcpListener;
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let listener = TcpListener::bind("127.0.0.1:8080").await?;
    /// let listener = Guarded::new(listener, manager.clone()).service("web");
    /// let app: Router = Router::new().route("/", get(|| async { "hello" }));
    /// let app = RequestScopes::new(&manager).into_make_service(app);
    /// axum::serve(Listener::new(listener), app).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_make_service<A: 'static>(self, app: A) -> MakeService<A> {
        MakeService {
            layer: self,
            app: with_services(app),
            with_address: false,
        }
    }

    /// The same, and adds the address of the client to each request: the extractor
    /// `ConnectInfo<SocketAddr>` works as it does with a plain listener. There is no
    /// `ConnectInfo<ConnInfo>`.
    ///
    /// ```no_run
    /// use std::net::SocketAddr;
    ///
    /// use axum::Router;
    /// use axum::extract::ConnectInfo;
    /// use axum::routing::get;
    /// use rcmgr_atomic::{Limits, Manager};
    /// use rcmgr_tokio::Guarded;
    /// use rcmgr_tower::RequestScopes;
    /// use rcmgr_tower::axum::Listener;
    /// use tokio::net::TcpListener;
    ///
    /// # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
    /// async fn greet(ConnectInfo(client): ConnectInfo<SocketAddr>) -> String {
    ///     format!("hello, {client}")
    /// }
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let listener = TcpListener::bind("127.0.0.1:8080").await?;
    /// let listener = Guarded::new(listener, manager.clone()).service("web");
    /// let app: Router = Router::new().route("/", get(greet));
    /// let app = RequestScopes::new(&manager).into_make_service_with_connect_info(app);
    /// axum::serve(Listener::new(listener), app).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn into_make_service_with_connect_info<A: 'static>(self, app: A) -> MakeService<A> {
        MakeService {
            layer: self,
            app: with_services(app),
            with_address: true,
        }
    }
}

/// Makes a service for each connection. Made by
/// [`RequestScopes::into_make_service`](crate::RequestScopes::into_make_service).
#[derive(Debug, Clone)]
pub struct MakeService<A> {
    layer: RequestScopes,
    app: A,
    /// Whether each request gets the address of its client.
    with_address: bool,
}

/// The app with services in place of handlers. Until a router is given its state, it makes services
/// of its handlers for each request. `Router::into_make_service` does this, too.
pub(super) fn with_services<A: 'static>(mut app: A) -> A {
    if let Some(router) = (&mut app as &mut dyn Any).downcast_mut::<Router>() {
        *router = mem::take(router).with_state(());
    }
    app
}

impl<'a, A, L> Service<IncomingStream<'a, L>> for MakeService<A>
where
    A: Clone,
    L: axum::serve::Listener,
    ConnInfo: Connected<IncomingStream<'a, L>>,
{
    type Response = AppService<A>;
    type Error = Infallible;
    type Future = Ready<Result<AppService<A>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, stream: IncomingStream<'a, L>) -> Self::Future {
        let connection = ConnInfo::connect_info(stream);
        let address = match connection.peer() {
            Endpoint::Socket(address) if self.with_address => Some(address),
            _ => None,
        };
        let shared = Shared {
            config: self.layer.config(),
            connection: Some(connection),
            address,
        };
        let service = AppService::new(self.app.clone(), Arc::new(shared));
        ready(Ok(service))
    }
}
