//! The word of a stock: part of the prepaid credit of a path.

use super::field::Field;

/// One stock of the credit of a path: `[state: 2][version: 32][capacity: 5][amount: 25]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StockWord(pub u64);

/// The state of a stock, which decides how it may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockState {
    /// The path has stopped lending: nothing may be done.
    Idle,
    /// It may be opened.
    Drained,
    /// Credit may be added, taken and put back.
    Open,
}

impl StockWord {
    const AMOUNT: Field = Field::right_of_all(25);
    /// A power of two, as its logarithm.
    const CAPACITY: Field = Self::AMOUNT.left_of(5);
    const VERSION: Field = Self::CAPACITY.left_of(32);
    const STATE: Field = Self::VERSION.left_of(2);

    /// The largest capacity of any stock.
    pub const MAX_CAPACITY: u64 = Self::AMOUNT.max() / 2 + 1;
    /// After this many versions of the limits, the number in the word repeats.
    pub const VERSIONS: u64 = Self::VERSION.max() + 1;
    pub const IDLE: Self = Self(0);
    pub const DRAINED: Self = Self(Self::STATE.of(1) as u64);

    /// An open stock that holds at most `capacity`, a power of two, with credit that is valid under
    /// the limits version of this number.
    pub fn open(version: u64, capacity: u64, amount: u64) -> Self {
        debug_assert!(capacity.is_power_of_two() && amount <= capacity);
        let capacity = Self::CAPACITY.of(capacity.ilog2().into());
        Self(
            (Self::STATE.of(2) | Self::version(version) | capacity | Self::AMOUNT.of(amount))
                as u64,
        )
    }

    #[inline]
    fn version(number: u64) -> u128 {
        Self::VERSION.of(number & Self::VERSION.max())
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

    /// How much it may hold; zero unless it is open.
    #[inline]
    pub fn capacity(self) -> u64 {
        match self.state() {
            StockState::Open => 1 << Self::CAPACITY.get(self.0.into()),
            StockState::Idle | StockState::Drained => 0,
        }
    }

    /// Whether it is open, with credit that is valid under the version of this number.
    #[inline]
    pub fn is_valid_under(self, version: u64) -> bool {
        let open = (Self::STATE.of(2) | Self::version(version)) as u64;
        (self.0 ^ open) >> Self::VERSION.at == 0
    }

    /// The word with `amount` less, if the stock is open, valid under the version of this number,
    /// and holds that much.
    #[inline]
    pub fn less(self, version: u64, amount: u64) -> Option<Self> {
        let may = self.is_valid_under(version) && amount <= self.amount();
        may.then(|| Self(self.0 - amount))
    }

    /// The word with `amount` more, if the stock is open and has room for that.
    #[inline]
    pub fn more(self, amount: u64) -> Option<Self> {
        let may = self.state() == StockState::Open && amount <= self.capacity() - self.amount();
        may.then(|| Self(self.0 + amount))
    }
}

const _: () = assert!(StockWord::STATE.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_of_a_stock_word_do_not_touch_each_other() {
        let word = StockWord::open(u64::MAX, StockWord::MAX_CAPACITY, 0);
        assert_eq!((word.state(), word.amount()), (StockState::Open, 0));
        let full = word.more(word.capacity()).expect("it may hold as much");
        assert_eq!(full.amount(), StockWord::MAX_CAPACITY);
        assert_eq!(full.more(1), None);
        assert!(full.is_valid_under(u64::MAX) && !full.is_valid_under(0));
        assert_eq!(full.less(0, 1), None);
        assert_eq!(full.less(u64::MAX, StockWord::MAX_CAPACITY), Some(word));
        assert_eq!(word.less(u64::MAX, 1), None);
        for closed in [StockWord::IDLE, StockWord::DRAINED] {
            assert_eq!((closed.more(0), closed.less(0, 0)), (None, None));
        }
    }
}
