//! The word of a span: its memory, and whether it is closed.

use super::field::Field;

/// The state of a span: `[closed: 1][has spans: 1][memory: 62]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanWord(pub u64);

impl SpanWord {
    const MEMORY: Field = Field::right_of_all(62);
    const HAS_SPANS: Field = Self::MEMORY.left_of(1);
    const CLOSED: Field = Self::HAS_SPANS.left_of(1);

    /// The most memory that a span can hold, in bytes.
    pub const MAX_MEMORY: u64 = Self::MEMORY.max();
    /// Open, without memory.
    pub const OPENED: Self = Self(0);
    /// Closed, without memory.
    pub const CLOSED_EMPTY: Self = Self(Self::CLOSED.of(1) as u64);

    #[inline]
    pub fn is_closed(self) -> bool {
        self.0 & Self::CLOSED_EMPTY.0 != 0
    }

    /// The memory held, in bytes.
    #[inline]
    pub fn memory(self) -> u64 {
        Self::MEMORY.get(self.0.into())
    }

    /// Whether some of the memory may belong to spans of this span.
    #[inline]
    pub fn has_spans(self) -> bool {
        Self::HAS_SPANS.get(self.0.into()) != 0
    }

    /// The word of the same span once it has spans of its own.
    #[must_use]
    pub fn with_spans(self) -> Self {
        Self(self.0 | Self::HAS_SPANS.of(1) as u64)
    }

    /// The word with this amount of memory.
    #[inline]
    #[must_use]
    pub fn with_memory(self, memory: u64) -> Self {
        Self(self.0 & !Self::MAX_MEMORY | Self::MEMORY.of(memory) as u64)
    }
}

const _: () = assert!(SpanWord::CLOSED.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_span_word_do_not_touch_each_other() {
        let word = SpanWord::OPENED.with_memory(SpanWord::MAX_MEMORY);
        assert_eq!(word.memory(), SpanWord::MAX_MEMORY);
        assert!(!word.is_closed() && !word.has_spans());
        assert!(SpanWord::CLOSED_EMPTY.is_closed());
        let shared = SpanWord::OPENED.with_spans();
        assert!(shared.has_spans() && !shared.is_closed());
        assert_eq!(shared.memory(), 0);
    }
}
