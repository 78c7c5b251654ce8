//! The word that counts connections, both directions together, and file descriptors.

use rcmgr_core::{Direction, UsesFd};

use super::field::Field;

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
        let fd = match uses_fd {
            UsesFd::Yes => Self::FD.of(1),
            UsesFd::No => 0,
        };
        Self(Self::field(direction).of(1) | fd)
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
        }
    }
}
