//! The atomics and locks that the shim is made of: those of the real machine.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;
use std::thread::available_parallelism;

pub use ahash::RandomState;
pub use arc_swap::ArcSwap;
pub use crossbeam_utils::Backoff;
pub use once_cell::race::OnceBox;
pub use parking_lot::{Mutex, MutexGuard};
pub use portable_atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicU128, Ordering, fence};
pub use std::sync::OnceLock;

/// The number of shards of a value that threads would otherwise contend for.
pub const SHARDS: usize = 8;

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The shard of this thread. Shards are given to threads round-robin.
#[inline]
pub fn thread_shard() -> usize {
    match SHARD.get() {
        shard if shard < SHARDS => shard,
        _ => take_shard(),
    }
}

#[cold]
fn take_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Relaxed: the number only spreads threads over shards.
    let shard = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
    SHARD.set(shard);
    shard
}

/// The number of cores.
pub fn cores() -> usize {
    available_parallelism().map_or(1, Into::into)
}

/// A hasher with a seed of its own.
pub fn hasher() -> RandomState {
    RandomState::new()
}

/// Announces a value that was just allocated. Only the simulated machine wants to know.
#[inline(always)]
pub fn allocated<T>(_: &T) {}

/// Names the memory of a value. Only the simulated machine wants to know.
#[inline(always)]
pub fn name_memory<T>(_: &T, _: impl FnOnce() -> String) {}
