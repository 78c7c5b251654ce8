//! The engine of rcmgr: a network resource manager without locks on the hot path.
//!
//! Reservations, releases and snapshots of scopes take no lock. Each is made of atomic steps, and
//! no thread waits for another one while it has a charge that is not settled yet.
//!
//! These operations take a lock, for a short time:
//!
//! - opening or moving a connection or stream, and the close of the last one of its kind: the lock
//!   of a shard of a map of names, or of the branches of a path;
//! - opening and closing a connection from an address with limits: the lock of the counts of
//!   subnets;
//! - counting connections, on a target without 128-bit atomic instructions.
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
//! 1. The stream is a *leaf* (`leaf/`). One atomic word says how much it holds and which path it is
//!    on. The limit of the stream itself is checked first.
//! 2. The *path* (`path/`) lists the nodes that the leaf is charged on: the peer, its share of the
//!    protocol and of the service, the protocol, the service, system. A busy path has *credit*:
//!    memory that is charged on all its nodes in advance. If there is enough, it pays, and no node
//!    is touched. This is the fast path.
//! 3. Otherwise the nodes are charged as one (`charge/`): all of them or none. If one refuses, the
//!    others are left as they were, and the error names the one that refused.
//! 4. Each *node* (`node/`) has gauges: counters that are compared with their limits.
//! 5. At the end one step on the word of the leaf makes the reservation count. If the leaf moved or
//!    was closed meanwhile, the charge is cancelled and the reservation starts again.
//!
//! A node that has no room recalls the credit on it before it refuses (`lending/`).
//!
//! # Floors
//!
//! Each folder is a floor, and imports point to lower floors only. From the top:
//!
//! ```text
//! api/       the handles of users: manager, builder, connection, stream, scope, span, service
//! span/      the state of a span, its owner, and memory reserved directly on a node
//! leaf/      a connection or stream: reserve, release, open, move, close
//! engine/    the state that all scopes share: nodes by name, paths, limits in force, records
//! lending/   which paths have credit; how it is filled, recalled, and left out of the usage
//! path/      the nodes that a leaf is charged on, branches, credit, the lend state
//! charge/    charges of memory, streams, connections and a whole leaf; all nodes or none
//! waiting/   the queues of requests that wait for room, and how they are woken
//! node/      a scope that leaves share: its users and its gauges
//! limits/    the version of the limits, limits of leaves, overrides
//! lifetime/  reference counts and staged slots: all the `unsafe` code
//! counters/  refusals, numbers, own memory, per-thread cells
//! words/     packed words, one in each file
//! sync/      the shim: real atomics and locks, or those of loom; words with a guess
//! ```

// With `cfg(loom)` the parts inside are public for the models. They need no docs for users.
#![cfg_attr(loom, allow(missing_docs, missing_debug_implementations))]

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
mod waiting;
mod words;

pub use api::{
    Builder, CanWait, Connection, KeptScopes, Manager, OpenConnectionWhenAvailable,
    OpenStreamWhenAvailable, ReserveWhenAvailable, Scope, ScopeReport, Service, Span, Stream,
    Waiting,
};
pub use counters::ConnMemory;
#[cfg(feature = "address")]
pub use rcmgr_address as address;
pub use rcmgr_core::*;
pub use sync::SystemClock;
pub use waiting::WaitTotals;

/// Records of operations, for an observer of a manager: see [`Builder::recorder`].
pub mod record {
    pub use crate::counters::Change;
    pub use crate::engine::{KnownScope, Operation, Record, Recorder, Refusal, ScopeRef};
}

/// The parts that the loom models are made of.
#[cfg(loom)]
#[doc(hidden)]
pub mod internals {
    pub use crate::api::asker::{Asker, MemoryRequest};
    pub use crate::charge::{Contention, Memory};
    pub use crate::counters::{Kind, Slot};
    pub use crate::engine::{Engine, FromPath, Path, Request, Wait};
    pub use crate::leaf::{
        Leaf, charge_in_turn, charge_new, check_new_alone, join_charged, leave_allowlist,
        stream_path,
    };
    pub use crate::lending::{CreditOptions, recall_conns};
    pub use crate::lifetime::retire::Retire;
    pub use crate::lifetime::{Collect, EntryUses, HandedOver, ShardUses, Shared, Staged, Use};
    pub use crate::node::Node;
    pub use crate::path::PathKind;
    pub use crate::path::hot_paths::HotPaths;
    pub use crate::span::{NodeUser, Owner, SpanState};
    pub use crate::waiting::{NodesOfScope, Ticket};
    pub use crate::words::{ConnsWord, LeafWord};

    /// A leaf that asks for memory.
    pub fn ask_by_leaf(leaf: &Leaf) -> Asker<'_> {
        Asker::leaf(leaf)
    }

    /// A span that asks for memory.
    pub fn ask_by_span(span: &SpanState) -> Asker<'_> {
        Asker::span(span)
    }
}
