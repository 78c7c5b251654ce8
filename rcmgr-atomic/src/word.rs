//! Words: one integer with named fields in fixed bits, so that one atomic step reads or changes
//! all of them together. Bits are shifted in this file alone.

use rcmgr_core::{Direction, UsesFd};

/// A field of a word: its width, and the bits to its right.
struct Field {
    bits: u32,
    at: u32,
}

impl Field {
    const fn right_of_all(bits: u32) -> Self {
        Self { bits, at: 0 }
    }

    const fn left_of(self, bits: u32) -> Self {
        Self {
            bits,
            at: self.at + self.bits,
        }
    }

    const fn max(&self) -> u64 {
        (1 << self.bits) - 1
    }

    #[inline]
    const fn get(&self, word: u128) -> u64 {
        (word >> self.at) as u64 & self.max()
    }

    #[inline]
    const fn of(&self, value: u64) -> u128 {
        debug_assert!(value <= self.max());
        (value as u128) << self.at
    }
}

/// What a leaf holds and where it stands: `[connection: 1][closed: 1][stage: 2][shared: 1][memory: 59]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LeafWord(pub(crate) u64);

impl LeafWord {
    const MEMORY: Field = Field::right_of_all(59);
    const SHARED: Field = Self::MEMORY.left_of(1);
    const STAGE: Field = Self::SHARED.left_of(2);
    const CLOSED: Field = Self::STAGE.left_of(1);
    const CONNECTION: Field = Self::CLOSED.left_of(1);

    /// The most memory that a leaf can hold, in bytes.
    pub const MAX_MEMORY: u64 = Self::MEMORY.max();
    /// How many stages there are.
    pub const STAGES: usize = Self::STAGE.max() as usize + 1;
    /// Set in a word, it is closed; the stage stays readable.
    pub const CLOSED_BIT: u64 = Self::CLOSED.of(1) as u64;

    /// A stream: open, at the first stage, without memory.
    pub const STREAM: Self = Self(0);
    /// The same for a connection.
    pub const CONN: Self = Self(Self::CONNECTION.of(1) as u64);

    /// Whether it is a connection's.
    #[inline]
    pub fn is_connection(self) -> bool {
        self.0 & Self::CONN.0 != 0
    }

    #[inline]
    pub fn is_closed(self) -> bool {
        self.0 & Self::CLOSED_BIT != 0
    }

    /// Which of the leaf's paths it is charged on.
    #[inline]
    pub fn stage(self) -> usize {
        Self::STAGE.get(self.0.into()) as usize
    }

    /// The memory held, in bytes. Closed, a leaf holds none: closing took what is still written.
    #[inline]
    pub fn memory(self) -> u64 {
        if self.is_closed() {
            0
        } else {
            Self::MEMORY.get(self.0.into())
        }
    }

    /// Whether some of the memory may be that of spans.
    #[inline]
    pub fn is_shared(self) -> bool {
        Self::SHARED.get(self.0.into()) != 0
    }

    #[must_use]
    pub fn shared(self) -> Self {
        Self(self.0 | Self::SHARED.of(1) as u64)
    }

    /// Whether the words are the same but for memory: open, on the same path.
    #[inline]
    pub fn same_but_memory(self, other: Self) -> bool {
        const MASK: u64 = !LeafWord::MAX_MEMORY;
        self.0 & MASK == other.0 & MASK
    }

    /// The same with so much more memory, for which there is room.
    #[inline]
    #[must_use]
    pub fn more(self, amount: u64) -> Self {
        debug_assert!(!self.is_closed() && amount <= Self::MAX_MEMORY - self.memory());
        Self(self.0 + amount)
    }

    /// The same with so much less memory, which is there.
    #[inline]
    #[must_use]
    pub fn less(self, amount: u64) -> Self {
        debug_assert!(!self.is_closed() && amount <= self.memory());
        Self(self.0 - amount)
    }

    #[must_use]
    pub fn next_stage(self) -> Self {
        debug_assert!(self.stage() + 1 < Self::STAGES);
        Self(self.0 + Self::STAGE.of(1) as u64)
    }
}

/// One stock of a path's credit: `[state: 2][edition: 32][most: 5][amount: 25]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockWord(pub u64);

/// What may be done with a stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockState {
    /// The path does not lend: nothing.
    Idle,
    /// It may be opened.
    Drained,
    /// It may be filled, and credit be taken from it and put back.
    Open,
}

impl StockWord {
    const AMOUNT: Field = Field::right_of_all(25);
    /// A power of two, as its logarithm.
    const MOST: Field = Self::AMOUNT.left_of(5);
    const EDITION: Field = Self::MOST.left_of(32);
    const STATE: Field = Self::EDITION.left_of(2);

