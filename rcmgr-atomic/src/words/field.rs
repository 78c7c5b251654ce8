//! A field of a packed word: how its bits are read and written.

/// A field of a word: its width in bits, and the number of bits to its right.
pub(super) struct Field {
    bits: u32,
    pub(super) at: u32,
}

impl Field {
    /// The number of bits from the lowest bit of the word to the highest bit of this field.
    pub(super) const fn end(&self) -> u32 {
        self.at + self.bits
    }

    pub(super) const fn right_of_all(bits: u32) -> Self {
        Self { bits, at: 0 }
    }

    pub(super) const fn left_of(self, bits: u32) -> Self {
        Self {
            bits,
            at: self.at + self.bits,
        }
    }

    pub(super) const fn max(&self) -> u64 {
        (1 << self.bits) - 1
    }

    #[inline]
    pub(super) const fn get(&self, word: u128) -> u64 {
        (word >> self.at) as u64 & self.max()
    }

    #[inline]
    pub(super) const fn of(&self, value: u64) -> u128 {
        debug_assert!(value <= self.max());
        (value as u128) << self.at
    }
}
