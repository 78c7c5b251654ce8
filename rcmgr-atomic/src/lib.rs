//! The engine of rcmgr: a network resource manager that decides with atomic steps.
//!
//! No reservation, release or snapshot of a scope takes a lock, and nothing waits while it holds
//! usage in its hands. Names are looked up in maps with locks: when something is opened or moved,
//! and when the last of its kind closes and is taken out; so are the counts of subnets, when a
//! connection from a limited address is opened and closed. (On a target without 128-bit atomic
//! instructions, counting connections takes one, too.)
//!
//! ```
//! use rcmgr_atomic::{
//!     Manager, ConnectionScope, Direction, Endpoint, KIB, Limits, MIB, Priority,
//!     ResourceManager, ResourceScope, StreamScope, UsesFd,
//! };
//!
//! let mut limits = Limits::unlimited();
//! limits.system.memory = (512 * MIB).into();
//! limits.peer_default.conns_inbound = 8.into();
//! let manager = Manager::new(limits)?;
//!
//! let peer = "192.0.2.7".parse()?;
//! let conn = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
//! conn.set_peer(&peer)?;
//! let stream = manager.open_stream(&peer, Direction::Inbound)?;
//! stream.set_protocol("/ipfs/kad/1.0.0")?;
//! let buffer = stream.reserve(64 * KIB, Priority::Medium)?; // given back when dropped
//! println!("{}", manager.stat().system);
//! # drop(buffer);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What happens when memory is reserved on a stream
//!
//! The walk is *leaf, path, node*. The stream is a leaf (`leaf.rs`): its word says how much it
//! holds and which path it is on. The path (`path.rs`) lists the nodes that it is charged on: peer,
//! its share of the protocol and of the service, protocol, service, system. Each node (`node.rs`)
//! has gauges (`gauge.rs`), which hold a counter against its limit. How several nodes are charged as one
//! is in `charge.rs`: if one refuses, the others are left as they were and the error names it;
//! otherwise one step on the leaf's word makes the reservation count.

// The models reach what is inside, which has no docs for users.
#![cfg_attr(loom, allow(missing_docs))]

mod addresses;
mod allowlisted;
#[cfg(not(loom))]
mod brief_lock;
mod charge;
mod clock;
mod conn_memory;
mod credit;
mod direct;
mod edition;
mod engine;
mod gauge;
mod handles;
mod leaf;
mod lending;
mod manager;
mod node;
mod numbers;
mod over_releases;
mod own;
mod own_limit;
mod path;
mod peers;
pub mod record;
mod refusals;
mod refused_peers;
mod registry;
mod scope;
mod shared;
mod slot;
mod span;
mod staged;
mod sync;
mod users;
mod word;

pub use clock::SystemClock;
pub use conn_memory::ConnMemory;
pub use handles::{Connection, Stream};
pub use manager::{Builder, Manager, ScopeReport};
#[cfg(feature = "address")]
pub use rcmgr_address as address;
pub use rcmgr_core::*;
pub use scope::{Scope, Service, Span};
#[doc(hidden)]
pub use sync::internals;

/// The programs in the README and in the book, compiled and run as tests.
#[cfg(all(doctest, feature = "address"))]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../docs/src/introduction.md")]
    struct Introduction;
    #[doc = include_str!("../../docs/src/first-program.md")]
    struct FirstProgram;
    #[doc = include_str!("../../docs/src/concepts.md")]
    struct Concepts;
    #[doc = include_str!("../../docs/src/limits.md")]
    struct ChoosingLimits;
    #[doc = include_str!("../../docs/src/engine.md")]
    struct TheEngine;
    #[doc = include_str!("../../docs/src/limitations.md")]
    struct Limitations;
    #[doc = include_str!("../../docs/src/development.md")]
    struct Development;
}
