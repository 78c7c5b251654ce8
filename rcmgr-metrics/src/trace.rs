//! Traces in the format of go-libp2p's resource manager: one JSON object a line, one event each,
//! plain or gzipped.
//!
//! An [`Event`] has a time, a kind, a scope, an amount, and the totals of the scope after it. A
//! [`TraceReader`] reads events from files.
#![cfg_attr(
    feature = "sink",
    doc = "A [`TraceSink`] writes them while a manager runs."
)]
//!
//! One operation is recorded as several events, one for each scope that it involves:
//!
//! | operation | events |
//! | --- | --- |
//! | a stream reserves memory | `reserve_memory` of each scope of its path, in order, then of the stream |
//! | the same, refused | `reserve_memory` of the scopes that granted, `block_reserve_memory` of the one that refused, `release_memory` of those that had granted |
//! | a connection is opened | `create_scope` of it, `add_conn` of transient, system, and of it |
//! | a connection gets its peer | `reserve_memory` and `add_conn` of the peer, then `release_memory` and `remove_conn` of transient; no event names the connection itself |
//! | a connection or stream ends | `release_memory`, `remove_stream` or `remove_conn` of each scope of its path, then `destroy_scope` of it |
//!
//! Amounts of zero are not recorded: a reservation of no bytes has no event. If a destroyed scope
//! still held something, there is no event that releases it.

mod event;
mod kind;
mod labels;
mod limit;
mod notes;
mod reader;
#[cfg(feature = "sink")]
mod sink;

pub use event::Event;
pub use kind::EventKind;
pub use labels::ScopeLabels;
pub use limit::RecordedLimit;
pub use notes::{Counted, CutOff, Notes};
pub use reader::{TraceError, TraceReader};
#[cfg(feature = "sink")]
pub use sink::{TraceCounters, TraceSink, TraceSinkBuilder};
