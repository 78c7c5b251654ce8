//! A lock that is given back with a store, where a mutex takes a second atomic step: for what is held
//! for some dozens of instructions, by threads that seldom meet.
//!
//! Whoever finds it held asks again, at first at once, then after others had their turn.
#![allow(unsafe_code)]

use crossbeam_utils::Backoff;
use lock_api::{GuardSend, RawMutex};
use portable_atomic::{AtomicBool, Ordering};

/// Whether it is held.
pub struct FlagLock(AtomicBool);

// SAFETY: the flag is set by one at a time, by a swap that found it clear, and cleared only by the one
// that has set it. The swap acquires what was done before the flag was cleared, which releases it.
unsafe impl RawMutex for FlagLock {
    const INIT: Self = Self(AtomicBool::new(false));

    type GuardMarker = GuardSend;

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.wait();
        }
    }

    #[inline]
    fn try_lock(&self) -> bool {
        !self.0.swap(true, Ordering::Acquire)
    }

    #[inline]
    unsafe fn unlock(&self) {
        self.0.store(false, Ordering::Release);
    }
}

impl FlagLock {
    #[cold]
    fn wait(&self) {
        let backoff = Backoff::new();
        while self.0.load(Ordering::Relaxed) || !self.try_lock() {
            backoff.snooze();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn one_at_a_time_has_it() {
        let lock = lock_api::Mutex::<FlagLock, u64>::new(0);
        let count = || {
            for _ in 0..10_000 {
                let mut held = lock.lock();
                let before = *held;
                std::hint::black_box(&mut *held);
                *held = before + 1;
            }
        };
        thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
        assert_eq!(*lock.lock(), 40_000);
    }
}
