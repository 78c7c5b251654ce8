use std::fmt;
use std::ops::Deref;

use crate::{Priority, ResourceScope, Result};

/// Memory reserved on a scope, given back when this is dropped.
///
/// `S` is what refers to the scope: a borrow, as [`ResourceScope::reserve`] gives it, or an
/// [`Arc`](std::sync::Arc) for a guard that is kept elsewhere.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_core::{KIB, MemoryGuard, NullScope, Priority};
///
/// let scope = Arc::new(NullScope);
/// let held = MemoryGuard::new(scope.clone(), 4 * KIB, Priority::Always)?;
/// std::thread::spawn(move || drop(held)).join().unwrap();
/// # Ok::<(), rcmgr_core::Error>(())
/// ```
#[must_use = "the memory is given back when this is dropped"]
pub struct MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    scope: S,
    size: u64,
}

impl<S> MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    /// Reserves `size` bytes on `scope`.
    ///
    /// # Errors
    ///
    /// As [`ResourceScope::reserve_memory`].
    #[inline]
    pub fn new(scope: S, size: u64, priority: Priority) -> Result<Self> {
        scope.reserve_memory(size, priority)?;
        Ok(Self { scope, size })
    }

    /// How much is held, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reserves `more` bytes in addition.
    ///
    /// # Errors
    ///
    /// As [`ResourceScope::reserve_memory`]; what was held is held still.
    pub fn grow(&mut self, more: u64, priority: Priority) -> Result<()> {
        self.scope.reserve_memory(more, priority)?;
        // A scope that counts holds no more than a counter does; the null scope grants anything.
        self.size = self.size.saturating_add(more);
        Ok(())
    }

    /// Gives back all but `size` bytes; holding less already, it does nothing.
    pub fn shrink_to(&mut self, size: u64) {
        let excess = self.size.saturating_sub(size);
        if excess > 0 {
            self.size = size;
            self.scope.release_memory(excess);
        }
    }
}

impl<S> Drop for MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    #[inline]
    fn drop(&mut self) {
        self.scope.release_memory(self.size);
    }
}

impl<S> fmt::Debug for MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryGuard")
            .field("scope", &self.scope.name().to_string())
            .field("size", &self.size)
            .finish()
    }
}
