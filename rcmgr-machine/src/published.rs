//! A stand-in for `ArcSwap`.

use std::panic::Location;
use std::sync::Arc;

use crate::line::Access;
use crate::run::{access, spend};
use crate::time::Time;

/// A value that is read often and replaced rarely, as a whole.
#[derive(Debug)]
pub struct ArcSwap<T>(parking_lot::Mutex<Arc<T>>);

impl<T> ArcSwap<T> {
    /// A new value.
    pub fn from_pointee(value: T) -> Self {
        Self(parking_lot::Mutex::new(Arc::new(value)))
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The value. The read writes a line of its thread twice, and none that threads share.
    #[track_caller]
    pub fn load(&self) -> Arc<T> {
        access(self.address(), Access::Load, Location::caller());
        spend(|machine| Time::from_ns(machine.ns.update) * 2);
        self.0.lock().clone()
    }

    /// The value, to keep. The count of its references changes.
    #[track_caller]
    pub fn load_full(&self) -> Arc<T> {
        access(self.address(), Access::Load, Location::caller());
        let value = self.0.lock().clone();
        let count = Arc::as_ptr(&value).addr();
        access(count, Access::Update, Location::caller());
        value
    }

    /// Replaces the value.
    #[track_caller]
    pub fn store(&self, value: Arc<T>) {
        access(self.address(), Access::Update, Location::caller());
        // The old value is dropped outside of the lock.
        let old = std::mem::replace(&mut *self.0.lock(), value);
        drop(old);
    }
}
