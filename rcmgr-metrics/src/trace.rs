//! Traces: one JSON object a line, an event each, gzipped or plain, as go-libp2p's resource manager
//! writes them.
//!
//! An [`Event`] says when, what, on which scope, by how much, and what the scope's totals were
//! afterwards. A [`TraceReader`] reads them from files.
#![cfg_attr(
    feature = "sink",
    doc = "A [`TraceSink`] writes them while a manager runs."
)]
//!
//! One operation is several events, one for each scope that it was asked of:
//!
//! | operation | events |
//! | --- | --- |
//! | a reservation of a stream | `reserve_memory` of each scope of its path, in order, then of the stream |
//! | the same, refused | `reserve_memory` of the scopes that granted it, `block_reserve_memory` of the one that refused, `release_memory` of those that had granted |
//! | a connection is opened | `create_scope` of it, `add_conn` of transient, system, and of it |
//! | a connection gets its peer | `reserve_memory` and `add_conn` of the peer, then `release_memory` and `remove_conn` of transient; the connection itself is not named |
//! | a connection or stream ends | `release_memory`, `remove_stream` or `remove_conn` of each scope of its path, then `destroy_scope` of it |
//!
//! Nothing is written of what is zero: a reservation of no bytes is no event. What a scope still
//! held when it was destroyed is gone without an event of its own.

mod event;
mod kind;
mod limit;
mod notes;
mod reader;
#[cfg(feature = "sink")]
mod sink;

pub use event::{Event, ScopeLabels};
pub use kind::EventKind;
pub use limit::RecordedLimit;
pub use notes::{Counted, CutOff, Notes};
pub use reader::{TraceError, TraceReader};
#[cfg(feature = "sink")]
pub use sink::{TraceCounters, TraceSink, TraceSinkBuilder};
