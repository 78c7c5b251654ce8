//! A stand-in for `Arc`.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc as Real;

use crate::announced::{allocated, name_memory};
use crate::atomics::{AtomicU64, Ordering};
use crate::work::Clock;

/// A shared value. The count of its references lies just before it, so it often shares a line with the value.
///
/// The value is [announced](crate::allocated). The real `Arc` inside keeps and frees it. The count here orders nothing: it
/// only takes time, with the orderings of the real one.
pub struct Arc<T>(Real<Counted<T>>);

#[repr(C)]
struct Counted<T> {
    count: AtomicU64,
    value: T,
}

impl<T> Arc<T> {
    /// A shared value.
    pub fn new(value: T) -> Self {
        let counted = Real::new(Counted {
            count: AtomicU64::new(1),
            value,
        });
        allocated(&*counted);
        Self(counted)
    }

    /// Names the memory of the value, for [`Outcome::hottest`](crate::Outcome::hottest).
    pub fn name_memory(this: &Self, name: impl FnOnce() -> String) {
        name_memory(&*this.0, name);
    }

    /// Whether both are the same value.
    pub fn ptr_eq(this: &Self, other: &Self) -> bool {
        Real::ptr_eq(&this.0, &other.0)
    }
}

impl<T> Clone for Arc<T> {
    #[track_caller]
    fn clone(&self) -> Self {
        self.0.count.fetch_add(1, Ordering::Relaxed);
        let reference = Self(self.0.clone());
        // Only one of the two counts is on the real machine, and its time is that of an access.
        Clock::resume();
        reference
    }
}

impl<T> Drop for Arc<T> {
    fn drop(&mut self) {
        self.0.count.fetch_sub(1, Ordering::Release);
    }
}

impl<T> Deref for Arc<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Arc<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
