//! The atomics and locks of the real machine. The simulation has its own in this place.

pub use std::sync::Arc as Shared;
pub use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

pub use crossbeam_utils::Backoff;
pub use parking_lot::{Mutex as Inner, MutexGuard as Guard};

/// The time from when Go wakes a goroutine until another processor takes it over.
const REST: Duration = Duration::from_micros(3);

/// Gives the processor up for about the time after which Go runs a goroutine again.
pub fn rest() {
    let begin = Instant::now();
    while begin.elapsed() < REST {
        thread::yield_now();
    }
}

/// Names the memory of a scope. Only the simulated machine wants to know.
pub fn name_memory<T>(_: &Shared<T>, _: impl FnOnce() -> String) {}
