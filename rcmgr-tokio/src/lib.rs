//! Guarded listeners and streams for servers on tokio: every connection is admitted by a resource
//! manager.
//!
//! A server puts [`Guarded`] around its listener. From then on the limits of the manager apply to its
//! connections: by remote address, by service, and by the number of file descriptors. A connection that
//! is refused never reaches the program. One that is admitted is counted until its
//! [`GuardedStream`] is dropped, through TLS, [`into_split`](GuardedStream::into_split) and upgrades.
//!
//! ```
//! use std::io;
//! use std::time::Duration;
//!
//! use rcmgr_atomic::{Limits, Manager, Priority};
//! use rcmgr_tokio::{ConnectExt, Guarded, Refusal};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//! use tokio::net::TcpListener;
//! use tokio_util::task::TaskTracker;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> io::Result<()> {
//! let mut limits = Limits::unlimited();
//! limits.system.conns_inbound = 10_000.into();
//! let manager = Manager::new(limits)?;
//!
//! let listener = TcpListener::bind("127.0.0.1:0").await?; // "0.0.0.0:7000"
//! # let address = listener.local_addr()?;
//! let listener = Guarded::new(listener, manager.clone())
//!     .service("echo")
//!     .on_refusal(Refusal::Reset)
//!     .first_byte_within(Duration::from_secs(10))
//!     .descriptors_in_reserve(32);
//!
//! let tracker = TaskTracker::new();
//! let server = async {
//!     loop {
//!         let mut conn = listener.accept().await; // never an error
//!         tracker.spawn(async move {
//!             let mut buf = conn.buffer(Priority::Medium); // reserves before it grows
//!             loop {
//!                 if buf.fill_from(&mut conn).await? == 0 {
//!                     break;
//!                 }
//!                 conn.write_all(&buf).await?;
//!                 buf.consume_all();
//!             }
//!             io::Result::Ok(())
//!         });
//!     }
//! };
//!
//! let client = async {
//!     // Outbound connections are admitted, too: the scope first, then the socket.
//!     let mut upstream = manager.connect(address).service("db").await?;
//!     upstream.write_all(b"ping").await?;
//!     let mut answer = [0; 4];
//!     upstream.read_exact(&mut answer).await?;
//!     io::Result::Ok(answer)
//! };
//! # tokio::pin!(server, client);
//! tokio::select! {
//!     () = server => {}
//!     answer = client => assert_eq!(&answer?, b"ping"),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Contents
//!
//! | to | see |
//! | --- | --- |
//! | admit the connections of a listener | [`Guarded`], over any [`Accept`] |
//! | refuse the others politely | [`Refusal`] |
//! | admit them in code of your own | [`Guarded::accept_socket`], [`Guarded::refuse`], [`WakeAcceptors`] |
//! | keep the scope with the socket, through TLS, a split and an upgrade | [`GuardedStream`] |
//! | hold the scope of a connection elsewhere | [`ConnScope`] |
//! | close clients that never speak | [`Guarded::first_byte_within`] |
//! | read into memory that is reserved | [`Buffer`] |
//! | connect to another server | [`connect()`], [`ConnectExt`] |
//! | end a server | [`Graceful`] |
//!
//! # The accept loop
//!
//! [`Guarded::accept`] never fails, and it is cancel-safe. It reads nothing from a client.
//!
//! - An error of a single connection, such as `ECONNABORTED`, never makes it pause. So a client cannot
//!   slow others down with connections that fail.
//! - When the process is out of file descriptors, it waits until a socket of this crate is closed, any
//!   socket of any listener. Then it accepts at once. A descriptor that something else frees is found
//!   after 5 to 100 ms. The shortage is logged once when it begins, with the numbers, and once
//!   when it is over.
//! - [`descriptors_in_reserve`](Guarded::descriptors_in_reserve) makes the manager refuse connections
//!   before the descriptors run out.
//! - After 16 connections in a row, admitted or refused, other tasks have their turn.

#![forbid(unsafe_code)]

mod accept;
mod buffer;
mod conn_scope;
mod connect;
mod descriptors;
mod first_byte;
mod graceful;
mod graceful_accept;
mod incoming;
mod listener;
mod refusal;
mod split;
mod stream;

pub use accept::{Accept, AcceptFuture};
pub use buffer::Buffer;
pub use conn_scope::ConnScope;
pub use connect::{Connect, ConnectExt, connect};
pub use descriptors::WakeAcceptors;
pub use graceful::{Graceful, Left};
pub use incoming::Incoming;
pub use listener::Guarded;
pub use refusal::{Decide, Refusal};
pub use split::{GuardedReadHalf, GuardedWriteHalf};
pub use stream::GuardedStream;
