//! Stand-ins for cells that are set once.

use std::fmt;
use std::panic::Location;

use crate::line::Access;
use crate::run::access;

/// A value that is set once.
pub struct OnceLock<T>(std::sync::OnceLock<T>);

impl<T> OnceLock<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self(std::sync::OnceLock::new())
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// The value, if it is set.
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        access(self.address(), Access::Load, Location::caller());
        self.0.get()
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// The new value, if there is one already.
    #[track_caller]
    pub fn set(&self, value: T) -> Result<(), T> {
        access(self.address(), Access::Update, Location::caller());
        self.0.set(value)
    }

    /// The value, which no other thread can reach.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.0.get_mut()
    }
}

impl<T> Default for OnceLock<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A value in a box that is set once. Threads may make values at the same time; the first is kept.
pub struct OnceBox<T>(OnceLock<Box<T>>);

impl<T> OnceBox<T> {
    /// An empty cell.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The value, if it is set.
    #[track_caller]
    pub fn get(&self) -> Option<&T> {
        self.0.get().map(|value| &**value)
    }

    /// Sets the value.
    ///
    /// # Errors
    ///
    /// The new value, if there is one already.
    #[track_caller]
    pub fn set(&self, value: Box<T>) -> Result<(), Box<T>> {
        self.0.set(value)
    }

    /// The value, which is made if there is none.
    #[track_caller]
    pub fn get_or_init(&self, make: impl FnOnce() -> Box<T>) -> &T {
        if let Some(value) = self.get() {
            return value;
        }
        // Another core may run while this one makes a value. Then that of the other may be kept.
        let _ = self.set(make());
        self.get().expect("it was set")
    }
}

impl<T> Default for OnceBox<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: fmt::Debug> fmt::Debug for OnceBox<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
