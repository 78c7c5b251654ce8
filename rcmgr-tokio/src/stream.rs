//! A stream that holds the scope of its connection.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_core::{Endpoint, Priority};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::buffer::Buffer;
use crate::conn_scope::ConnScope;
use crate::descriptors::WakeAcceptors;
use crate::first_byte::{FirstByte, Side};
use crate::graceful::{Graceful, Membership};

/// A socket, or another stream, with the scope of its connection.
///
/// The scope is part of the stream, so it follows the socket through layers: TLS over the stream, an
/// HTTP upgrade, a split. The connection stays counted until the last part of the socket is dropped.
///
/// When it is dropped, it closes the socket first and gives the scope back afterwards, so that the
/// counts of the manager are never lower than the number of open sockets. A panic, a cancelled task
/// and the end of the runtime drop it too. A stream that is leaked, for instance with
/// [`std::mem::forget`], leaves its socket open and keeps its scope: both are lost until the process
/// ends.
///
/// A vectored write of several pieces that have at most 2 KiB together is passed on as one piece,
/// for which the kernel needs less time.
///
/// ```
/// use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};
/// use rcmgr_tokio::{ConnScope, GuardedStream};
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let scope = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None)?;
/// let (client, server) = tokio::io::duplex(64);
/// let stream = GuardedStream::new(server, ConnScope::new(scope), Endpoint::None);
///
/// let (reader, writer) = stream.into_split();
/// drop(reader);
/// assert_eq!(manager.stat().system.conns_inbound, 1);
/// drop(writer);
/// assert_eq!(manager.stat().system.conns_inbound, 0);
/// # drop(client);
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Debug)]
pub struct GuardedStream<S> {
    // The order of these three matters: fields are dropped from the first to the last.
    io: S,
    _wake: WakeAcceptors,
    scope: ConnScope,
    peer: Endpoint,
    /// Until the first byte is read, if there is a deadline.
    first_byte: Option<Box<FirstByte>>,
    // The last: when a graceful end no longer counts the connection, its scope is given back.
    membership: Option<Box<Membership>>,
}

impl<S> GuardedStream<S> {
    /// A stream on a socket whose connection has this scope and this remote endpoint.
    pub fn new(io: S, scope: ConnScope, peer: Endpoint) -> Self {
        Self {
            io,
            _wake: WakeAcceptors,
            scope,
            peer,
            first_byte: None,
            membership: None,
        }
    }

    /// Sets a deadline for the first byte of the client, `limit` from now. By default there is none.
    ///
    /// After the deadline, a read that finds nothing fails with
    /// [`TimedOut`](io::ErrorKind::TimedOut), and so does each operation after it. A server that
    /// drops the stream at an error thus closes the socket of a client that never speaks. hyper does
    /// that; its `auto` protocol detection has no timeout of its own.
    ///
    /// If the server speaks first, the deadline still counts from now. A write that has to wait fails
    /// in the same way after the deadline, so a client that neither sends nor reads is closed too. A
    /// write that need not wait never fails: a server that only writes serves a silent client for as
    /// long as the client reads, and the deadline makes no sense for such a protocol.
    ///
    /// The first byte, or the end of the input, ends this. Nothing is kept after that. Until then it
    /// takes about 200 bytes, and a timer of tokio only while an operation waits. The clock is the
    /// monotonic one: the clock on the wall may jump.
    ///
    /// # Panics
    ///
    /// Reads and writes that have to wait panic in a runtime without time, as
    /// [`tokio::time::sleep`] does.
    #[must_use]
    pub fn first_byte_within(mut self, limit: Duration) -> Self {
        self.first_byte = FirstByte::within(limit);
        self
    }

    /// Makes the connection a part of a graceful end: it is counted until its socket is closed, and
    /// cut at the deadline. Then each operation fails with
    /// [`ConnectionAborted`](io::ErrorKind::ConnectionAborted). It takes about 300 bytes.
    #[must_use]
    pub fn ended_by(mut self, graceful: &Graceful) -> Self {
        self.membership = Some(Box::new(Membership::new(graceful, self.peer)));
        self
    }

    /// The scope of the connection.
    pub const fn scope(&self) -> &ConnScope {
        &self.scope
    }

    /// The remote endpoint.
    pub const fn peer(&self) -> Endpoint {
        self.peer
    }

    /// The socket. [`readable`](tokio::net::TcpStream::readable) and options of the socket need no
    /// more than that.
    pub const fn get_ref(&self) -> &S {
        &self.io
    }

    /// An empty read buffer whose memory is reserved in the scope of the connection. The buffer
    /// holds the scope too: drop both, and the connection is no longer counted.
    pub fn buffer(&self, priority: Priority) -> Buffer {
        Buffer::new(self.scope.clone(), priority)
    }

    /// Runs an operation on the socket, under the deadlines of the stream if there are any.
    #[inline]
    fn poll_io<T>(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        operation: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        // The common case: no deadline.
        if self.first_byte.is_none() && self.membership.is_none() {
            return operation(Pin::new(&mut self.io), cx);
        }
        self.poll_within_deadlines(cx, side, operation)
    }

    #[inline(never)]
    fn poll_within_deadlines<T>(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        operation: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>>
    where
        S: Unpin,
    {
        let (io, peer) = (Pin::new(&mut self.io), self.peer);
        let first_byte = self.first_byte.as_mut();
        let operation = |cx: &mut Context<'_>| match first_byte {
            None => operation(io, cx),
            Some(first_byte) => first_byte.check(cx, side, peer, |cx| operation(io, cx)),
        };
        match &mut self.membership {
            None => operation(cx),
            Some(membership) => membership.check(cx, side, operation),
        }
    }
}

impl<S: AsyncRead + Unpin> GuardedStream<S> {
    /// A read while the first byte is awaited.
    #[inline(never)]
    fn poll_first_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A read into no space says nothing about the client.
        let has_space = buf.remaining() > 0;
        let read = self.poll_io(cx, Side::Read, |io, cx| io.poll_read(cx, buf));
        if has_space && matches!(read, Poll::Ready(Ok(()))) {
            self.first_byte = None;
        }
        read
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
        if self.first_byte.is_none() {
            return self.poll_io(cx, Side::Read, |io, cx| io.poll_read(cx, buf));
        }
        self.poll_first_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GuardedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Side::Write, |io, cx| io.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_io(cx, Side::Write, |io, cx| io.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Also after a deadline, because the end may still reach the client. But it does not wait.
        match Pin::new(&mut self.io).poll_shutdown(cx) {
            Poll::Pending => self.poll_io(cx, Side::Write, |_, _| Poll::Pending),
            shutdown => shutdown,
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_io(cx, Side::Write, |io, cx| {
            // Not zeroed, which would take as long as the copy.
            let mut space = [MaybeUninit::uninit(); JOINED];
            let mut joined = ReadBuf::uninit(&mut space);
            match join(bufs, &mut joined) {
                true => io.poll_write(cx, joined.filled()),
                false => io.poll_write_vectored(cx, bufs),
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// How many bytes are joined at most: enough for the head and the body of a short answer.
const JOINED: usize = 2048;

/// Joins several short pieces. The kernel needs less time to write one piece, by more than the copy
/// takes. Returns false if they are not several, or too long together.
fn join(pieces: &[IoSlice<'_>], joined: &mut ReadBuf<'_>) -> bool {
    if pieces.len() < 2 {
        return false;
    }
    for piece in pieces {
        if piece.len() > joined.remaining() {
            return false;
        }
        joined.put_slice(piece);
    }
    true
}
