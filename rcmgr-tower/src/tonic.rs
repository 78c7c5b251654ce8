//! Guarded connections for tonic, with the feature `tonic`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_tokio::{Accept, Guarded};
use tokio_stream::Stream;
use tonic::Status;
use tonic::server::NamedService;
use tonic::transport::server::Connected;

use crate::grpc::answer_grpc;
use crate::refusal::Refusal;
use crate::retry_after::RetryAfter;
use crate::{ConnInfo, Io, RequestScopesService};

impl<S> Connected for Io<S> {
    type ConnectInfo = ConnInfo;

    fn connect_info(&self) -> ConnInfo {
        Self::conn_info(self)
    }
}

/// The connections of a guarded listener, for `serve_with_incoming`. It has no end and no errors.
///
/// ```no_run
/// # use std::convert::Infallible;
/// # use rcmgr_atomic::Manager;
/// use rcmgr_tokio::Guarded;
/// use rcmgr_tower::RequestScopes;
/// use tokio::net::TcpListener;
/// use tonic::transport::Server;
/// # use tonic::body::Body;
/// # use tonic::codegen::{Service, http::{Request, Response}};
/// # use tonic::server::NamedService;
///
/// # async fn serve<S>(manager: Manager, service: S) -> Result<(), Box<dyn std::error::Error>>
/// # where
/// #     S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + NamedService,
/// #     S: Clone + Send + Sync + 'static,
/// #     S::Future: Send + 'static,
/// # {
/// let listener = TcpListener::bind("127.0.0.1:50051").await?;
/// let listener = Guarded::new(listener, manager.clone()).service("grpc");
/// Server::builder()
///     .layer(RequestScopes::grpc(&manager))
///     .add_service(service)
///     .serve_with_incoming(rcmgr_tower::tonic::incoming(listener))
///     .await?;
/// # Ok(())
/// # }
/// ```
pub fn incoming<L: Accept>(guarded: Guarded<L>) -> Incoming<L> {
    Incoming {
        guarded,
        request_within: None,
    }
}

/// The stream of [`incoming`].
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<L> {
    guarded: Guarded<L>,
    request_within: Option<Duration>,
}

impl<L> Incoming<L> {
    /// Closes a connection that has been without a call for this long: see [`Io::request_within`].
    pub fn request_within(mut self, limit: Duration) -> Self {
        self.request_within = Some(limit);
        self
    }
}

// No field is pinned.
impl<L> Unpin for Incoming<L> {}

impl<L: Accept> Stream for Incoming<L> {
    type Item = Result<Io<L::Io>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let limit = self.request_within;
        let accepted = self.guarded.poll_accept(cx);
        accepted.map(|stream| Some(Ok(Io::accepted(stream, limit))))
    }
}

/// The service of the layer has the name of the service inside, so it can be added to a router.
impl<S: NamedService> NamedService for RequestScopesService<S> {
    const NAME: &'static str = S::NAME;
}

/// The status that the layer gives, so that a handler can pass a refusal on.
///
/// ```
/// use rcmgr_core::{MIB, Priority};
/// use rcmgr_tower::{Refusal, RequestSpan};
/// use tonic::{Request, Response, Status};
///
/// async fn resize(request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, Status> {
///     let span = request.extensions().get::<RequestSpan>().cloned();
///     let span = span.ok_or_else(|| Status::internal("the server has no layer"))?;
///     let room = span.reserve(16 * MIB, Priority::Low).map_err(Refusal::from)?;
///     // .. the work ..
///     drop(room);
///     Ok(Response::new(request.into_inner()))
/// }
/// # let _ = resize;
/// ```
impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let answer = answer_grpc(&refusal, &RetryAfter::default());
        let mut status = Self::from_header_map(answer.headers()).expect("the answer has a status");
        status.set_source(Arc::new(refusal));
        status
    }
}