    /// The most that any stock can hold.
    pub const MAX_MOST: u64 = Self::AMOUNT.max() / 2 + 1;
    /// After so many editions a number comes again.
    pub const EDITIONS: u64 = Self::EDITION.max() + 1;
    pub const IDLE: Self = Self(0);
    pub const DRAINED: Self = Self(Self::STATE.of(1) as u64);

    /// Open, for at most `most`, a power of two, with credit that is good under the edition of this
    /// number.
    pub fn open(edition: u64, most: u64, amount: u64) -> Self {
        debug_assert!(most.is_power_of_two() && amount <= most);
        let most = Self::MOST.of(most.ilog2().into());
        Self((Self::STATE.of(2) | Self::edition(edition) | most | Self::AMOUNT.of(amount)) as u64)
    }

    #[inline]
    fn edition(number: u64) -> u128 {
        Self::EDITION.of(number & Self::EDITION.max())
    }

    #[inline]
    pub fn state(self) -> StockState {
        match Self::STATE.get(self.0.into()) {
            0 => StockState::Idle,
            1 => StockState::Drained,
            _ => StockState::Open,
        }
    }

    #[inline]
    pub fn amount(self) -> u64 {
        Self::AMOUNT.get(self.0.into())
    }

    /// How much it may hold.
    #[inline]
    pub fn most(self) -> u64 {
        match self.state() {
            StockState::Open => 1 << Self::MOST.get(self.0.into()),
            StockState::Idle | StockState::Drained => 0,
        }
    }

    /// Whether it is open with credit that is good under the edition of this number.
    #[inline]
    pub fn is_good_under(self, edition: u64) -> bool {
        let open = (Self::STATE.of(2) | Self::edition(edition)) as u64;
        (self.0 ^ open) >> Self::EDITION.at == 0
    }

    /// What it is with `amount` less, if it is open, of the edition of this number, and has as much.
    #[inline]
    pub fn less(self, edition: u64, amount: u64) -> Option<Self> {
        let may = self.is_good_under(edition) && amount <= self.amount();
        may.then(|| Self(self.0 - amount))
    }

    /// What it is with `amount` more, if it is open and may hold that.
    #[inline]
    pub fn more(self, amount: u64) -> Option<Self> {
        let may = self.state() == StockState::Open && amount <= self.most() - self.amount();
        may.then(|| Self(self.0 + amount))
    }
}

/// Who has a shared thing: `[users: 32][references: 32]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UsersWord(pub u64);

impl UsersWord {
    const REFERENCES: Field = Field::right_of_all(32);
    const USERS: Field = Self::REFERENCES.left_of(32);

    /// One reference.
    pub const REFERENCE: u64 = Self::REFERENCES.of(1) as u64;
    /// One user.
    pub const USER: u64 = Self::USERS.of(1) as u64;

    #[inline]
    pub fn users(self) -> u64 {
        Self::USERS.get(self.0.into())
    }
}

/// What a span holds: `[closed: 1][shared: 1][memory: 62]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SpanWord(pub u64);

impl SpanWord {
    const MEMORY: Field = Field::right_of_all(62);
    const SHARED: Field = Self::MEMORY.left_of(1);
    const CLOSED: Field = Self::SHARED.left_of(1);

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

    /// Whether some of the memory may be that of spans of it.
    #[inline]
    pub fn is_shared(self) -> bool {
        Self::SHARED.get(self.0.into()) != 0
    }

    #[must_use]
    pub fn shared(self) -> Self {
        Self(self.0 | Self::SHARED.of(1) as u64)
    }

    #[inline]
    #[must_use]
    pub fn with_memory(self, memory: u64) -> Self {
        Self(self.0 & !Self::MAX_MEMORY | Self::MEMORY.of(memory) as u64)
    }
}

/// Streams by direction: `[outbound: 32][inbound: 32]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct StreamsWord(pub u64);

impl StreamsWord {
    const INBOUND: Field = Field::right_of_all(32);
    const OUTBOUND: Field = Self::INBOUND.left_of(32);

    /// The most streams that can be counted in a direction.
    pub const MAX: u64 = Self::INBOUND.max();

    #[inline]
    const fn field(direction: Direction) -> Field {
        match direction {
            Direction::Inbound => Self::INBOUND,
            Direction::Outbound => Self::OUTBOUND,
        }
    }

    #[inline]
    pub fn get(self, direction: Direction) -> u64 {
        Self::field(direction).get(self.0.into())
    }

    /// Both directions together.
    #[inline]
    pub fn total(self) -> u64 {
        self.get(Direction::Inbound) + self.get(Direction::Outbound)
    }

    /// A word in which there are so many streams.
    #[inline]
    pub fn of(direction: Direction, count: u64) -> Self {
        Self(Self::field(direction).of(count) as u64)
    }
}

