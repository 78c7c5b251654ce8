//! A lock that is mostly held for some dozens of instructions.

use super::primitives::{Backoff, BriefGuard, BriefMutex, lock_of_preempted};

/// A value behind a lock that is mostly held for some dozens of instructions. (A list of all entries, a
/// change of limits, and a move that makes new scopes hold it longer.)
///
/// It is unlocked by a plain store: a lock that wakes those who wait for it takes another atomic step. A
/// stream takes two locks for its protocol and two for its service.
///
/// A thread that finds the lock taken pauses for some microseconds before it looks again. A look takes
/// the cache line away from the holder, and the line comes back later than the holder would have
/// unlocked. During the pause the holder may take the lock many times. After a few looks the thread
/// sleeps before it looks again: the holder was probably preempted, and needs the time slice. There is no
/// order among those that wait.
///
/// The book has figures for other locks (`docs/src/inside/performance.md`).
pub struct BriefLock<T>(BriefMutex<T>);

/// The steps of a pause: 1, 2, 4 and so on to 64 processor pauses, 383 in all.
const PAUSE_STEPS: usize = 11;

/// The number of looks before the thread sleeps.
const LOOKS: usize = 8;

impl<T> BriefLock<T> {
    pub fn new(value: T) -> Self {
        Self(BriefMutex::new(value))
    }

    #[inline]
    pub fn lock(&self) -> BriefGuard<'_, T> {
        match self.0.try_lock() {
            Some(guard) => guard,
            None => self.lock_slow(),
        }
    }

    /// Without waiting: `None` if another thread holds it.
    #[inline]
    pub fn try_lock(&self) -> Option<BriefGuard<'_, T>> {
        self.0.try_lock()
    }

    #[cold]
    fn lock_slow(&self) -> BriefGuard<'_, T> {
        for _ in 0..LOOKS {
            let backoff = Backoff::new();
            (0..PAUSE_STEPS).for_each(|_| backoff.spin());
            if let Some(guard) = self.0.try_lock() {
                return guard;
            }
        }
        lock_of_preempted(&self.0)
    }
}

impl<T: Default> Default for BriefLock<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}
