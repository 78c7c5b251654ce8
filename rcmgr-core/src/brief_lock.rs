//! A lock that is given back with a store, where a mutex takes a second atomic step: for what is held
//! for some dozens of instructions, by threads that seldom meet.

use std::{hint, thread};

use spin::RelaxStrategy;
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// A value behind such a lock.
pub type BriefLock<T> = SpinMutex<T, TakeTurns>;

/// What says that it is held.
pub type BriefGuard<'a, T> = SpinMutexGuard<'a, T, TakeTurns>;

/// Whoever finds the lock held looks again a few times, then lets others run: the holder may be one of
/// them.
#[derive(Debug)]
pub struct TakeTurns;

/// About as long as the lock is held.
const LOOKS: u32 = 16;

impl RelaxStrategy for TakeTurns {
    fn relax() {
        (0..LOOKS).for_each(|_| hint::spin_loop());
        thread::yield_now();
    }
}
