//! The word of a shared value: its uses and its references.

use super::field::Field;

/// The counts of a shared value: `[uses: 28][entry: 2][open shards: 7][references: 27]`. Threads may count
/// uses in shards; each open shard counts here once.
///
/// Uses that begin under a lock are counted apart, and end here. So the count of uses wraps around: only
/// the sum of both means something. It is the highest field, so that no other one changes with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsesWord(pub u64);

/// Whether uses of a value begin in the entry where it is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// None began there yet.
    Unused,
    /// Some began there.
    Used,
    /// Some began there, and the value was removed: it has no use, and gets none again.
    Removed,
}

impl UsesWord {
    const REFERENCES: Field = Field::right_of_all(27);
    const SHARDS: Field = Self::REFERENCES.left_of(7);
    const ENTRY: Field = Self::SHARDS.left_of(2);
    const USES: Field = Self::ENTRY.left_of(28);

    /// One reference.
    pub const REFERENCE: u64 = Self::REFERENCES.of(1) as u64;
    /// One open shard.
    pub const SHARD: u64 = Self::SHARDS.of(1) as u64;
    /// The step from one state of the entry to the next.
    pub const NEXT_ENTRY_STATE: u64 = Self::ENTRY.of(1) as u64;
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

    #[inline]
    pub fn entry(self) -> EntryState {
        match Self::ENTRY.get(self.0.into()) {
            0 => EntryState::Unused,
            1 => EntryState::Used,
            _ => EntryState::Removed,
        }
    }

    #[inline]
    fn references(self) -> u64 {
        Self::REFERENCES.get(self.0.into())
    }

    /// Whether there is no use.
    #[inline]
    pub fn is_unused(self) -> bool {
        self.uses() == 0 && self.shards() == 0
    }

    /// Whether one reference is all that is left. Once uses have begun in the entry, this word alone does
    /// not say how many there are. So it returns false until the value is removed.
    #[inline]
    pub fn is_only_reference(self) -> bool {
        self.0 == Self::REFERENCE || self.entry() == EntryState::Removed && self.references() == 1
    }

    /// Whether there are so many uses that the next ones might overflow, if that many threads counted at
    /// once.
    #[inline]
    pub fn has_many_uses(self) -> bool {
        self.uses() > Self::USES.max() / 2
    }

    /// The same for references.
    #[inline]
    pub fn has_many_references(self) -> bool {
        self.references() > Self::REFERENCES.max() / 2
    }
}

const _: () = assert!(UsesWord::USES.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_is_high_from_half_of_the_most() {
        let half = UsesWord::USE * (UsesWord::MAX_USES / 2);
        assert!(!UsesWord(half).has_many_uses());
        assert!(UsesWord(half + UsesWord::USE).has_many_uses());
        let half = UsesWord::REFERENCE * (UsesWord::REFERENCES.max() / 2);
        assert!(!UsesWord(half).has_many_references());
        assert!(UsesWord(half + UsesWord::REFERENCE).has_many_references());
        let most = UsesWord::SHARDS.max();
        let shards = UsesWord(UsesWord::SHARD * most);
        assert!(!shards.has_many_uses() && !shards.is_unused());
        assert_eq!((shards.uses(), shards.shards()), (0, most));
    }

    #[test]
    fn a_use_that_began_elsewhere_ends_in_the_word_without_a_change_of_other_counts() {
        let one = UsesWord(UsesWord::REFERENCE);
        let ended = UsesWord(one.0.wrapping_sub(UsesWord::USE));
        assert_eq!((ended.references(), ended.shards()), (1, 0));
        assert_eq!(ended.0.wrapping_add(UsesWord::USE), one.0);
        assert_eq!(ended.entry(), EntryState::Unused);
        assert!(!ended.is_only_reference());
    }

    #[test]
    fn a_value_with_an_entry_has_an_only_reference_after_it_was_removed() {
        let used = UsesWord(UsesWord::REFERENCE + UsesWord::NEXT_ENTRY_STATE);
        assert_eq!(used.entry(), EntryState::Used);
        assert!(used.is_unused() && !used.is_only_reference());
        // A use began in the entry, and ended here.
        let removed = (used.0 + UsesWord::NEXT_ENTRY_STATE).wrapping_sub(UsesWord::USE);
        assert_eq!(UsesWord(removed).entry(), EntryState::Removed);
        assert!(UsesWord(removed).is_only_reference());
        assert!(!UsesWord(removed + UsesWord::REFERENCE).is_only_reference());
    }
}
