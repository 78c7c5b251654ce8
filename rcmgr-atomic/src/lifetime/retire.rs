//! What can be given up while other threads still look at it.
#![allow(unsafe_code)]

/// What can be given up while other threads still look at it.
///
/// # Safety
///
/// A retired value stays valid for reading until [`into_retired`](Self::into_retired) consumes it.
pub unsafe trait Retire {
    /// What remains of it.
    type Retired;

    /// Gives it up, except for its memory.
    ///
    /// # Safety
    ///
    /// The caller calls it once, and never drops the value afterwards: it calls
    /// [`into_retired`](Self::into_retired) instead.
    unsafe fn retire(&self);

    /// What remains of it.
    ///
    /// # Safety
    ///
    /// The value was retired.
    unsafe fn into_retired(self) -> Self::Retired;
}
