//! A resource manager for rust-libp2p: every connection, stream and file descriptor of a swarm is
//! accounted on all its scopes, and refused where a limit says so.

#![forbid(unsafe_code)]

mod behaviour;
mod error;
mod muxer;
mod negotiation;
#[cfg(doctest)]
mod pages;
mod refusal;
mod reports;
mod resources;
mod scope_of;
mod services;
mod stream;
mod transport;

pub use behaviour::{Behaviour, Event, connections};
pub use error::Error;
pub use muxer::LimitedMuxer;
pub use refusal::refusal;
pub use reports::Refused;
pub use resources::Resources;
pub use scope_of::scope_of;
pub use stream::LimitedStream;
pub use transport::{LimitExt, Limited, Upgrade};
