//! A guarded stream of an HTTP server: it knows its requests, and may limit the time without any.

use std::io::{self, IoSlice};
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rcmgr_tokio::GuardedStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::conn_info::ConnInfo;
use crate::requests::Requests;

/// A connection of an HTTP server: a [`GuardedStream`] whose requests are known.
///
/// The listeners of this crate for axum and tonic make it. With plain hyper, give its
/// [`conn_info`](Self::conn_info) to the [layer of the connection](crate::RequestScopes::connection), or
/// put it into the extensions of each request.
#[derive(Debug)]
pub struct Io<S> {
    stream: GuardedStream<S>,
    idle: Option<Box<Idle>>,
}

/// The limit of the time without a request in progress.
#[derive(Debug)]
struct Idle {
    limit: Duration,
    requests: Arc<Requests>,
    /// From the first read that has to wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<S> Io<S> {
    /// A connection of an HTTP server.
    pub fn new(stream: GuardedStream<S>) -> Self {
        Self { stream, idle: None }
    }

    /// Closes the connection when it has been without a request for this long: from now, or from the
    /// end of its last request. By default there is no such limit.
    ///
    /// It closes clients that send the head of a request slowly, or nothing, and clients that keep
    /// a connection open between requests. hyper gets an error of the kind
    /// [`TimedOut`](io::ErrorKind::TimedOut), and drops the connection.
    ///
    /// A request is in progress from its arrival at [`RequestScopes`](crate::RequestScopes) until its
    /// span ends. Requests to routes outside of the layer are not seen: there, only what the server
    /// writes counts, which puts the end off as well. So does the answer to a ping of HTTP/2: a client
    /// that sends pings keeps its connection. After an upgrade of HTTP/1 to another protocol there is
    /// no limit. A stream of HTTP/2 that `CONNECT` turns over is a request in progress while its handler
    /// keeps a clone of its [`RequestSpan`](crate::RequestSpan).
    #[must_use]
    pub fn request_within(mut self, limit: Duration) -> Self {
        self.idle = Some(Box::new(Idle {
            limit,
            requests: Requests::new(),
            timer: None,
        }));
        self
    }

    /// A connection that a listener has accepted.
    #[cfg(any(feature = "axum", feature = "tonic"))]
    pub(crate) fn accepted(stream: GuardedStream<S>, request_within: Option<Duration>) -> Self {
        let io = Self::new(stream);
        match request_within {
            None => io,
            Some(limit) => io.request_within(limit),
        }
    }

    /// What the requests of this connection need to know of it.
    pub fn conn_info(&self) -> ConnInfo {
        let requests = self.idle.as_ref().map(|idle| idle.requests.clone());
        ConnInfo::of(&self.stream).with_requests(requests)
    }
}

impl Idle {
    /// Ready when the connection has been without a request for too long.
    fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(at) = self.requests.idle_at(self.limit) {
            let Some(timer) = &mut self.timer else {
                self.timer = Some(Box::pin(sleep_until(at)));
                continue;
            };
            ready!(timer.as_mut().poll(cx));
            if at <= Instant::now() {
                return Poll::Ready(());
            }
            // Something has happened since the timer was set.
            timer.as_mut().reset(at);
        }
        // It never is.
        Poll::Pending
    }

    fn error(&self) -> io::Error {
        let text = format!("the connection had no request for {:?}", self.limit);
        io::Error::new(io::ErrorKind::TimedOut, text)
    }
}

impl<S> Deref for Io<S> {
    type Target = GuardedStream<S>;

    fn deref(&self) -> &GuardedStream<S> {
        &self.stream
    }
}

impl<S> AsRef<GuardedStream<S>> for Io<S> {
    fn as_ref(&self) -> &GuardedStream<S> {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let stream = Pin::new(&mut this.stream);
        let Some(idle) = &mut this.idle else {
            return stream.poll_read(cx, buf);
        };
        match stream.poll_read(cx, buf) {
            // Bytes that arrive are no request yet, so they move no deadline.
            Poll::Pending => idle.poll_over(cx).map(|()| Err(idle.error())),
            read => read,
        }
    }
}

impl<S> Io<S> {
    /// Passes the result of a write on. What is written is for a request, whose span may have ended
    /// while its response is on the way to a slow client.
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let (Some(idle), Poll::Ready(Ok(1..))) = (&self.idle, &written) {
            idle.requests.note_activity();
        }
        written
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
