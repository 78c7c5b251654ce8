//! The request layer around a whole app of axum: a service for each connection, which knows its
//! scope.

use std::any::Any;
use std::convert::Infallible;
use std::fmt;
use std::future::{Ready, ready};
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::response::Response;
use axum::serve::IncomingStream;
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use pin_project_lite::pin_project;
use rcmgr_core::Endpoint;
use tower_service::Service;

use crate::service::{Config, Handling, ResponseFuture};
use crate::{ConnInfo, RequestBody, RequestScopes, RequestSpan, ResponseBody};

impl RequestScopes {
    /// Applies the layer to a whole app, for [`axum::serve()`] with a
    /// [`Listener`](crate::axum::Listener). It costs about half of the layer of a router: it
    /// knows the connection, so it neither adds it to the requests nor looks for it there.
    ///
    /// In the handlers, `ConnectInfo` is missing. Where they need the address of the client, use
    /// [`into_make_service_with_connect_info`](Self::into_make_service_with_connect_info); for the
    /// scope of the connection, or a layer on some of the routes,
    /// [`Router::layer`](axum::Router::layer).
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
        MakeService::new(self, app, false)
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
        MakeService::new(self, app, true)
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

impl<A: 'static> MakeService<A> {
    fn new(layer: RequestScopes, mut app: A, with_address: bool) -> Self {
        // A router makes services of its handlers for each request, until it is given its state: as
        // in `Router::into_make_service`.
        if let Some(router) = (&mut app as &mut dyn Any).downcast_mut::<Router>() {
            *router = mem::take(router).with_state(());
        }
        Self {
            layer,
            app,
            with_address,
        }
    }
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
        let served = Served {
            config: self.layer.config(),
            connection,
            address,
        };
        ready(Ok(AppService {
            app: self.app.clone(),
            served: Arc::new(served),
        }))
    }
}

/// An app that serves one connection.
#[derive(Clone)]
pub struct AppService<A> {
    app: A,
    // Behind one pointer: the server clones the service for each request.
    served: Arc<Served>,
}

/// What the requests of a connection share.
struct Served {
    config: Arc<Config>,
    connection: ConnInfo,
    /// Added to each request.
    address: Option<SocketAddr>,
}

impl<A> Service<Request> for AppService<A>
where
    A: Service<Request, Response = Response>,
{
    type Response = Response;
    type Error = A::Error;
    type Future = AppFuture<A::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), A::Error>> {
        self.app.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let Served {
            config,
            connection,
            address,
        } = &*self.served;
        let priority = config.priority.of(&mut request);
        let span = match config.admit(Some(connection), &mut request, priority) {
            Ok(span) => span,
            Err(refusal) => return config.refuse(&refusal, request).into(),
        };
        if let Some(address) = *address {
            request.extensions_mut().insert(ConnectInfo(address));
        }
        let mut handling = Handling::of(&request, span);
        // A request without a body goes on as it is.
        if !request.body().is_end_stream() {
            let meter = match config.meter(&handling.span, &request, priority) {
                Ok(meter) => meter,
                Err(refusal) => return config.refuse(&refusal, request).into(),
            };
            handling.config = Some(config.clone());
            let body = mem::take(request.body_mut());
            let body = RequestBody::new(body, meter, config.body_error);
            *request.body_mut() = Body::new(body);
        }
        handling.by(self.app.call(request)).into()
    }
}

impl<A: fmt::Debug> fmt::Debug for AppService<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppService")
            .field("app", &self.app)
            .field("connection", &self.served.connection)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`AppService`].
    #[derive(Debug)]
    pub struct AppFuture<F> {
        #[pin]
        future: ResponseFuture<F>,
    }
}

impl<F> From<ResponseFuture<F>> for AppFuture<F> {
    fn from(future: ResponseFuture<F>) -> Self {
        Self { future }
    }
}

impl<F, E> Future for AppFuture<F>
where
    F: Future<Output = Result<Response, E>>,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (future, handling) = match self.project().future.handler() {
            Ok(handler) => handler,
            Err(answer) => return Poll::Ready(Ok(answer.map(Body::from))),
        };
        let mut polled = future.poll(cx);
        // The response is changed in its place: it is large to move.
        if let Poll::Ready(handled) = &mut polled {
            let handling = handling.take().expect("it is not polled after its end");
            let status = handled.as_ref().ok().map(Response::status);
            if let Some(answer) = handling.end(status) {
                *handled = Ok(answer.map(Body::from));
            } else if let Ok(response) = handled {
                hold(response.body_mut(), handling.span);
            }
        }
        polled
    }
}

/// Puts the span into the body of a response. A response without a body ends with its head.
#[inline]
fn hold(body: &mut Body, span: RequestSpan) {
    if !body.is_end_stream() {
        let held = ResponseBody::holding(mem::take(body), span);
        // It has the errors of axum already. Boxed here, it is not wrapped to convert them.
        *body = Body::new(UnsyncBoxBody::new(held));
    }
}
