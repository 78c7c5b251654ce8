//! Guarded listeners and streams for servers on tokio: every connection is admitted by a resource
//! manager.

#![forbid(unsafe_code)]

mod buffer;
mod conn_scope;
mod descriptors;
mod stream;

pub use buffer::Buffer;
pub use conn_scope::ConnScope;
pub use stream::GuardedStream;
