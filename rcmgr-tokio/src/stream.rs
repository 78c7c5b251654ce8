//! A stream that holds the scope of its connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rcmgr_core::{Endpoint, Priority};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buffer;
use crate::conn_scope::ConnScope;
use crate::descriptors::WakeAcceptors;

/// A socket, or another stream, with the scope of its connection. When it is dropped, it closes the
/// socket first and gives the scope back afterwards, so that the counts of the manager are never
/// lower than the number of open sockets.
#[derive(Debug)]
pub struct GuardedStream<S> {
    // The order of these three matters: fields are dropped from the first to the last.
    io: S,
    _wake: WakeAcceptors,
    scope: ConnScope,
    peer: Endpoint,
}

impl<S> GuardedStream<S> {
    /// A stream on a socket whose connection has this scope and this remote endpoint.
    pub fn new(io: S, scope: ConnScope, peer: Endpoint) -> Self {
        Self {
            io,
            _wake: WakeAcceptors,
            scope,
            peer,
        }
    }

    /// The scope of the connection.
    pub fn scope(&self) -> &ConnScope {
        &self.scope
    }

    /// The remote endpoint.
    pub fn peer(&self) -> Endpoint {
        self.peer
    }

    /// An empty read buffer whose memory is reserved in the scope of the connection.
    pub fn buffer(&self, priority: Priority) -> Buffer {
        Buffer::new(self.scope.clone(), priority)
    }
}

impl<S> AsRef<S> for GuardedStream<S> {
    fn as_ref(&self) -> &S {
        &self.io
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
