//! Guarded listeners and streams for servers on tokio: every connection is admitted by a resource
//! manager.
//!
//! | to | see |
//! | --- | --- |
//! | admit the connections of a listener | [`Guarded`], over any [`Accept`] |
//! | refuse the others politely | [`Refusal`] |
//! | keep the scope with the socket, through TLS, a split and an upgrade | [`GuardedStream`] |
//! | hold the scope of a connection elsewhere | [`ConnScope`] |
//! | close clients that never speak | [`Guarded::first_byte_within`] |
//! | read into memory that is reserved | [`Buffer`] |
//! | connect to another server | [`connect()`], [`ConnectExt`] |
//! | end a server | [`Graceful`] |

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
pub use graceful::{Graceful, Left};
pub use incoming::Incoming;
pub use listener::Guarded;
pub use refusal::{Decide, Refusal};
pub use split::{GuardedReadHalf, GuardedWriteHalf};
pub use stream::GuardedStream;
