//! A mutex whose waiting is that of Go's `sync.Mutex`.
//!
//! The fast path is one compare-and-swap in both. A thread that finds the lock taken spins four times
//! for thirty pauses, and looks after each. Then Go parks the goroutine: the scheduler runs it again
//! some microseconds after the lock was released, and it competes with those that run. A goroutine
//! that has waited for a millisecond gets the lock handed over. So the threads that run take the lock
//! several times in a row, which moves fewer cache lines, and no thread waits for long.
//!
//! `parking_lot` alone looks again earlier and more often: on two threads that share everything, it
//! takes up to twice as long as Go.

use super::primitives::{Backoff, Guard, Inner, rest};

/// The times that a thread spins before it rests.
const SPINS: usize = 4;

/// The steps of a spin: 1, 2, 4, 8 and 16 pauses.
const PAUSE_STEPS: usize = 5;

/// The rests after which a thread waits in the queue of the lock: about a millisecond. There the lock
/// is handed over from time to time.
const RESTS: usize = 250;

/// A mutex that waits as that of Go.
#[derive(Debug, Default)]
pub struct Mutex<T>(Inner<T>);

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Self(Inner::new(value))
    }

    #[inline]
    #[track_caller]
    pub fn lock(&self) -> Guard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => self.lock_slow(),
        }
    }

    #[cold]
    #[track_caller]
    fn lock_slow(&self) -> Guard<'_, T> {
        for _ in 0..RESTS {
            for _ in 0..SPINS {
                let backoff = Backoff::new();
                (0..PAUSE_STEPS).for_each(|_| backoff.spin());
                if let Some(guard) = self.0.try_lock() {
                    return guard;
                }
            }
            rest();
        }
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn one_thread_at_a_time_has_the_lock() {
        const TIMES: u64 = 20_000;
        let counter = &Mutex::new(0);
        thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(move || {
                    for _ in 0..TIMES {
                        let mut counter = counter.lock();
                        let before = *counter;
                        *counter = before + 1;
                    }
                });
            }
        });
        assert_eq!(*counter.lock(), 6 * TIMES);
    }

    #[test]
    fn a_thread_gets_the_lock_although_others_take_it_all_the_time() {
        let lock = &Mutex::new(());
        let over = &AtomicBool::new(false);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(move || {
                    while !over.load(Ordering::Relaxed) {
                        drop(lock.lock());
                    }
                });
            }
            // It ends only if each of these gets the lock.
            (0..100).for_each(|_| drop(lock.lock()));
            over.store(true, Ordering::Relaxed);
        });
    }
}
