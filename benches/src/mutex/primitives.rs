//! The atomics and locks of the real machine. The simulation has its own in this place.

pub use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use parking_lot::Mutex;

/// Announces a scope that was just allocated. Only the simulated machine wants to know.
pub fn allocated<T>(_: &T) {}

/// Names the memory of a scope. Only the simulated machine wants to know.
pub fn name_memory<T>(_: &T, _: impl FnOnce() -> String) {}
