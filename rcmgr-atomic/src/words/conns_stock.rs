//! The word of a stock of connections: part of the prepaid credit of a node.

use rcmgr_core::{Direction, UsesFd};

use super::conns::ConnsWord;
use super::field::Field;

/// One stock of the connections of a node:
/// `[open: 1][version: 32][capacity: 4][fd: 9][outbound: 9][inbound: 9]`.
///
/// Connections and file descriptors lie in one word, because they are granted or refused together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnsStockWord(pub u64);

impl ConnsStockWord {
    const INBOUND: Field = Field::right_of_all(9);
    const OUTBOUND: Field = Self::INBOUND.left_of(9);
    const FD: Field = Self::OUTBOUND.left_of(9);
    /// A power of two, as its logarithm.
    const CAPACITY: Field = Self::FD.left_of(4);
    const VERSION: Field = Self::CAPACITY.left_of(32);
    const OPEN: Field = Self::VERSION.left_of(1);

    /// The largest capacity of any stock.
    pub const MAX_CAPACITY: u64 = Self::INBOUND.max() / 2 + 1;
    /// After this many versions of the limits, the number in the word repeats.
    pub const VERSIONS: u64 = Self::VERSION.max() + 1;
    /// It holds nothing, and takes nothing until it is opened.
    pub const DRAINED: Self = Self(0);

    const fn field(direction: Direction) -> Field {
        match direction {
            Direction::Inbound => Self::INBOUND,
            Direction::Outbound => Self::OUTBOUND,
        }
    }

    /// An open stock that holds at most `capacity` of each count, a power of two, with credit that
    /// is valid under the limits version of this number.
    pub fn open(version: u64, capacity: u64, amount: ConnsWord) -> Self {
        debug_assert!(capacity.is_power_of_two());
        let capacity = Self::CAPACITY.of(capacity.ilog2().into());
        let inbound = Self::INBOUND.of(amount.get(Direction::Inbound));
        let outbound = Self::OUTBOUND.of(amount.get(Direction::Outbound));
        let amount = inbound | outbound | Self::FD.of(amount.fd());
        Self((Self::OPEN.of(1) | Self::version(version) | capacity | amount) as u64)
    }

    #[inline]
    fn version(number: u64) -> u128 {
        Self::VERSION.of(number & Self::VERSION.max())
    }

    #[inline]
    fn get(self, field: Field) -> u64 {
        field.get(self.0.into())
    }

    #[inline]
    pub fn is_open(self) -> bool {
        self.get(Self::OPEN) != 0
    }

    /// How much of each count it may hold; zero unless it is open.
    #[inline]
    pub fn capacity(self) -> u64 {
        if self.is_open() {
            1 << self.get(Self::CAPACITY)
        } else {
            0
        }
    }

    /// The connections and file descriptors that it holds.
    pub fn amount(self) -> ConnsWord {
        let inbound = ConnsWord::of(Direction::Inbound, self.get(Self::INBOUND), 0);
        let outbound = ConnsWord::of(
            Direction::Outbound,
            self.get(Self::OUTBOUND),
            self.get(Self::FD),
        );
        ConnsWord(inbound.0 | outbound.0)
    }

    /// Whether it is open, with credit that is valid under the version of this number.
    #[inline]
    pub fn is_valid_under(self, version: u64) -> bool {
        let open = (Self::OPEN.of(1) | Self::version(version)) as u64;
        (self.0 ^ open) >> Self::VERSION.at == 0
    }

    /// Whether it has one connection, and a file descriptor if that uses one, which are valid under
    /// the version of this number.
    #[inline]
    pub fn has(self, version: u64, direction: Direction, uses_fd: UsesFd) -> bool {
        let has_conn = self.get(Self::field(direction)) > 0;
        let has_fd = uses_fd == UsesFd::No || self.get(Self::FD) > 0;
        has_conn && has_fd && self.is_valid_under(version)
    }

    /// The word with one connection less, and with its file descriptor less if it uses one, if it
    /// [has](Self::has) them.
    #[inline]
    pub fn less(self, version: u64, direction: Direction, uses_fd: UsesFd) -> Option<Self> {
        self.has(version, direction, uses_fd)
            .then(|| Self(self.0 - Self::one(direction, uses_fd)))
    }

    /// The word with one connection more, and with its file descriptor more if it uses one. `None`
    /// if it is not open, or has no room for both.
    #[inline]
    pub fn more(self, direction: Direction, uses_fd: UsesFd) -> Option<Self> {
        // The capacity is a power of two. A count is below it if a shift to the right by its logarithm
        // leaves zero.
        let log = self.get(Self::CAPACITY);
        let has_room = |field| self.get(field) >> log == 0;
        let may = self.is_open()
            && has_room(Self::field(direction))
            && (uses_fd == UsesFd::No || has_room(Self::FD));
        may.then(|| Self(self.0 + Self::one(direction, uses_fd)))
    }

