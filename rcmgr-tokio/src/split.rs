//! The two halves of a stream.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use rcmgr_core::{Endpoint, Priority};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buffer;
use crate::conn_scope::ConnScope;
use crate::stream::GuardedStream;

/// The stream, which both halves hold.
#[derive(Debug)]
struct Whole<S> {
    // Dropped before the stream, which gives the scope back last.
    scope: ConnScope,
    // Locked only while it is polled, which never blocks.
    stream: Mutex<GuardedStream<S>>,
    peer: Endpoint,
    is_write_vectored: bool,
}

impl<S> Whole<S> {
    fn lock(&self) -> MutexGuard<'_, GuardedStream<S>> {
        // A panic of the socket leaves no broken invariant of ours behind.
        self.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> GuardedStream<S> {
    /// Splits the stream into a half to read from and a half to write to, which two tasks can own.
    /// The socket is closed, and the scope given back, with the last half.
    pub fn into_split(self) -> (GuardedReadHalf<S>, GuardedWriteHalf<S>) {
        let whole = Arc::new(Whole {
            scope: self.scope().clone(),
            peer: self.peer(),
            is_write_vectored: self.is_write_vectored(),
            stream: Mutex::new(self),
        });
        let reader = GuardedReadHalf {
            whole: whole.clone(),
        };
        let writer = GuardedWriteHalf {
            whole,
            is_shut_down: false,
        };
        (reader, writer)
    }
}

/// The half of a [`GuardedStream`] to read from: see [`GuardedStream::into_split`].
#[derive(Debug)]
pub struct GuardedReadHalf<S> {
    whole: Arc<Whole<S>>,
}

/// The half of a [`GuardedStream`] to write to: see [`GuardedStream::into_split`].
///
/// When it is dropped, it shuts the write side down, so the client sees the end of the data. The half
/// of a [`TcpStream`](tokio::net::TcpStream) does the same. The drop tries once and does not wait. A
/// stream that may have to wait, such as TLS on a full socket, needs
/// [`shutdown`](tokio::io::AsyncWriteExt::shutdown) first.
#[derive(Debug)]
pub struct GuardedWriteHalf<S>
where
    S: AsyncWrite + Unpin,
{
    whole: Arc<Whole<S>>,
    is_shut_down: bool,
}

impl<S> GuardedReadHalf<S> {
    /// The scope of the connection.
    pub fn scope(&self) -> &ConnScope {
        &self.whole.scope
    }

    /// The remote endpoint.
    pub fn peer(&self) -> Endpoint {
        self.whole.peer
    }

    /// An empty read buffer: see [`GuardedStream::buffer`].
    pub fn buffer(&self, priority: Priority) -> Buffer {
        Buffer::new(self.whole.scope.clone(), priority)
    }
}

impl<S: AsyncWrite + Unpin> GuardedWriteHalf<S> {
    /// The scope of the connection.
    pub fn scope(&self) -> &ConnScope {
        &self.whole.scope
    }

    /// The remote endpoint.
    pub fn peer(&self) -> Endpoint {
        self.whole.peer
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GuardedReadHalf<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.whole.lock()).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedWriteHalf<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.whole.lock()).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.whole.lock()).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shutdown = Pin::new(&mut *self.whole.lock()).poll_shutdown(cx);
        self.is_shut_down = matches!(shutdown, Poll::Ready(Ok(())));
        shutdown
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.whole.lock()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.whole.is_write_vectored
    }
}

impl<S> Drop for GuardedWriteHalf<S>
where
    S: AsyncWrite + Unpin,
{
    fn drop(&mut self) {
        if !self.is_shut_down {
            // The result is ignored: a client that went away is no error, and the half is gone.
            let mut cx = Context::from_waker(Waker::noop());
            let _ = Pin::new(&mut *self.whole.lock()).poll_shutdown(&mut cx);
        }
    }
}
