//! Wake-ups that are put off while a thread holds a lock.
//!
//! A waker is code of the user. It may run the task at once, and the task may do anything with the
//! manager. So no lock may be held then. A thread that may make room while it holds a lock puts off
//! its wake-ups until it has unlocked.

use std::cell::{Cell, RefCell};
use std::marker::PhantomData;
use std::task::Waker;

use crate::sync::{IS_MODEL, call_user_code};

thread_local! {
    /// What this thread does with wake-ups.
    static NOW: Cell<Wakes> = const { Cell::new(Wakes { locks: 0, are_put_off: false }) };
    /// The tasks that this thread wakes later.
    static LATER: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// What a thread does with wake-ups. It has no destructor, so that access to it is fast.
#[derive(Clone, Copy)]
struct Wakes {
    /// How many locks it holds under which no task may be woken.
    locks: u32,
    are_put_off: bool,
}

/// Puts off the wake-ups of this thread until it is dropped. Declare it before the lock, so that it
/// is dropped after it. The one inside of another leaves the wake-ups to that.
#[must_use = "it puts wake-ups off until it is dropped"]
pub struct WakeLater {
    of_this_thread: PhantomData<*const ()>,
}

impl WakeLater {
    #[inline]
    pub fn begin() -> Self {
        let of_this_thread = PhantomData;
        // All threads of a model are one thread of the operating system, and no waker there runs a
        // task.
        if IS_MODEL {
            return Self { of_this_thread };
        }
        let now = NOW.get();
        let locks = now.locks + 1;
        NOW.set(Wakes { locks, ..now });
        Self { of_this_thread }
    }
}

impl Drop for WakeLater {
    #[inline]
    fn drop(&mut self) {
        if IS_MODEL {
            return;
        }
        let now = NOW.get();
        let locks = now.locks - 1;
        NOW.set(Wakes { locks, ..now });
        if locks == 0 && now.are_put_off {
            wake_all();
        }
    }
}

/// Wakes the tasks whose wake-ups this thread has put off.
#[cold]
fn wake_all() {
    NOW.set(Wakes {
        locks: 0,
        are_put_off: false,
    });
    let later = LATER.try_with(RefCell::take);
    later.unwrap_or_default().into_iter().for_each(wake_now);
}

/// Wakes a task: at once, or when this thread has unlocked.
pub fn wake_outside_of_locks(waker: Waker) {
    let mut waker = Some(waker);
    let now = NOW.get();
    if now.locks > 0 {
        // A thread that ends has no list any longer: the waker stays where it is.
        let _ = LATER.try_with(|later| later.borrow_mut().extend(waker.take()));
        let are_put_off = true;
        NOW.set(Wakes { are_put_off, ..now });
    }
    if let Some(waker) = waker {
        wake_now(waker);
    }
}

fn wake_now(waker: Waker) {
    call_user_code(|| waker.wake());
}
