//! Guarded listeners and streams for servers on tokio: every connection is admitted by a resource
//! manager.

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
