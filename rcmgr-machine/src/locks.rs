//! Stand-ins for the mutexes of `parking_lot` and `spin`, and for the backoff of `crossbeam`.

use std::cell::Cell;
use std::fmt;
use std::hint::spin_loop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use crate::line::Access;
use crate::memory::LINE;
use crate::run::{
    access, access_at_once, access_to_unlock, current_core, load_with_the_last, park, spend, unpark,
};
use crate::time::Time;
use crate::work::Clock;

/// A mutex that does what that of `parking_lot` does: it takes a byte, spins for a short time, gives
/// the processor up some times, and then waits in a queue.
///
/// The value has lines, too. The core that takes the lock reads and writes them all. If another core had the lock
/// before, they come from there, together with that of the lock. What the value points to is not counted.
///
/// The thread that unlocks wakes the first one of the queue. The lock itself is free for the first
/// one that takes it. (That of `parking_lot` hands the lock over once in about half a millisecond.)
#[derive(Default)]
pub struct Mutex<T: ?Sized>(parking_lot::Mutex<T>);

/// A stand-in for the mutex of `spin`. A plain store unlocks it. Nobody waits in a queue. The value has lines, as that
/// of a [`Mutex`].
#[derive(Debug, Default)]
pub struct SpinMutex<T>(Mutex<T>);

/// The right to use the value of a [`Mutex`] or [`SpinMutex`].
pub struct MutexGuard<'a, T: ?Sized> {
    address: usize,
    unlock: Unlock,
    /// Where the lock was taken.
    site: &'static Location<'static>,
    /// Taken out when this is dropped.
    guard: Option<parking_lot::MutexGuard<'a, T>>,
}

/// What unlocks a mutex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unlock {
    /// A locked operation, which sees whether another thread waits in the queue.
    Wake,
    /// A plain store.
    Store,
}

/// The rounds of spinning that only pause, and all rounds.
const PAUSES: u32 = 3;
const ROUNDS: u32 = 10;

impl<T> Mutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self(parking_lot::Mutex::new(value))
    }

    /// The value.
    pub fn into_inner(self) -> T {
        self.0.into_inner()
    }
}

impl<T: ?Sized> Mutex<T> {
    /// The value, which no other thread can reach.
    pub fn get_mut(&mut self) -> &mut T {
        self.0.get_mut()
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).cast::<()>().addr()
    }

    #[track_caller]
    fn guard<'a>(&self, guard: parking_lot::MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        let site = Location::caller();
        // The core asks for the lines of the value when it asks for that of the lock, and waits for them.
        for line in self.lines_of_value() {
            load_with_the_last(line, site);
        }
        for line in self.lines_of_value() {
            access_at_once(line, Access::Store, site);
        }
        MutexGuard {
            address: self.address(),
            unlock: Unlock::Wake,
            site,
            guard: Some(guard),
        }
    }

    /// An address every 64 bytes of the value, without the first, which is that of the lock. Their number does
    /// not depend on the address of the value, so that runs are the same.
    fn lines_of_value(&self) -> impl Iterator<Item = usize> + use<T> {
        let begin = self.address();
        let end = begin + size_of_val(self);
        (begin..end).step_by(LINE).skip(1)
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        access(self.address(), Access::Update, Location::caller());
        let guard = self.0.try_lock()?;
        Some(self.guard(guard))
    }

    /// Takes the lock, and waits for it.
    #[track_caller]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        if current_core().is_none() {
            return self.guard(self.0.lock());
        }
        let site = Location::caller();
        let mut rounds = 0;
        access(self.address(), Access::Update, site);
        loop {
            if let Some(guard) = self.0.try_lock() {
                return self.guard(guard);
            }
            // Look again until it is free.
            while rounds < ROUNDS && self.0.is_locked() {
                rounds += 1;
                spend(|machine| match rounds {
                    ..=PAUSES => Time::from_ns(machine.ns.pause) * (1 << rounds),
                    _ => Time::from_ns(machine.ns.yield_now),
                });
                access_at_once(self.address(), Access::Load, site);
            }
            if self.0.is_locked() {
                // Say in the lock that there is a queue. Between this and the look no other core runs.
                access_at_once(self.address(), Access::Update, site);
                if self.0.is_locked() {
                    park(self.address());
                    rounds = 0;
                }
            }
            access_at_once(self.address(), Access::Update, site);
        }
    }
}

impl<T> SpinMutex<T> {
    /// An unlocked mutex.
    pub const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    /// Takes the lock if it is free.
    #[track_caller]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let mut guard = self.0.try_lock()?;
        guard.unlock = Unlock::Store;
        Some(guard)
    }
}

impl<T: ?Sized> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("it is there until the drop")
    }
}

impl<T: ?Sized> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("it is there until the drop")
    }
}

impl<T: ?Sized> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        let kind = match self.unlock {
            Unlock::Wake => Access::Update,
            Unlock::Store => Access::Store,
        };
        access_to_unlock(self.address, kind, self.site);
        drop(self.guard.take());
        if self.unlock == Unlock::Wake {
            unpark(self.address);
        }
        Clock::resume();
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for MutexGuard<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Pauses that grow from one to the next, as those of `crossbeam`.
#[derive(Debug, Default)]
pub struct Backoff(Cell<u32>);

/// The step after which pauses no longer grow.
const LONGEST: u32 = 6;

impl Backoff {
    /// The first pause is one processor pause.
    pub const fn new() -> Self {
        Self(Cell::new(0))
    }

    /// Pauses, twice as long as the last time, up to 64 processor pauses.
    pub fn spin(&self) {
        let pauses = 1 << self.0.get().min(LONGEST);
        if !spend(|machine| Time::from_ns(machine.ns.pause) * pauses) {
            (0..pauses).for_each(|_| spin_loop());
        }
        self.0.set((self.0.get() + 1).min(LONGEST + 1));
    }
}
