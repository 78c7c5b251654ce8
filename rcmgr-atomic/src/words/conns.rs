//! The word that counts connections, both directions together, and file descriptors.

use rcmgr_core::{Direction, UsesFd};

use super::field::Field;

/// Connections by direction, and file descriptors: `[fd: 32][outbound: 32][inbound: 32]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

    /// The number in one direction.
    #[inline]
    pub fn get(self, direction: Direction) -> u64 {
        Self::field(direction).get(self.0)
    }

    /// Both directions together.
    #[inline]
    pub fn total(self) -> u64 {
        self.get(Direction::Inbound) + self.get(Direction::Outbound)
    }

    /// The number of file descriptors.
    #[inline]
    pub fn fd(self) -> u64 {
        Self::FD.get(self.0)
    }

    /// A word that counts one connection, and its file descriptor if it has one.
    #[inline]
    pub fn one(direction: Direction, uses_fd: UsesFd) -> Self {
        Self::of(direction, 1, u64::from(uses_fd == UsesFd::Yes))
    }

    /// A word that counts this many connections in a direction, and file descriptors.
    #[inline]
    pub fn of(direction: Direction, conns: u64, fds: u64) -> Self {
        Self(Self::field(direction).of(conns) | Self::FD.of(fds))
    }

    /// The word with each of the three counts of `other` subtracted, or zero in its place where
    /// `other` has more.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        let part = |field: Field| field.of(field.get(self.0).saturating_sub(field.get(other.0)));
        Self(part(Self::INBOUND) | part(Self::OUTBOUND) | part(Self::FD))
    }
}

const _: () = assert!(ConnsWord::FD.end() <= u128::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_and_descriptors_do_not_touch_each_other() {
        for direction in Direction::ALL {
            let one = ConnsWord::one(direction, UsesFd::Yes);
            assert_eq!((one.get(direction), one.total(), one.fd()), (1, 1, 1));
            assert_eq!(ConnsWord::one(direction, UsesFd::No).fd(), 0);
            let more = ConnsWord::of(direction, 3, 2);
            assert_eq!(one.saturating_sub(more), ConnsWord(0));
            assert_eq!(more.saturating_sub(one), ConnsWord::of(direction, 2, 1));
        }
    }
}
