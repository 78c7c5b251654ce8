//! Guarded connections for tonic, with the feature `tonic`.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use rcmgr_tokio::{Accept, Guarded, GuardedStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_stream::Stream;
use tonic::Status;
use tonic::server::NamedService;
use tonic::transport::server::Connected;

use crate::grpc::answer_grpc;
use crate::refusal::Refusal;
use crate::retry_after::RetryAfter;
use crate::{ConnInfo, RequestScopesService};

pin_project! {
    /// A guarded connection of tonic. Each of its requests has the [`ConnInfo`] in the extensions.
    #[derive(Debug)]
    pub struct Io<S> {
        #[pin]
        stream: GuardedStream<S>,
    }
}

impl<S> Io<S> {
    /// A connection for `serve_with_incoming`.
    pub fn new(stream: GuardedStream<S>) -> Self {
        Self { stream }
    }
}

impl<S> AsRef<GuardedStream<S>> for Io<S> {
    fn as_ref(&self) -> &GuardedStream<S> {
        &self.stream
    }
}

impl<S> Connected for Io<S> {
    type ConnectInfo = ConnInfo;

    fn connect_info(&self) -> ConnInfo {
        ConnInfo::of(&self.stream)
    }
}

impl<S> AsyncRead for Io<S>
where
    GuardedStream<S>: AsyncRead,
{
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().stream.poll_read(cx, buf)
    }
}

impl<S> AsyncWrite for Io<S>
where
    GuardedStream<S>: AsyncWrite,
{
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().stream.poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().stream.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
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
    Incoming { guarded }
}

/// The stream of [`incoming`].
#[derive(Debug)]
pub struct Incoming<L: Accept> {
    guarded: Guarded<L>,
}

// It is never pinned by itself: the listener is polled by reference.
impl<L: Accept> Unpin for Incoming<L> {}

impl<L: Accept> Stream for Incoming<L> {
    type Item = Result<Io<L::Io>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let accepted = self.guarded.poll_accept(cx);
        accepted.map(|stream| Some(Ok(Io::new(stream))))
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
        Self::from_header_map(answer.headers()).expect("the answer has a status")
    }
}
