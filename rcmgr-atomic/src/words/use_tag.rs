//! How a use ends: a small number beside it.

/// Where a use is counted, and whether a use of the value before was handed over with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UseTag(pub u8);

impl UseTag {
    /// In the word of the value, or in its entry.
    pub const IN_WORD: Self = Self(0);
    const HANDED_OVER: u8 = 128;

    /// In the shard of this number, below 64.
    pub fn in_shard(shard: usize) -> Self {
        Self(shard as u8 + 1)
    }

    /// The number of the shard. `None` if it is not counted in one.
    #[inline]
    pub fn shard(self) -> Option<usize> {
        usize::from(self.alone().0).checked_sub(1)
    }

    /// The tag of the same use, with which one of the value before was handed over.
    #[must_use]
    pub fn with_handed_over(self) -> Self {
        Self(self.0 | Self::HANDED_OVER)
    }

    #[inline]
    pub fn has_handed_over(self) -> bool {
        self.0 & Self::HANDED_OVER != 0
    }

    /// The tag of the same use without that.
    #[inline]
    #[must_use]
    pub fn alone(self) -> Self {
        Self(self.0 & !Self::HANDED_OVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_keeps_its_shard_when_a_use_is_handed_over() {
        for tag in [UseTag::IN_WORD, UseTag::in_shard(0), UseTag::in_shard(63)] {
            let both = tag.with_handed_over();
            assert!(both.has_handed_over() && !tag.has_handed_over());
            assert_eq!((both.alone(), both.shard()), (tag, tag.shard()));
        }
        assert_eq!(UseTag::in_shard(63).shard(), Some(63));
        assert_eq!(UseTag::IN_WORD.shard(), None);
    }
}
