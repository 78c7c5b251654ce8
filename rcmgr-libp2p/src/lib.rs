//! A resource manager for rust-libp2p: every connection, stream and file descriptor of a swarm is
//! accounted on all its scopes, and refused where a limit says so.

#![forbid(unsafe_code)]

mod error;
mod muxer;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "streams follow their negotiation from the next step on"
    )
)]
mod negotiation;
mod refusal;
mod resources;
mod services;
mod transport;

pub use error::Error;
pub use muxer::LimitedMuxer;
pub use refusal::refusal;
pub use resources::Resources;
pub use transport::{LimitExt, Limited, Upgrade};
