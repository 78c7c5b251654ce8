//! The word of a leaf: its memory, its path, and whether it is closed.

use super::field::Field;

/// The state of a leaf: `[closed: 1][stage: 2][has spans: 1][memory: 60]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeafWord(pub u64);

impl LeafWord {
    const MEMORY: Field = Field::right_of_all(60);
    const HAS_SPANS: Field = Self::MEMORY.left_of(1);
    const STAGE: Field = Self::HAS_SPANS.left_of(2);
    const CLOSED: Field = Self::STAGE.left_of(1);

    /// The most memory that a leaf can hold, in bytes.
    pub const MAX_MEMORY: u64 = Self::MEMORY.max();
    /// How many stages there are.
    pub const STAGES: usize = Self::STAGE.max() as usize + 1;
    /// The bit that says that the leaf is closed. The stage stays readable.
    pub const CLOSED_BIT: u64 = Self::CLOSED.of(1) as u64;

    /// Open, at the first stage, without memory.
    pub const OPENED: Self = Self(0);

    #[inline]
    pub fn is_closed(self) -> bool {
        self.0 & Self::CLOSED_BIT != 0
    }

    /// The stage: which of the paths of the leaf it is charged on.
    #[inline]
    pub fn stage(self) -> usize {
        Self::STAGE.get(self.0.into()) as usize
    }

    /// The memory held, in bytes. A closed leaf holds none: the thread that closed it took the
    /// amount that is still in the word.
    #[inline]
    pub fn memory(self) -> u64 {
        if self.is_closed() {
            0
        } else {
            Self::MEMORY.get(self.0.into())
        }
    }

    /// Whether some of the memory may belong to spans.
    #[inline]
    pub fn has_spans(self) -> bool {
        Self::HAS_SPANS.get(self.0.into()) != 0
    }

    /// The word of the same leaf once it has spans.
    #[must_use]
    pub fn with_spans(self) -> Self {
        Self(self.0 | Self::HAS_SPANS.of(1) as u64)
    }

    /// Whether the words differ in memory at most: the leaf is on the same path, and as open as
    /// before.
    #[inline]
    pub fn same_but_memory(self, other: Self) -> bool {
        const MASK: u64 = !LeafWord::MAX_MEMORY;
        self.0 & MASK == other.0 & MASK
    }

    /// The word with `amount` more memory. The caller knows that there is room.
    #[inline]
    #[must_use]
    pub fn more(self, amount: u64) -> Self {
        debug_assert!(!self.is_closed() && amount <= Self::MAX_MEMORY - self.memory());
        Self(self.0 + amount)
    }

    /// The word with `amount` less memory. The caller knows that it is there.
    #[inline]
    #[must_use]
    pub fn less(self, amount: u64) -> Self {
        debug_assert!(!self.is_closed() && amount <= self.memory());
        Self(self.0 - amount)
    }

    /// The word at the next stage.
    #[must_use]
    pub fn next_stage(self) -> Self {
        debug_assert!(self.stage() + 1 < Self::STAGES);
        Self(self.0 + Self::STAGE.of(1) as u64)
    }
}

const _: () = assert!(LeafWord::CLOSED.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_leaf_word_do_not_touch_each_other() {
        assert!(LeafWord::OPENED.same_but_memory(LeafWord::OPENED.more(LeafWord::MAX_MEMORY)));
        let word = LeafWord::OPENED
            .more(LeafWord::MAX_MEMORY)
            .next_stage()
            .next_stage();
        assert_eq!((word.memory(), word.stage()), (LeafWord::MAX_MEMORY, 2));
        assert!(!word.is_closed() && !word.has_spans());
        assert!(word.with_spans().has_spans() && word.with_spans().stage() == 2);
        assert_eq!(word.with_spans().memory(), LeafWord::MAX_MEMORY);
        let closed = LeafWord(word.0 | LeafWord::CLOSED_BIT);
        assert_eq!((closed.memory(), closed.stage()), (0, 2));
        assert!(closed.is_closed());
        assert!(!closed.same_but_memory(word) && !word.with_spans().same_but_memory(word));
        assert!(word.same_but_memory(word.less(LeafWord::MAX_MEMORY)));
        assert_eq!(word.less(LeafWord::MAX_MEMORY).memory(), 0);
    }
}
