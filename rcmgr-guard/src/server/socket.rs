//! The listening sockets of the workers.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use rcmgr_core::Endpoint;
use rcmgr_tokio::Accept;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// How many connections the kernel keeps for a listener until they are accepted, if it allows as many.
pub(super) const BACKLOG: i32 = 4096;

/// Opens a listening socket. With `share`, each worker opens one on the same address, and the kernel
/// spreads the connections among them.
pub(super) fn listen(on: SocketAddr, share: bool) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(on), Type::STREAM, None)?;
    #[cfg(unix)]
    {
        // A restart need not wait for the connections of the process before.
        socket.set_reuse_address(true)?;
        if share {
            socket.set_reuse_port(true)?;
        }
    }
    #[cfg(not(unix))]
    if share {
        return Err(io::ErrorKind::Unsupported.into());
    }
    socket.bind(&on.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// A listening socket that can be closed while sessions still use the listener to refuse clients.
#[derive(Debug)]
pub(super) struct Listening(Mutex<Option<TcpListener>>);

impl Listening {
    pub(super) fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        TcpListener::from_std(socket).map(|socket| Self(Mutex::new(Some(socket))))
    }

    /// Closes the socket. From then on there is nothing to accept.
    pub(super) fn close(&self) {
        let socket = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(socket);
    }
}

impl Accept for Listening {
    type Io = TcpStream;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Endpoint)>> {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(socket) => Accept::poll_accept(socket, cx),
            None => Poll::Pending,
        }
    }

    fn reset_on_close(&self, io: &TcpStream) -> io::Result<()> {
        io.set_zero_linger()
    }
}
