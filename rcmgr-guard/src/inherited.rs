//! Listening sockets that the service manager has opened: socket activation as systemd does it,
//! with the variables `LISTEN_FDS` and `LISTEN_PID`.
//!
//! A socket belongs to the listener with its address. So a file needs no other syntax, and works
//! the same with and without a service manager.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;

/// The sockets that this process has inherited.
///
/// The proxy can then listen on a port below 1024 without a privilege, and a restart refuses no
/// client: the service manager keeps the sockets open.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(SocketAddr, TcpListener)>,
}

impl Inherited {
    /// The sockets that the environment of this process names; none, if it was started otherwise.
    ///
    /// Call it once: the sockets belong to the returned value, and are closed with it.
    ///
    /// # Errors
    ///
    /// If one of them is not a listening TCP socket.
    pub fn from_environment() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::with_capacity(passed.len());
        for at in 0..passed.len() {
            let socket = passed.take_tcp_listener(at).map_err(|error| {
                let number = at + 1;
                let reason = format!("socket {number} of the service manager: {error}");
                io::Error::new(error.kind(), reason)
            })?;
            if let Some(socket) = socket {
                sockets.push((socket.local_addr()?, socket));
            }
        }
        Ok(Self { sockets })
    }

    /// A handle of the socket that listens on this address, if there is one. All handles share the
    /// queue of new connections, so that each worker may have one.
    ///
    /// # Errors
    ///
    /// If there is no file descriptor for the handle.
    pub fn on(&self, on: SocketAddr) -> io::Result<Option<TcpListener>> {
        let is_on = |address: SocketAddr| {
            address.port() == on.port() && address.ip().to_canonical() == on.ip().to_canonical()
        };
        let found = self.sockets.iter().find(|(address, _)| is_on(*address));
        found.map(|(_, socket)| socket.try_clone()).transpose()
    }

    /// The addresses of the sockets.
    pub fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        self.sockets.iter().map(|(address, _)| *address)
    }
}
