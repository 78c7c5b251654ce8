//! Amounts of memory, from the integer types that programs use.

/// An amount of memory in bytes: a `u64`, a `usize` such as the length of a buffer, a `u32`, or a
/// literal without a suffix.
///
/// ```
/// use rcmgr_core::Amount;
///
/// let buffer = [0_u8; 512];
/// assert_eq!(buffer.len().bytes(), 512);
/// assert_eq!(4096.bytes(), 4096); // a literal without a suffix is an `i32`
/// assert_eq!((-1).bytes(), u64::MAX); // more than any scope can hold
/// ```
pub trait Amount: Copy {
    /// The number of bytes. A negative number becomes `u64::MAX`, which every scope refuses.
    fn bytes(self) -> u64;
}

impl Amount for u64 {
    #[inline]
    fn bytes(self) -> u64 {
        self
    }
}

impl Amount for u32 {
    #[inline]
    fn bytes(self) -> u64 {
        self.into()
    }
}

impl Amount for usize {
    #[inline]
    fn bytes(self) -> u64 {
        // No target has a `usize` of more than 64 bits.
        self as u64
    }
}

impl Amount for i32 {
    #[inline]
    fn bytes(self) -> u64 {
        u64::try_from(self).unwrap_or(u64::MAX)
    }
}
