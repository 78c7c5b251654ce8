//! Outbound connections: the scope first, then the socket.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use rcmgr_atomic::Manager;
use rcmgr_core::{Direction, UsesFd};
use tokio::net::{TcpStream, ToSocketAddrs, lookup_host};

use crate::conn_scope::ConnScope;
use crate::stream::GuardedStream;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = io::Result<T>> + Send + 'a>>;

/// Connects to a TCP address, if the manager admits the connection. Await the result.
///
/// The address is a socket address, a host name with a port, or a list of socket addresses. If it
/// stands for several socket addresses, they are tried in their order. For each of them, the manager
/// opens an outbound connection with a file descriptor and this endpoint, and only then a socket is
/// made. A failure gives the scope back.
///
/// It is cancel-safe: if the future is dropped before it is ready, socket and scope are gone. The
/// operating system decides how long an attempt takes, so use [`tokio::time::timeout`].
///
/// ```
/// use rcmgr_atomic::{Error, Limit, Limits, Manager};
/// use rcmgr_tokio::ConnectExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let database = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
/// # let address = database.local_addr()?.to_string();
/// let mut limits = Limits::unlimited();
/// let one = Limit { conns_outbound: 1.into(), ..Limit::UNLIMITED };
/// limits.service.insert("db".into(), one);
/// let manager = Manager::new(limits)?;
///
/// let stream = manager.connect(&*address).service("db").await?; // "10.0.0.2:5432"
/// assert_eq!(manager.stat().services["db"].conns_outbound, 1);
///
/// let refused = manager.connect(&*address).service("db").await.unwrap_err();
/// let refused: Error = refused.downcast()?;
/// assert_eq!(
///     refused.to_string(),
///     "service:db refused 1 outbound connection: 1 of 1 in use",
/// );
/// # drop(stream);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
///
/// The error of the last address that was tried: a refusal, as an [`io::Error`] that
/// [downcasts](io::Error::downcast) to [`rcmgr_core::Error`], or an error of the socket, whose text
/// has the address. An error of the resolution of the name, or a name that has no address.
pub fn connect<'a, A>(manager: &Manager, address: A) -> Connect<'a>
where
    A: ToSocketAddrs + Send + 'a,
{
    Connect {
        manager: manager.clone(),
        addresses: Box::pin(async move { Ok(lookup_host(address).await?.collect()) }),
        service: None,
    }
}

/// A connection that can be awaited: see [`connect`].
#[must_use = "nothing is opened until it is awaited"]
pub struct Connect<'a> {
    manager: Manager,
    addresses: BoxFuture<'a, Vec<SocketAddr>>,
    service: Option<Arc<str>>,
}

impl Connect<'_> {
    /// Attaches the connection to a service. Without that, it stays in the transient scope until its
    /// peer or service is set.
    pub fn service(mut self, name: impl Into<Arc<str>>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// Tries each address.
    async fn run(self) -> io::Result<GuardedStream<TcpStream>> {
        let mut last = None;
        for address in self.addresses.await? {
            match open(&self.manager, self.service.as_deref(), address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = Some(error),
            }
        }
        Err(last.unwrap_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                "cannot connect: the name stands for no address",
            )
        }))
    }
}

/// Opens a scope, then a socket.
async fn open(
    manager: &Manager,
    service: Option<&str>,
    address: SocketAddr,
) -> io::Result<GuardedStream<TcpStream>> {
    let connection = manager.open_connection(Direction::Outbound, UsesFd::Yes, address)?;
    if let Some(service) = service {
        connection.set_service(service)?;
    }
    // The socket is dropped before the scope, wherever this ends.
    let scope = ConnScope::new(connection);
    let socket = TcpStream::connect(address).await.map_err(|error| {
        io::Error::new(
            error.kind(),
            format!("cannot connect to {address}: {error}"),
        )
    })?;
    Ok(GuardedStream::new(socket, scope, address.into()))
}

impl<'a> IntoFuture for Connect<'a> {
    type Output = io::Result<GuardedStream<TcpStream>>;
    type IntoFuture = BoxFuture<'a, GuardedStream<TcpStream>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

/// [`connect`] as a method of a [`Manager`].
pub trait ConnectExt {
    /// Connects to a TCP address: see [`connect`].
    fn connect<'a, A>(&self, address: A) -> Connect<'a>
    where
        A: ToSocketAddrs + Send + 'a;
}

impl ConnectExt for Manager {
    fn connect<'a, A>(&self, address: A) -> Connect<'a>
    where
        A: ToSocketAddrs + Send + 'a,
    {
        connect(self, address)
    }
}
