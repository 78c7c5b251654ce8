//! The word of the uses that the threads of one shard have of a shared value.

use super::field::Field;

/// The uses of a shared value in one shard: `[state: 2][uses: 31][holds: 31]`. A use that was retired
/// only holds the value in memory; every use holds it, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardUsesWord(pub u64);

/// Whether uses can begin in the shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShardState {
    /// There are none, and none can begin.
    Closed,
    /// Uses can begin and end.
    Open,
    /// There are some, and none can begin. The last to end closes the shard.
    Draining,
}

impl ShardUsesWord {
    const HOLDS: Field = Field::right_of_all(31);
    const USES: Field = Self::HOLDS.left_of(31);
    const STATE: Field = Self::USES.left_of(2);

    const HOLD: u64 = Self::HOLDS.of(1) as u64;
    const USE: u64 = Self::USES.of(1) as u64;

    /// Closed, and nothing holds the value.
    pub const CLOSED: Self = Self(0);
    /// Open, without a use.
    pub const OPEN: Self = Self(Self::STATE.of(1) as u64);
    const DRAINING: u64 = Self::STATE.of(2) as u64;

    /// No use begins in a shard with as many holds.
    const MANY: u64 = Self::HOLDS.max() / 2;

    #[inline]
    pub fn state(self) -> ShardState {
        match Self::STATE.get(self.0.into()) {
            0 => ShardState::Closed,
            1 => ShardState::Open,
            _ => ShardState::Draining,
        }
    }

    #[inline]
    pub fn uses(self) -> u64 {
        Self::USES.get(self.0.into())
    }

    /// The word with one use more, if one can begin.
    #[inline]
    pub fn joined(self) -> Option<Self> {
        let may = self.state() == ShardState::Open && Self::HOLDS.get(self.0.into()) < Self::MANY;
        may.then(|| Self(self.0 + Self::USE + Self::HOLD))
    }

    /// The word with one use less. A draining shard is closed with its last use.
    #[inline]
    pub fn less_use(self) -> Self {
        let is_last = self.state() == ShardState::Draining && self.uses() == 1;
        let state = if is_last { Self::DRAINING } else { 0 };
        Self(self.0 - Self::USE - state)
    }

    /// The word with one hold less.
    #[inline]
    pub fn less_hold(self) -> Self {
        Self(self.0 - Self::HOLD)
    }

    /// The word of an open shard that uses can no longer begin in: closed, and with a hold of the
    /// thread that closed it, if there was no use.
    pub fn drained(self) -> Option<Self> {
        let rest = Self(self.0 & !Self::STATE.of(Self::STATE.max()) as u64);
        match (self.state(), self.uses()) {
            (ShardState::Open, 0) => Some(Self(rest.0 + Self::HOLD)),
            (ShardState::Open, _) => Some(Self(rest.0 | Self::DRAINING)),
            _ => None,
        }
    }
}

const _: () = assert!(ShardUsesWord::STATE.end() == u64::BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_closes_a_draining_shard_and_still_holds_the_value() {
        let one = ShardUsesWord::OPEN.joined().unwrap();
        let two = one.joined().unwrap();
        assert_eq!(two.less_use().less_hold(), one);
        let draining = two.drained().unwrap();
        assert_eq!(
            (draining.state(), draining.uses()),
            (ShardState::Draining, 2)
        );
        assert_eq!((draining.joined(), draining.drained()), (None, None));
        let last = draining.less_use().less_hold();
        assert_eq!((last.state(), last.uses()), (ShardState::Draining, 1));
        let closed = last.less_use();
        assert_eq!((closed.state(), closed.uses()), (ShardState::Closed, 0));
        assert_eq!(closed.less_hold(), ShardUsesWord::CLOSED);
    }

    #[test]
    fn an_idle_shard_is_closed_with_a_hold() {
        let closed = ShardUsesWord::OPEN.drained().unwrap();
        assert_eq!(closed.state(), ShardState::Closed);
        assert_eq!(closed.less_hold(), ShardUsesWord::CLOSED);
        assert_eq!((closed.joined(), closed.drained()), (None, None));
    }

    #[test]
    fn no_use_begins_in_a_shard_with_very_many() {
        let many = ShardUsesWord(ShardUsesWord::OPEN.0 + ShardUsesWord::MANY);
        assert_eq!(many.joined(), None);
        assert!(many.less_hold().joined().is_some());
    }
}
