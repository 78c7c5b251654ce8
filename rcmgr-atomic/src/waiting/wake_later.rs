//! Wake-ups that are put off while a thread holds a lock.
//!
//! A waker is code of the user. It may run the task at once, and the task may do anything with the
//! manager. So no lock may be held then. A thread that may make room while it holds a lock puts off
//! its wake-ups until it has unlocked.

use std::cell::RefCell;
use std::task::Waker;

use crate::sync::{IS_MODEL, call_user_code};

thread_local! {
    /// The tasks that this thread wakes later. `None` if it wakes them at once.
    static LATER: RefCell<Option<Vec<Waker>>> = const { RefCell::new(None) };
}

/// Puts off the wake-ups of this thread until it is dropped. Declare it before the lock, so that it
/// is dropped after it.
#[must_use = "it puts wake-ups off until it is dropped"]
pub struct WakeLater {
    /// The one inside of another leaves the wake-ups to that: then this is zero, otherwise one. It is
    /// as wide as a pointer, because it is moved together with pointers. The compiler copies a byte
    /// and its padding in overlapping parts, and reading such a part back stalls the processor.
    is_outermost: usize,
}

impl WakeLater {
    #[inline]
    pub fn begin() -> Self {
        let begin = |later: &RefCell<Option<Vec<Waker>>>| {
            let mut later = later.borrow_mut();
            let is_outermost = usize::from(later.is_none());
            later.get_or_insert_default();
            is_outermost
        };
        // All threads of a model are one thread of the operating system, and no waker there runs a
        // task.
        if IS_MODEL {
            let is_outermost = 0;
            return Self { is_outermost };
        }
        // A thread that ends has no list any longer: it wakes at once.
        let is_outermost = LATER.try_with(begin).unwrap_or(0);
        Self { is_outermost }
    }
}

impl Drop for WakeLater {
    #[inline]
    fn drop(&mut self) {
        if self.is_outermost != 0 {
            let later = LATER.try_with(|later| later.borrow_mut().take());
            let wakers = later.ok().flatten().unwrap_or_default();
            wakers.into_iter().for_each(wake_now);
        }
    }
}

/// Wakes a task: at once, or when this thread has unlocked.
pub fn wake_outside_of_locks(waker: Waker) {
    let mut waker = Some(waker);
    // If there is no list, the waker stays where it is.
    let _ = LATER.try_with(|later| {
        if let Some(later) = &mut *later.borrow_mut() {
            later.extend(waker.take());
        }
    });
    if let Some(waker) = waker {
        wake_now(waker);
    }
}

fn wake_now(waker: Waker) {
    call_user_code(|| waker.wake());
}
