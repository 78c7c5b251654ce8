//! Protect an accept loop.
//!
//! Ask the manager as soon as a socket is accepted, before anything is read from it:
//!
//! ```no_run
//! use rcmgr::prelude::*;
//! use tokio::net::{TcpListener, TcpStream};
//!
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let manager = Manager::new(rcmgr::ScalingLimits::server().auto_scale())?;
//!     let listener = TcpListener::bind("0.0.0.0:4001").await?;
//!     loop {
//!         let (socket, remote) = listener.accept().await?;
//!         match manager.open_connection(Direction::Inbound, UsesFd::Yes, remote) {
//!             Ok(connection) => drop(tokio::spawn(serve(socket, connection))),
//!             Err(_) => drop(socket), // closed without an answer
//!         }
//!     }
//! }
//!
//! async fn serve(socket: TcpStream, connection: Connection) {
//!     // ...
//!     drop(socket);
//!     drop(connection);
//! }
//! ```
//!
//! - The [`Connection`](crate::Connection) is the permission. Keep it as long as the socket, and drop
//!   it after the socket. Then everything that it holds is released.
//! - [`UsesFd::Yes`](crate::UsesFd) also charges one file descriptor. A connection that shares its
//!   socket with others, as with QUIC, says `UsesFd::No`.
//! - The address is checked first, then the scopes. With these limits, one IPv4 address may have 16
//!   connections: see [`by_address`](super::by_address).
//! - Each of these calls answers at once, so it can be made from async code.
//!   [`open_connection_when_available`](crate::Manager::open_connection_when_available) waits for
//!   room instead.
//!
//! # Name the peer
//!
//! Until the peer is known, a connection also counts in the *transient* scope, which should be small.
//! After the handshake, attach it to its peer:
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! # let manager = Manager::new(Limits::unlimited())?;
//! # let remote: std::net::SocketAddr = "192.0.2.7:4001".parse()?;
//! let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, remote)?;
//! assert_eq!(manager.stat().transient.conns_inbound, 1);
//!
//! let peer = PeerId::from(remote.ip()); // or the name that it authenticated with
//! connection.set_peer(&peer)?;
//! assert_eq!(manager.stat().transient.conns_inbound, 0);
//! assert_eq!(manager.stat().peers[&peer].conns_inbound, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If `set_peer` is refused, the peer has as many connections as it may. Nothing has changed then:
//! close the socket and drop the connection.
//!
//! The example `accept_loop` is a whole server with clients.
