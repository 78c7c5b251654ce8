//! The order of requests that wait.

use std::cmp::Reverse;

/// When a request came, among those that wait for the same scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

impl Ticket {
    /// Comes before all that wait. For a leaf that moves with what it holds, and for credit.
    pub const FIRST: Self = Self(0);
    /// A request that is granted or refused at once. It comes after all that wait.
    pub const NOW: Self = Self(u64::MAX);
    /// A request that will wait if it is refused now. It comes after all that wait already.
    pub const NEW: Self = Self(u64::MAX - 1);

    pub(super) fn number(number: u64) -> Self {
        Self(number + 1)
    }

    /// Whether the request waits if it is refused. Then a refusal is not final: it is neither
    /// counted nor recorded.
    #[inline]
    pub fn may_wait(self) -> bool {
        self != Self::FIRST && self != Self::NOW
    }
}

/// The position of a request in a queue: by priority, the highest first, then by ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position(Reverse<u8>, Ticket);

impl Position {
    /// `level` is that of the priority. Streams and connections have the highest.
    pub fn new(level: u8, ticket: Ticket) -> Self {
        // What comes before all does so whatever its priority.
        let level = if ticket == Ticket::FIRST {
            u8::MAX
        } else {
            level
        };
        Self(Reverse(level), ticket)
    }

    pub fn level(self) -> u8 {
        self.0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_priority_comes_first_and_then_the_lower_ticket() {
        let at = |level, number| Position::new(level, Ticket::number(number));
        assert!(at(255, 9) < at(101, 1));
        assert!(at(101, 1) < at(101, 2));
        assert!(at(0, u64::MAX / 2) < Position::new(0, Ticket::NEW));
        assert!(Position::new(0, Ticket::NEW) < Position::new(0, Ticket::NOW));
        assert!(Position::new(0, Ticket::FIRST) < at(255, 0));
    }
}
