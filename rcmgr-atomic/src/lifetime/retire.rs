//! Values that end in two steps, because other threads may still read them after the first.
#![allow(unsafe_code)]

/// A value that ends in two steps. [`retire`](Self::retire) ends what the value stands for, such as
/// a use of a path, while other threads may still read the value.
/// [`into_retired`](Self::into_retired) consumes it later, when no other thread can read it.
///
/// # Safety
///
/// A retired value stays valid for reading until [`into_retired`](Self::into_retired) consumes it.
pub unsafe trait Retire {
    /// The rest of the value after it was retired.
    type Retired;

    /// Ends what the value stands for. Its memory stays.
    ///
    /// # Safety
    ///
    /// The caller calls it once, and never drops the value afterwards: it calls
    /// [`into_retired`](Self::into_retired) instead.
    unsafe fn retire(&self);

    /// The rest of the retired value.
    ///
    /// # Safety
    ///
    /// The value was retired.
    unsafe fn into_retired(self) -> Self::Retired;
}
