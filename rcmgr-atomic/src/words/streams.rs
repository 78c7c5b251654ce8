//! The word that counts streams, both directions together.

use rcmgr_core::Direction;

use super::field::Field;

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

    /// The number in one direction.
    #[inline]
    pub fn get(self, direction: Direction) -> u64 {
        Self::field(direction).get(self.0.into())
    }

    /// Both directions together.
    #[inline]
    pub fn total(self) -> u64 {
        self.get(Direction::Inbound) + self.get(Direction::Outbound)
    }

    /// A word that counts this many streams.
    #[inline]
    pub fn of(direction: Direction, count: u64) -> Self {
        Self(Self::field(direction).of(count) as u64)
    }
}

const _: () = assert!(StreamsWord::OUTBOUND.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directions_do_not_touch_each_other() {
        assert_eq!(StreamsWord(u64::MAX).total(), 2 * StreamsWord::MAX);
        for direction in Direction::ALL {
            assert_eq!(StreamsWord::of(direction, 3).get(direction), 3);
            assert_eq!(StreamsWord::of(direction, 3).total(), 3);
        }
    }
}
