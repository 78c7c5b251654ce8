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
//! has gauges (`gauge.rs`), which hold a counter against its limit. How several nodes are charged
//! as one is in `charge.rs`: if one refuses, the others are left as they were and the error names
//! it; otherwise one step on the leaf's word makes the reservation count.

// The models reach what is inside, which has no docs for users.
#![cfg_attr(loom, allow(missing_docs))]

mod api;
mod charge;
mod counters;
mod engine;
mod leaf;
mod lending;
mod lifetime;
mod limits;
mod node;
mod path;
mod span;
mod sync;
mod words;

pub use api::{Builder, Connection, Manager, Scope, ScopeReport, Service, Span, Stream};
pub use counters::ConnMemory;
#[cfg(feature = "address")]
pub use rcmgr_address as address;
pub use rcmgr_core::*;
pub use sync::SystemClock;

/// Records of operations, for whoever observes a manager: see [`Builder::recorder`].
pub mod record {
    pub use crate::counters::Change;
    pub use crate::engine::{KnownScope, Operation, Record, Recorder, Refusal, ScopeRef};
}

/// The parts that the loom models are made of.
#[cfg(loom)]
#[doc(hidden)]
pub mod internals {
    pub use crate::charge::Memory;
    pub use crate::counters::{Kind, Slot};
    pub use crate::engine::{Engine, Path};
    pub use crate::leaf::{Leaf, charge_new, join_charged, leave_allowlist, stream_path};
    pub use crate::lending::CreditOptions;
    pub use crate::lifetime::retire::Retire;
    pub use crate::lifetime::{Collect, Shared, Staged, Use};
    pub use crate::node::Node;
    pub use crate::path::PathKind;
    pub use crate::span::{NodeUser, Owner, SpanState};
    pub use crate::words::LeafWord;
}
