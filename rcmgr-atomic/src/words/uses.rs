//! The word of a shared value: its uses and its references.

use super::field::Field;

/// The counts of a shared value: `[uses: 29][open shards: 7][references: 28]`. Threads may count uses in
/// shards; each shard with uses counts here once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsesWord(pub u64);

impl UsesWord {
    const REFERENCES: Field = Field::right_of_all(28);
    const SHARDS: Field = Self::REFERENCES.left_of(7);
    const USES: Field = Self::SHARDS.left_of(29);

    /// One reference.
    pub const REFERENCE: u64 = Self::REFERENCES.of(1) as u64;
    /// One open shard.
    pub const SHARD: u64 = Self::SHARDS.of(1) as u64;
    /// One use, apart from those in shards.
    pub const USE: u64 = Self::USES.of(1) as u64;

    /// The largest number of uses that the word can count.
    pub const MAX_USES: u64 = Self::USES.max();

    /// The number of uses, apart from those in shards.
    #[inline]
    pub fn uses(self) -> u64 {
        Self::USES.get(self.0.into())
    }

    /// The number of shards with uses, or in which uses can begin.
    #[inline]
    pub fn shards(self) -> u64 {
        Self::SHARDS.get(self.0.into())
    }

    /// Whether there is no use.
    #[inline]
    pub fn is_unused(self) -> bool {
        self.0 < Self::SHARD
    }

    /// Whether a count is so large that the next ones might overflow, if that many threads counted at
    /// once.
    #[inline]
    pub fn is_nearly_full(self) -> bool {
        const HIGHEST: u64 = 1 << (UsesWord::USES.end() - 1) | 1 << (UsesWord::SHARDS.at - 1);
        self.0 & HIGHEST != 0
    }
}

const _: () = assert!(UsesWord::USES.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_nearly_full_when_a_count_is_half_of_the_most() {
        let half = UsesWord::USE * (UsesWord::MAX_USES / 2);
        assert!(!UsesWord(half).is_nearly_full());
        assert!(UsesWord(half + UsesWord::USE).is_nearly_full());
        let half = UsesWord::REFERENCE * (UsesWord::REFERENCES.max() / 2);
        assert!(!UsesWord(half).is_nearly_full());
        assert!(UsesWord(half + UsesWord::REFERENCE).is_nearly_full());
        let most = UsesWord::SHARDS.max();
        let shards = UsesWord(UsesWord::SHARD * most);
        assert!(!shards.is_nearly_full() && !shards.is_unused());
        assert_eq!((shards.uses(), shards.shards()), (0, most));
    }
}
