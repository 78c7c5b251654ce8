//! One operation as a value, which any manager and the model can perform.

use std::sync::Arc;

use rcmgr_core::{Direction, Endpoint, Limit, Limits, PeerId, Priority, ScopeId, UsesFd};

/// An operation.
///
/// Handles lie in a table of slots, and an operation names a slot by its number. The number may be
/// any: it is taken modulo the number of slots. An operation that opens puts the new handle into
/// exactly this slot and drops the handle that was there. An operation on a handle takes the first
/// handle at or after this slot, and does nothing if there is no handle or if it is of another kind.
#[derive(Debug, Clone, PartialEq)]
pub enum Op {
    /// Opens a connection.
    OpenConnection {
        /// The slot of the new handle.
        slot: usize,
        /// The direction.
        direction: Direction,
        /// Whether it uses a file descriptor.
        uses_fd: UsesFd,
        /// The remote address.
        endpoint: Endpoint,
    },
    /// Opens a stream.
    OpenStream {
        /// The slot of the new handle.
        slot: usize,
        /// With whom.
        remote: Remote,
        /// The direction.
        direction: Direction,
        /// The protocol, if it is known when the stream is opened.
        protocol: Option<Arc<str>>,
        /// The service, if it is known. Without a protocol it has no effect.
        service: Option<Arc<str>>,
    },
    /// Begins a span.
    BeginSpan {
        /// The slot of the new handle.
        slot: usize,
        /// The owner.
        on: On,
    },
    /// Sets the peer of a connection.
    SetPeer(usize, PeerId),
    /// Sets the protocol of a stream.
    SetProtocol(usize, Arc<str>),
    /// Sets the service of a connection or stream.
    SetService(usize, Arc<str>),
    /// Reserves memory.
    Reserve(On, u64, Priority),
    /// Reserves memory through a guard, which gives it back at once.
    Hold(On, u64, Priority),
    /// Releases memory.
    Release(On, u64),
    /// Releases all memory that the scope itself holds.
    ReleaseAll(On),
    /// Closes a connection, stream or span. The handle stays in its slot.
    Done(usize),
    /// Drops the handle. Its slot is empty afterwards.
    Drop(usize),
    /// Sets the limit of one scope, or takes it back.
    SetLimit(On, Option<Limit>),
    /// Replaces all limits.
    SetLimits(Box<Limits>),
    /// Closes the manager.
    Close,
}

/// What a request waits for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// Memory on a scope, which stays reserved.
    Memory(On, u64, Priority),
    /// A connection.
    Connection {
        /// The slot of the new handle.
        slot: usize,
        /// The direction.
        direction: Direction,
        /// Whether it uses a file descriptor.
        uses_fd: UsesFd,
        /// The remote address.
        endpoint: Endpoint,
    },
    /// A stream.
    Stream {
        /// The slot of the new handle.
        slot: usize,
        /// With whom.
        remote: Remote,
        /// The direction.
        direction: Direction,
    },
}

/// The scope that an operation is performed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum On {
    /// A scope that the manager has a view of: system, transient, a service, protocol or peer.
    Scope(ScopeId),
    /// The handle at a slot.
    Handle(usize),
}

/// With whom a stream is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remote {
    /// With a peer.
    Peer(PeerId),
    /// Through the connection at a slot.
    Connection(usize),
}
