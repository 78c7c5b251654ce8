//! Spans: parts of a leaf, a node or another span that are given back as a whole; and memory
//! reserved directly on a node.

mod direct;
mod evaluated;
mod state;
mod waiting;

pub use direct::NodeUser;
pub use state::{Owner, SpanState};
