//! The service inside of the request layer in axum: requests and responses keep axum's bodies, so they
//! are neither wrapped nor moved more than needed.

use std::fmt;
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::Request;
use axum::extract::connect_info::ConnectInfo;
use axum::response::Response;
use http_body::Body as _;
use http_body_util::combinators::UnsyncBoxBody;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::service::{Config, Handling, ResponseFuture};
use crate::{ConnInfo, RequestBody, RequestSpan, ResponseBody};

/// A service inside of the layer: an app that serves one connection, or a route.
#[derive(Clone)]
pub struct AppService<A> {
    app: A,
    // Behind one pointer: the service is cloned for each request.
    shared: Arc<Shared>,
}

/// What requests share.
pub(super) struct Shared {
    pub(super) config: Arc<Config>,
    /// The connection of all requests, if the service serves only one.
    pub(super) connection: Option<ConnInfo>,
    /// Added to each request.
    pub(super) address: Option<SocketAddr>,
}

impl<A> AppService<A> {
    pub(super) const fn new(app: A, shared: Arc<Shared>) -> Self {
        Self { app, shared }
    }
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
        let Shared {
            config,
            connection,
            address,
        } = &*self.shared;
        let priority = config.priority.of(&mut request);
        let span = match config.admit(connection.as_ref(), &mut request, priority) {
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
            .field("connection", &self.shared.connection)
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