    #[inline]
    fn one(direction: Direction, uses_fd: UsesFd) -> u64 {
        let fd = u64::from(uses_fd == UsesFd::Yes);
        (Self::field(direction).of(1) | Self::FD.of(fd)) as u64
    }

    /// The amount that a batch for such connections adds: at most `batch` of each count, within the
    /// room that is left.
    pub fn batch(self, batch: u64, direction: Direction, uses_fd: UsesFd) -> ConnsWord {
        let part = |field| (self.capacity() - self.get(field)).min(batch);
        let fds = match uses_fd {
            UsesFd::Yes => part(Self::FD),
            UsesFd::No => 0,
        };
        ConnsWord::of(direction, part(Self::field(direction)), fds)
    }

    /// The word with a batch more, valid under the version of this number. `None` if it is not
    /// open, or has no room.
    pub fn filled(self, version: u64, batch: ConnsWord) -> Option<Self> {
        let capacity = self.capacity();
        // No count overflows: each of the two is far below 32 bits.
        let sum = ConnsWord(self.amount().0 + batch.0);
        let counts = [
            sum.get(Direction::Inbound),
            sum.get(Direction::Outbound),
            sum.fd(),
        ];
        let has_room = counts.into_iter().all(|count| count <= capacity);
        (self.is_open() && has_room).then(|| Self::open(version, capacity, sum))
    }
}

const _: () = assert!(ConnsStockWord::OPEN.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [UsesFd; 2] = [UsesFd::Yes, UsesFd::No];

    #[test]
    fn the_fields_of_a_stock_of_connections_do_not_touch_each_other() {
        let most = ConnsStockWord::MAX_CAPACITY;
        for direction in Direction::ALL {
            let full = ConnsWord::of(direction, most, most);
            let word = ConnsStockWord::open(u64::MAX, most, full);
            assert!(word.is_open() && word.amount() == full);
            assert_eq!(word.capacity(), most);
            assert!(word.is_valid_under(u64::MAX) && !word.is_valid_under(0));
            for uses_fd in BOTH {
                assert_eq!(word.more(direction, uses_fd), None);
                assert_eq!(word.less(0, direction, uses_fd), None);
                let less = word
                    .less(u64::MAX, direction, uses_fd)
                    .expect("there is one");
                let one = ConnsWord::one(direction, uses_fd);
                assert_eq!(less.amount(), full.saturating_sub(one));
                assert_eq!(less.more(direction, uses_fd), Some(word));
            }
        }
    }

    #[test]
    fn a_connection_and_its_descriptor_are_taken_together_or_not_at_all() {
        let direction = Direction::Outbound;
        let without_fd = ConnsStockWord::open(1, 4, ConnsWord::of(direction, 4, 0));
        assert!(!without_fd.has(1, direction, UsesFd::Yes));
        assert!(without_fd.has(1, direction, UsesFd::No));
        let without_conn = ConnsStockWord::open(1, 4, ConnsWord::of(direction, 0, 4));
        assert!(!without_conn.has(1, direction, UsesFd::Yes));
        assert_eq!(without_conn.more(direction, UsesFd::Yes), None);
        assert!(without_conn.more(direction, UsesFd::No).is_some());
    }

    #[test]
    fn a_drained_stock_takes_nothing() {
        let drained = ConnsStockWord::DRAINED;
        assert!(!drained.is_open() && drained.amount() == ConnsWord(0));
        for (direction, uses_fd) in Direction::ALL.into_iter().zip(BOTH) {
            assert_eq!(drained.more(direction, uses_fd), None);
            assert!(!drained.has(0, direction, uses_fd));
        }
        assert_eq!(drained.filled(0, ConnsWord(0)), None);
    }

    #[test]
    fn a_batch_fills_the_counts_of_such_connections_up_to_the_capacity() {
        let direction = Direction::Inbound;
        let word = ConnsStockWord::open(1, 8, ConnsWord::of(direction, 7, 1));
        let batch = word.batch(4, direction, UsesFd::Yes);
        assert_eq!(batch, ConnsWord::of(direction, 1, 4));
        let filled = word.filled(2, batch).expect("there is room");
        assert_eq!(filled.amount(), ConnsWord::of(direction, 8, 5));
        assert!(filled.is_valid_under(2) && !filled.is_valid_under(1));
        assert_eq!(filled.filled(2, ConnsWord::of(direction, 1, 0)), None);
        let outbound = word.batch(4, Direction::Outbound, UsesFd::No);
        assert_eq!(outbound, ConnsWord::of(Direction::Outbound, 4, 0));
    }
}
