//! Guarded listeners and streams for servers on tokio: every connection is admitted by a resource
//! manager.

#![forbid(unsafe_code)]

mod accept;
mod buffer;
mod conn_scope;
mod descriptors;
mod incoming;
mod listener;
mod refusal;
mod stream;

pub use accept::{Accept, AcceptFuture};
pub use buffer::Buffer;
pub use conn_scope::ConnScope;
pub use incoming::Incoming;
pub use listener::Guarded;
pub use refusal::{Decide, Refusal};
pub use stream::GuardedStream;
