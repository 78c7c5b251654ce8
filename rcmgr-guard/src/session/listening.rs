//! Listening sockets, and the sockets that they accept.

use std::io;
use std::net::SocketAddr;
#[cfg(unix)]
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rcmgr_core::Endpoint;
use rcmgr_tokio::Accept;
use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// How many connections the kernel keeps for a listener until they are accepted, if it allows as many.
const BACKLOG: i32 = 4096;

/// Opens a listening socket. With `share`, each worker opens one on the same address, and the kernel
/// spreads the connections among them.
pub(crate) fn listen(on: SocketAddr, share: bool) -> io::Result<std::net::TcpListener> {
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

/// A listening socket in the runtime.
///
/// On Unix, a type of tokio that waits for any socket to be readable holds it. A `TcpListener` of tokio
/// would register each socket that it accepts, before it is known whether the client is admitted.
#[cfg(unix)]
type Source = TcpStream;
#[cfg(not(unix))]
type Source = tokio::net::TcpListener;

/// A listening socket that can be closed while sessions still use the listener to refuse clients.
#[derive(Debug)]
pub(crate) struct Listening(Mutex<Option<Source>>);

impl Listening {
    pub(crate) fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        #[cfg(unix)]
        let socket = std::net::TcpStream::from(OwnedFd::from(socket));
        let source = Source::from_std(socket)?;
        Ok(Self(Mutex::new(Some(source))))
    }

    /// Closes the socket. From then on there is nothing to accept.
    pub(crate) fn close(&self) {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(source);
    }
}

impl Accept for Listening {
    type Io = Accepted;

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Accepted, Endpoint)>> {
        let source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = &*source else {
            return Poll::Pending;
        };
        let accepted = poll_accept(source, cx);
        accepted.map_ok(|(socket, address)| (socket, address.into()))
    }

    fn reset_on_close(&self, io: &Accepted) -> io::Result<()> {
        let linger = Some(Duration::ZERO);
        match io {
            Accepted::Bare(socket) => SockRef::from(socket).set_linger(linger),
            Accepted::Registered(socket) => SockRef::from(socket).set_linger(linger),
            Accepted::Broken => Ok(()),
        }
    }
}

#[cfg(unix)]
fn poll_accept(source: &Source, cx: &mut Context<'_>) -> Poll<io::Result<(Accepted, SocketAddr)>> {
    loop {
        ready!(source.poll_read_ready(cx))?;
        match source.try_io(Interest::READABLE, || accept(source)) {
            Ok((socket, address)) => return Poll::Ready(Ok((Accepted::Bare(socket), address))),
            // Then the socket is not readable any more, and the next round waits.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Poll::Ready(Err(error)),
        }
    }
}

/// Accepts a socket that does not block, with one system call.
#[cfg(target_os = "linux")]
fn accept(source: &Source) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    use rustix::net::{SocketFlags, acceptfrom_with};
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let (socket, address) = acceptfrom_with(source, flags)?;
    let address = address.ok_or(io::ErrorKind::InvalidData)?;
    Ok((socket.into(), address.try_into()?))
}

#[cfg(all(unix, not(target_os = "linux")))]
fn accept(source: &Source) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    let (socket, address) = SockRef::from(source).accept()?;
    socket.set_nonblocking(true)?;
    let address = address.as_socket().ok_or(io::ErrorKind::InvalidData)?;
    Ok((socket.into(), address))
}

#[cfg(not(unix))]
fn poll_accept(source: &Source, cx: &mut Context<'_>) -> Poll<io::Result<(Accepted, SocketAddr)>> {
    let accepted = source.poll_accept(cx);
    accepted.map_ok(|(socket, address)| (Accepted::Registered(socket), address))
}

/// A socket that was accepted. It is registered in the runtime when it is needed, which saves two
/// system calls for a client that is refused without a reply.
#[derive(Debug)]
pub(crate) enum Accepted {
    /// It does not block.
    Bare(std::net::TcpStream),
    Registered(TcpStream),
    /// The runtime did not take it.
    Broken,
}

impl Accepted {
    /// The socket, registered in the runtime.
    pub(super) fn register(self) -> io::Result<TcpStream> {
        match self {
            Self::Bare(socket) => TcpStream::from_std(socket),
            Self::Registered(socket) => Ok(socket),
            Self::Broken => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn registered(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if let Self::Bare(_) = self {
            *self = Self::Registered(std::mem::replace(self, Self::Broken).register()?);
        }
        match self {
            Self::Registered(socket) => Ok(Pin::new(socket)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for Accepted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.registered()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.registered()?.poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.registered()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpStream};

    use super::*;

    #[tokio::test]
    async fn a_socket_that_is_accepted_does_not_block() {
        let socket = listen((Ipv4Addr::LOCALHOST, 0).into(), false).unwrap();
        let client = TcpStream::connect(socket.local_addr().unwrap()).unwrap();
        let listening = Listening::new(socket).unwrap();
        let accepted = std::future::poll_fn(|cx| listening.poll_accept(cx)).await;
        let (accepted, address) = accepted.unwrap();
        assert_eq!(address, client.local_addr().unwrap().into());
        // Nothing has arrived.
        let read = accepted.register().unwrap().try_read(&mut [0]);
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
