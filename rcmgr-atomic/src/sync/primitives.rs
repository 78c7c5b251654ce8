//! The atomics and locks that the shim is made of: those of the real machine.

use std::cell::Cell;
use std::sync::atomic::AtomicUsize;
use std::thread::{available_parallelism, sleep};
use std::time::Duration;

pub use ahash::RandomState;
pub use arc_swap::ArcSwap;
pub use crossbeam_utils::Backoff;
pub use once_cell::race::OnceBox;
pub use parking_lot::{Mutex, MutexGuard};
pub use portable_atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicU128, Ordering, fence};
pub use spin::mutex::{SpinMutex as BriefMutex, SpinMutexGuard as BriefGuard};
pub use std::sync::OnceLock;

/// The shards that every machine has, of a value that threads would otherwise contend for.
pub const FIRST_SHARDS: usize = 8;

/// The most shards. A larger machine has several cores for each: a path that lends has two cache lines
/// for each shard, and a sum of its credit visits all of them.
const MOST_SHARDS: usize = 64;

/// The number of shards on this machine: one for each core, rounded up to a power of two. A small
/// machine has more, because its threads may outnumber its cores.
pub fn shards() -> usize {
    static SHARDS: OnceLock<usize> = OnceLock::new();
    *SHARDS.get_or_init(|| {
        let cores = cores().next_power_of_two();
        cores.clamp(FIRST_SHARDS, MOST_SHARDS)
    })
}

thread_local! {
    static SHARD: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// The shard of this thread. Shards are given to threads round-robin.
#[inline]
pub fn thread_shard() -> usize {
    match SHARD.get() {
        shard if shard < FIRST_SHARDS => shard,
        _ => further_shard(),
    }
}

/// The shard of this thread. `None` if [`thread_shard`] has not given it one yet.
///
/// A function that asks for it first saves fewer registers: to the compiler, the address of a
/// thread-local may take a call.
#[inline]
pub fn given_shard() -> Option<usize> {
    Some(SHARD.get()).filter(|&shard| shard != usize::MAX)
}

/// The shard of a thread that has none yet, or one that only a larger machine has.
#[inline(never)]
fn further_shard() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    if SHARD.get() == usize::MAX {
        // Relaxed: the number only spreads threads over shards.
        SHARD.set(NEXT.fetch_add(1, Ordering::Relaxed) % shards());
    }
    SHARD.get()
}

/// The time between two looks at a lock whose holder was preempted.
const NAP: Duration = Duration::from_micros(50);

/// Takes a lock whose holder was probably preempted. The core is left to others, and so to the holder.
pub fn lock_of_preempted<T>(lock: &BriefMutex<T>) -> BriefGuard<'_, T> {
    loop {
        sleep(NAP);
        if let Some(guard) = lock.try_lock() {
            return guard;
        }
    }
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
