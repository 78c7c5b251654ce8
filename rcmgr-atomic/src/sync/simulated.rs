//! The atomics and locks that the shim is made of: those of a simulated machine.
//!
//! The crate `rcmgr-atomic-simulated` has the same sources as this one, and sets `cfg(simulated)`. So
//! both engines are in one program, and the real one has no trace of the simulation.

pub use ahash::RandomState;
pub use rcmgr_machine::{
    ArcSwap, AtomicBool, AtomicU32, AtomicU64, AtomicU128, Backoff, Mutex, MutexGuard, OnceBox,
    OnceLock, Ordering, allocated, cores, fence, name_memory,
};
pub use rcmgr_machine::{MutexGuard as BriefGuard, SpinMutex as BriefMutex};
use rcmgr_machine::{Time, work};

/// The shards that every machine has, of a value that threads would otherwise contend for.
pub const FIRST_SHARDS: usize = 8;

/// The most shards.
const MOST_SHARDS: usize = 64;

/// The number of shards on the simulated machine: one for each core, rounded up to a power of two.
pub fn shards() -> usize {
    let cores = cores().next_power_of_two();
    cores.clamp(FIRST_SHARDS, MOST_SHARDS)
}

/// Takes a lock whose holder was probably preempted. Between two looks the core sleeps for the time
/// that a real one asks for.
pub fn lock_of_preempted<T>(lock: &BriefMutex<T>) -> BriefGuard<'_, T> {
    loop {
        work(Time::from_ns(50_000.0));
        if let Some(guard) = lock.try_lock() {
            return guard;
        }
    }
}

/// The shard of this core.
pub fn thread_shard() -> usize {
    rcmgr_machine::current_core().unwrap_or(0) % shards()
}

/// The same.
pub fn given_shard() -> Option<usize> {
    Some(thread_shard())
}

/// A hasher with the same seed in every run, so that runs are the same.
pub fn hasher() -> RandomState {
    RandomState::with_seeds(1, 2, 3, 4)
}
