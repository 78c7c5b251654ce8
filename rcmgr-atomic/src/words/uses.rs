//! The word of a shared value: its uses and its references.

use super::field::Field;

/// The counts of a shared value: `[uses: 32][references: 32]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsesWord(pub u64);

impl UsesWord {
    const REFERENCES: Field = Field::right_of_all(32);
    const USES: Field = Self::REFERENCES.left_of(32);

    /// One reference.
    pub const REFERENCE: u64 = Self::REFERENCES.of(1) as u64;
    /// One use.
    pub const USE: u64 = Self::USES.of(1) as u64;

    /// The largest number of uses that the word can count.
    pub const MAX_USES: u64 = Self::USES.max();

    /// The number of uses.
    #[inline]
    pub fn uses(self) -> u64 {
        Self::USES.get(self.0.into())
    }
}

const _: () = assert!(UsesWord::USES.end() == u64::BITS);
