//! A resource manager for rust-libp2p: every connection, stream and file descriptor of a swarm is
//! accounted on all its scopes, and refused where a limit says so.
//!
//! Each transport of the swarm is wrapped where the swarm is built. For transports with libp2p's
//! default settings this is one line each:
//!
//! ```
//! use libp2p::{SwarmBuilder, ping};
//! use rcmgr::prelude::*;
//! use rcmgr_libp2p::Resources;
//!
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
//! # let _in_runtime = runtime.enter();
//! let mut scaling = rcmgr::ScalingLimits::default();
//! rcmgr_libp2p::bundled_limits(&mut scaling);
//! let mut limits = scaling.auto_scale();
//! limits.peer_default.conns = 4.into();
//! limits.protocol_peer_default.streams_inbound = 32.into();
//! let resources = Resources::new(Manager::new(limits)?);
//!
//! let swarm = SwarmBuilder::with_new_identity()
//!     .with_tokio()
//!     .with_other_transport(|key| rcmgr_libp2p::tcp(key, &resources))?
//!     .with_other_transport(|key| rcmgr_libp2p::quic(key, &resources))?
//!     .with_dns()?
//!     .with_behaviour(|_| ping::Behaviour::default())?
//!     .build();
//! # drop(swarm);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A peer may have 4 connections, and 32 inbound streams of each protocol that has no limit of its own.
//! The other limits are those of go-libp2p, for an eighth of the machine's memory. Connections are not limited by address unless
//! `limits.addresses` says so. `Manager` and the limits are those of the crate `rcmgr`.
//!
//! | part | does |
//! | --- | --- |
//! | [`Resources`] | the manager, the services by protocol, the flat memory of connections and streams |
//! | [`LimitExt::limited`] | puts a transport under the limits |
#![cfg_attr(
    feature = "tcp",
    doc = "| [`tcp`] | TCP with noise and yamux under the limits, with the feature `tcp` |"
)]
#![cfg_attr(
    feature = "quic",
    doc = "| [`quic`] | QUIC under the limits, with the feature `quic` |"
)]
#![cfg_attr(
    feature = "websocket",
    doc = "| [`websocket`] | WebSocket under the limits, with the feature `websocket` |"
)]
#![cfg_attr(
    feature = "relay",
    doc = "| [`relay_client`] | the client of relays under the limits, with the feature `relay` |"
)]
//! | [`bundled_limits`] | limits for the behaviours that come with libp2p |
//! | [`refusal`] | finds the error of the manager in an error of libp2p |
//! | [`scope_of`] | the scope of a stream, for a handler that reserves memory |
//! | [`Resources::behaviour`] | tells the swarm what was refused |
//! | [`connections::Behaviour`] | limits connections alone, where transports cannot be wrapped |
//!
//! The chapter *rust-libp2p* of the book says what is charged when, what a refusal looks like at both
//! ends, and what cannot be bounded.

#![forbid(unsafe_code)]

mod behaviour;
mod bundled_limits;
#[cfg(any(feature = "tcp", feature = "quic", feature = "relay"))]
mod default_transports;
mod error;
mod keeper;
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
mod turn;

pub use behaviour::{Behaviour, Event, connections};
pub use bundled_limits::bundled_limits;
#[cfg(any(feature = "tcp", feature = "quic", feature = "relay"))]
pub use default_transports::*;
pub use error::Error;
pub use muxer::LimitedMuxer;
pub use refusal::refusal;
pub use reports::Refused;
pub use resources::Resources;
pub use scope_of::scope_of;
pub use stream::LimitedStream;
pub use transport::{LimitExt, Limited, Upgrade};
