//! The trait of listeners that can be guarded.

mod errors;
mod from_future;

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use rcmgr_core::{Endpoint, UsesFd};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
#[cfg(unix)]
use tokio::net::{UnixListener, UnixStream};

pub(crate) use errors::{AcceptError, Shortage};
pub use from_future::AcceptFuture;

/// A source of connections that [`Guarded`](crate::Guarded) can guard. The listeners of tokio
/// implement it. Implement it for your own, or wrap an `async` function in
/// [`AcceptFuture`].
///
/// ```
/// use std::io;
/// use std::sync::Mutex;
/// use std::task::{Context, Poll, ready};
///
/// use rcmgr_core::{Endpoint, UsesFd};
/// use rcmgr_tokio::Accept;
/// use tokio::io::DuplexStream;
/// use tokio::sync::mpsc::Receiver;
///
/// /// Connections in memory, which arrive over a channel.
/// struct InMemory(Mutex<Receiver<DuplexStream>>);
///
/// impl Accept for InMemory {
///     type Io = DuplexStream;
///
///     fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(DuplexStream, Endpoint)>> {
///         let next = ready!(self.0.lock().unwrap().poll_recv(cx));
///         // After the last one none arrives. An error would be tried again and again.
///         next.map_or(Poll::Pending, |stream| Poll::Ready(Ok((stream, Endpoint::None))))
///     }
///
///     fn uses_fd(&self) -> UsesFd {
///         UsesFd::No
///     }
/// }
/// ```
pub trait Accept: Send + Sync {
    /// The socket of a connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Takes the next connection, with its remote endpoint.
    ///
    /// It reads nothing from the connection. Where there is none, it returns [`Poll::Pending`] and
    /// arranges that the waker is woken when there is one. Only the waker of the last call needs
    /// to be woken: [`Guarded`](crate::Guarded) passes the wake-up on to all its tasks.
    ///
    /// # Errors
    ///
    /// An error does not end the listener: [`Guarded`](crate::Guarded) calls again.
    ///
    /// - At once after an error of a single connection: `ECONNABORTED`, `EPROTO` and their like, or
    ///   an error without a code of the operating system whose kind is one of a connection or of
    ///   its data. No client can slow others down with such errors.
    /// - Out of file descriptors or memory (`EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`): when a socket of
    ///   this crate is closed, or after a pause of 5 to 100 ms.
    /// - After any other error: at once, with a pause of 5 ms after each 256 errors in a row.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Self::Io, Endpoint)>>;

    /// Whether each connection uses a file descriptor of its own. By default it does.
    fn uses_fd(&self) -> UsesFd {
        UsesFd::Yes
    }

    /// Turns the close of a socket, which follows, into a reset: bytes that were sent and have not
    /// arrived are lost, and the connection is gone at once on both sides. By default it does nothing, and the socket
    /// is closed as usual.
    ///
    /// # Errors
    ///
    /// Those of the operating system. The socket is then closed as usual.
    fn reset_on_close(&self, io: &Self::Io) -> io::Result<()> {
        let _ = io;
        Ok(())
    }

    /// The local endpoint that the listener is bound to. By default it is unknown.
    ///
    /// # Errors
    ///
    /// Those of the operating system.
    fn local_endpoint(&self) -> io::Result<Endpoint> {
        Ok(Endpoint::None)
    }
}

impl Accept for TcpListener {
    type Io = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Endpoint)>> {
        let accepted = TcpListener::poll_accept(self, cx);
        accepted.map_ok(|(stream, remote)| (stream, remote.into()))
    }

    fn reset_on_close(&self, io: &TcpStream) -> io::Result<()> {
        io.set_zero_linger()
    }

    fn local_endpoint(&self) -> io::Result<Endpoint> {
        self.local_addr().map(Endpoint::from)
    }
}

/// The remote end of a Unix socket has no address that tells clients apart.
#[cfg(unix)]
impl Accept for UnixListener {
    type Io = UnixStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(UnixStream, Endpoint)>> {
        let accepted = UnixListener::poll_accept(self, cx);
        accepted.map_ok(|(stream, _)| (stream, Endpoint::None))
    }
}

impl<L: Accept + ?Sized> Accept for Arc<L> {
    type Io = L::Io;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(L::Io, Endpoint)>> {
        (**self).poll_accept(cx)
    }

    fn uses_fd(&self) -> UsesFd {
        (**self).uses_fd()
    }

    fn reset_on_close(&self, io: &L::Io) -> io::Result<()> {
        (**self).reset_on_close(io)
    }

    fn local_endpoint(&self) -> io::Result<Endpoint> {
        (**self).local_endpoint()
    }
}
