//! Values that end in two steps, because other threads may still read them after the first.
#![allow(unsafe_code)]

/// A value that ends in two steps. [`retire`](Self::retire) ends what the value stands for, such as
/// a use of a path, while other threads may still read the value.
/// [`into_retired`](Self::into_retired) consumes it later, when no other thread can read it.
///
/// # Safety
///
/// A retired value stays valid for reading until [`into_retired`](Self::into_retired) consumes it.
pub unsafe trait Retire: Sized {
    /// The part that threads read. It ends nothing when it is dropped.
    type Seen;

    /// The rest of the value after it was retired.
    type Retired;

    /// Takes the value apart: the part that threads read, and a small number that says how the value
    /// ends.
    fn split(self) -> (Self::Seen, u8);

    /// The value again.
    ///
    /// # Safety
    ///
    /// Both parts are of one value, and the caller uses neither again.
    unsafe fn whole(seen: Self::Seen, tag: u8) -> Self;

    /// The tag of a value whose stage was reached, and whether the value of the stage before ended when
    /// it was.
    #[inline]
    fn reached(tag: u8) -> (u8, bool) {
        (tag, false)
    }

    /// Ends what the value stands for. Its memory stays.
    ///
    /// # Safety
    ///
    /// Both parts are of one value. The caller calls it once, and never calls
    /// [`whole`](Self::whole) afterwards: it calls [`into_retired`](Self::into_retired) instead.
    unsafe fn retire(seen: &Self::Seen, tag: u8);

    /// The rest of the retired value.
    ///
    /// # Safety
    ///
    /// The value was retired, and the caller uses neither part again.
    unsafe fn into_retired(seen: Self::Seen, tag: u8) -> Self::Retired;
}
