use rcmgr_core::{Direction, Limit, Resource, ScopeStat, UsesFd};

use crate::credit::Kind;
use crate::gauge::Over;

/// What a leaf holds besides memory, from its birth to its end: one stream, or one connection,
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

    /// What there may be credit of for it.
    #[inline]
    pub fn kind(self) -> Option<Kind> {
        match self {
            Self::Stream(direction) => Some(Kind::Streams(direction)),
            Self::Connection(..) => None,
        }
    }

    pub fn uses_fd(self) -> bool {
        matches!(self, Self::Connection(_, UsesFd::Yes))
    }

    /// What it is one of: in its direction, and in all.
    #[inline]
    pub fn resources(self) -> [Resource; 2] {
        match self {
            Self::Stream(direction) => [Resource::streams(direction), Resource::Streams],
            Self::Connection(direction, _) => [Resource::conns(direction), Resource::Conns],
        }
    }

    /// What a leaf with this slot uses.
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

    /// Whether a leaf's own limit has room for its slot: the direction, the total, then the file
    /// descriptor.
    pub fn check(self, limit: &Limit) -> Result<(), Over> {
        let [one_way, total] = self.resources();
        let fd = self.uses_fd().then_some(Resource::Fd);
        for resource in [one_way, total].into_iter().chain(fd) {
            let limit = limit.get(resource);
            if !limit.allows(1) {
                return Err(Over {
                    resource,
                    used: 0,
                    limit,
                });
            }
        }
        Ok(())
    }
}
