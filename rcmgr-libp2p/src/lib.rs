//! A resource manager for rust-libp2p: every connection, stream and file descriptor of a swarm is
//! accounted on all its scopes, and refused where a limit says so.

#![forbid(unsafe_code)]

#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "streams follow their negotiation from the next step on"
    )
)]
mod negotiation;
