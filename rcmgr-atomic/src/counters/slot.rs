//! The slot of a leaf: all that it holds besides memory.

use rcmgr_core::{Direction, Resource, ScopeId, ScopeName, ScopeStat, UsesFd};

use super::kind::Kind;
use crate::words::Resources;

/// All that a leaf holds besides memory, from its birth to its end: one stream, or one connection,
/// perhaps with a file descriptor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    Stream(Direction),
    Connection(Direction, UsesFd),
}

impl Slot {
    pub fn direction(self) -> Direction {
        match self {
            Self::Stream(direction) | Self::Connection(direction, _) => direction,
        }
    }

    /// The kind of credit that can pay for it, if there is one.
    #[inline]
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Stream(direction) => Some(Kind::Streams(direction)),
            Self::Connection(..) => None,
        }
    }

    #[inline]
    pub fn is_connection(self) -> bool {
        matches!(self, Self::Connection(..))
    }

    pub fn uses_fd(self) -> bool {
        matches!(self, Self::Connection(_, UsesFd::Yes))
    }

    /// The resources that it counts in: its direction, then both directions together.
    #[inline]
    pub fn resources(self) -> [Resource; 2] {
        match self {
            Self::Stream(direction) => [Resource::streams(direction), Resource::Streams],
            Self::Connection(direction, _) => [Resource::conns(direction), Resource::Conns],
        }
    }

    /// The limits that it counts in, the descriptor included.
    #[inline]
    pub fn limits(self) -> Resources {
        match self {
            Self::Stream(direction) => Resources::of_stream(direction),
            Self::Connection(direction, uses_fd) => Resources::of_connection(direction, uses_fd),
        }
    }

    /// The usage of a leaf with this slot.
    pub fn stat(self, memory: u64) -> ScopeStat {
        let mut stat = ScopeStat {
            memory,
            fd: self.uses_fd().into(),
            ..ScopeStat::ZERO
        };
        *match self {
            Self::Stream(Direction::Inbound) => &mut stat.streams_inbound,
            Self::Stream(Direction::Outbound) => &mut stat.streams_outbound,
            Self::Connection(Direction::Inbound, _) => &mut stat.conns_inbound,
            Self::Connection(Direction::Outbound, _) => &mut stat.conns_outbound,
        } = 1;
        stat
    }

    /// The name of the leaf with this slot and number.
    pub fn name(self, number: u64) -> ScopeName {
        match self {
            Self::Connection(..) => ScopeId::Connection(number),
            Self::Stream(_) => ScopeId::Stream(number),
        }
        .into()
    }
}