/// Connections by direction, and file descriptors: `[fd: 32][outbound: 32][inbound: 32]`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ConnsWord(pub u128);

impl ConnsWord {
    const INBOUND: Field = Field::right_of_all(32);
    const OUTBOUND: Field = Self::INBOUND.left_of(32);
    const FD: Field = Self::OUTBOUND.left_of(32);

    /// The most connections that can be counted in a direction, and the most file descriptors.
    pub const MAX: u64 = Self::INBOUND.max();

    #[inline]
    const fn field(direction: Direction) -> Field {
        match direction {
            Direction::Inbound => Self::INBOUND,
            Direction::Outbound => Self::OUTBOUND,
        }
    }

    #[inline]
    pub fn get(self, direction: Direction) -> u64 {
        Self::field(direction).get(self.0)
    }

    /// Both directions together.
    #[inline]
    pub fn total(self) -> u64 {
        self.get(Direction::Inbound) + self.get(Direction::Outbound)
    }

    #[inline]
    pub fn fd(self) -> u64 {
        Self::FD.get(self.0)
    }

    /// A word in which there is one connection, perhaps with a file descriptor.
    #[inline]
    pub fn one(direction: Direction, uses_fd: UsesFd) -> Self {
        let fd = match uses_fd {
            UsesFd::Yes => Self::FD.of(1),
            UsesFd::No => 0,
        };
        Self(Self::field(direction).of(1) | fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_leaf_word_do_not_touch_each_other() {
        assert!(LeafWord::CONN.is_connection() && !LeafWord::STREAM.is_connection());
        assert!(LeafWord::CONN.same_but_memory(LeafWord::CONN.more(LeafWord::MAX_MEMORY)));
        let word = LeafWord::STREAM
            .more(LeafWord::MAX_MEMORY)
            .next_stage()
            .next_stage();
        assert_eq!((word.memory(), word.stage()), (LeafWord::MAX_MEMORY, 2));
        assert!(!word.is_closed() && !word.is_shared());
        assert!(word.shared().is_shared() && word.shared().stage() == 2);
        assert_eq!(word.shared().memory(), LeafWord::MAX_MEMORY);
        assert!(!word.is_connection());
        let closed = LeafWord(word.0 | LeafWord::CLOSED_BIT);
        assert_eq!((closed.memory(), closed.stage()), (0, 2));
        assert!(closed.is_closed());
        assert!(!closed.same_but_memory(word) && !word.shared().same_but_memory(word));
        assert!(word.same_but_memory(word.less(LeafWord::MAX_MEMORY)));
        assert_eq!(word.less(LeafWord::MAX_MEMORY).memory(), 0);
    }

    #[test]
    fn the_fields_of_a_stock_word_do_not_touch_each_other() {
        let word = StockWord::open(u64::MAX, StockWord::MAX_MOST, 0);
        assert_eq!((word.state(), word.amount()), (StockState::Open, 0));
        let full = word.more(word.most()).expect("it may hold as much");
        assert_eq!(full.amount(), StockWord::MAX_MOST);
        assert_eq!(full.more(1), None);
        assert!(full.is_good_under(u64::MAX) && !full.is_good_under(0));
        assert_eq!(full.less(0, 1), None);
        assert_eq!(full.less(u64::MAX, StockWord::MAX_MOST), Some(word));
        assert_eq!(word.less(u64::MAX, 1), None);
        for closed in [StockWord::IDLE, StockWord::DRAINED] {
            assert_eq!((closed.more(0), closed.less(0, 0)), (None, None));
        }
    }

    #[test]
    fn the_fields_of_the_counting_words_do_not_touch_each_other() {
        let full = StreamsWord(u64::MAX);
        assert_eq!(full.total(), 2 * StreamsWord::MAX);
        for direction in Direction::ALL {
            let one = ConnsWord::one(direction, UsesFd::Yes);
            assert_eq!((one.get(direction), one.total(), one.fd()), (1, 1, 1));
            assert_eq!(ConnsWord::one(direction, UsesFd::No).fd(), 0);
            assert_eq!(StreamsWord::of(direction, 3).get(direction), 3);
            assert_eq!(StreamsWord::of(direction, 3).total(), 3);
        }
    }

    #[test]
    fn the_fields_of_a_span_word_do_not_touch_each_other() {
        let word = SpanWord::OPENED.with_memory(SpanWord::MAX_MEMORY);
        assert_eq!(word.memory(), SpanWord::MAX_MEMORY);
        assert!(!word.is_closed() && !word.is_shared());
        assert!(SpanWord::CLOSED_EMPTY.is_closed());
        let shared = SpanWord::OPENED.shared();
        assert!(shared.is_shared() && !shared.is_closed());
        assert_eq!(shared.memory(), 0);
    }
}
