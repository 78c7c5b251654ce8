//! A network resource manager for servers with very many connections.
//!
//! For every connection, stream, file descriptor and byte of buffer, a [`Manager`] decides whether
//! the server may take it on. The decision is a few atomic operations: nothing waits for a lock when
//! memory is reserved or released. Usage is charged to a graph of scopes: system, transient, service,
//! protocol, peer, connection, stream and spans. Each scope has limits, and all limits can be
//! replaced while the server runs.
//!
//! ```
//! use rcmgr::prelude::*;
//!
//! let manager = Manager::new(Limits::auto_scale())?;
//! let remote: std::net::SocketAddr = "192.0.2.7:4001".parse()?;
//!
//! let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, remote)?;
//! connection.set_peer(&remote.ip().into())?;
//! let buffer = connection.reserve(64 * KIB, Priority::Medium)?; // released when it is dropped
//! assert_eq!(manager.stat().system.memory, 64 * KIB);
//! # drop(buffer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The [`guide`] goes through the tasks of a server one by one. The folder `examples` has a program
//! for each.
//!
//! # Contents
//!
//! | module | contents | feature |
//! | --- | --- | --- |
//! | [`prelude`] | the names that most programs need | |
//! | the root | the engine, limits, scopes, errors, and the traits of a resource manager | |
//! | [`config`] | limits from budgets, presets, files and the machine | `files`, `reload`, `auto-scale` |
//! | [`record`] | a record of each operation, for a recorder of your own | |
//! | [`dynamic`], [`global`] | a manager that is chosen at run time; the manager of the process | |
#![cfg_attr(
    feature = "address",
    doc = "| [`address`] | limits by remote address: subnets, prefixes, rates, the allowlist | `address` |"
)]
#![cfg_attr(
    feature = "metrics",
    doc = "| [`metrics`] | Prometheus, OpenTelemetry, refusals in the log, the live view | `metrics`, `opentelemetry`, `http` |"
)]
#![cfg_attr(
    feature = "trace",
    doc = "| [`trace`] | traces of all operations, and their replay | `trace` |"
)]
#![cfg_attr(
    feature = "tokio",
    doc = "| [`tokio`] | guarded listeners and streams, read buffers, the graceful end of a server | `tokio` |"
)]
#![cfg_attr(
    feature = "tower",
    doc = "| [`tower`] | a layer for the requests of a server and their bodies; axum, tonic | `tower`, `axum`, `tonic` |"
)]
#![cfg_attr(
    feature = "libp2p",
    doc = "| [`libp2p`] | swarms of rust-libp2p: transports under limits, events for refusals | `libp2p`, `libp2p-tcp`, `libp2p-quic`, `libp2p-websocket`, `libp2p-relay` |"
)]
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `address` | yes | limits by remote address. Without it, a manager with such limits is an error |
//! | `files` | yes | limits from files in TOML and JSON |
//! | `auto-scale` | yes | limits for the memory and file descriptors of this machine |
//! | `reload` | | limits that follow a file |
//! | `metrics` | | metrics for Prometheus, and refusals in the log |
//! | `opentelemetry` | | the same metrics for OpenTelemetry |
//! | `http` | | the live view, as a router for axum |
//! | `trace` | | traces, and their replay |
//! | `tokio` | | guarded listeners and streams for servers on tokio |
//! | `tower` | | a scope for each request, and budgets for bodies, as a layer |
//! | `axum`, `tonic` | | the layer and the listener for these servers |
//! | `libp2p` | | wrappers and behaviours for swarms of rust-libp2p |
//! | `libp2p-tcp`, `libp2p-quic`, `libp2p-websocket`, `libp2p-relay` | | these transports under limits, in one line each |
//! | `multiaddr` | | endpoints from `multiaddr::Multiaddr` |
//! | `libp2p-identity` | | peer ids from `libp2p_identity::PeerId` |
//!
//! # Scope
//!
//! The manager counts the reservations of the program. It does not see allocations. It limits how much is in use at
//! a time; of rates it knows those of new connections by address. A request is granted or refused at
//! once; async code can wait for room, in order and by priority: see
//! [`Manager::open_connection_when_available`] and [`Connection::reserve_when_available`].

#![forbid(unsafe_code)]

pub mod guide;
pub mod prelude;

#[cfg(feature = "address")]
pub use rcmgr_address as address;
pub use rcmgr_atomic::{
    Builder, CanWait, ConnMemory, Connection, KeptScopes, Manager, OpenConnectionWhenAvailable,
    OpenStreamWhenAvailable, ReserveWhenAvailable, Scope, ScopeReport, Service, Span, Stream,
    WaitTotals, Waiting, record,
};
pub use rcmgr_config as config;
#[cfg(feature = "files")]
pub use rcmgr_config::LimitsFile;
pub use rcmgr_config::{
    Budget, ByteSize, LimitsExt, Machine, PartialLimit, PartialLimits, ScalingLimits,
};
pub use rcmgr_core::*;

/// Metrics, refusals in the log, and the live view.
#[cfg(feature = "metrics")]
pub mod metrics {
    #[cfg(feature = "http")]
    pub use rcmgr_metrics::http;
    #[cfg(feature = "opentelemetry")]
    pub use rcmgr_metrics::opentelemetry;
    pub use rcmgr_metrics::{Observer, RefusalLog, RefusalLogThread, prometheus};
}

/// Traces of all operations, and their replay.
#[cfg(feature = "trace")]
pub mod trace {
    pub use rcmgr_metrics::replay;
    pub use rcmgr_metrics::trace::*;
}

/// The programs in README and in the book, compiled and run as tests.
#[cfg(doctest)]
mod pages;

#[cfg(feature = "libp2p")]
pub use rcmgr_libp2p as libp2p;
#[cfg(feature = "tokio")]
pub use rcmgr_tokio as tokio;
#[cfg(feature = "tower")]
pub use rcmgr_tower as tower;
