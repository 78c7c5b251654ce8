//! How much credit a node may have: a share of the room under its limit.
//!
//! The share shrinks with the room. So close to a limit a stock is too small for charges of the usual
//! size, and there is no credit. How close that is depends on the size of the charges.

use rcmgr_core::{Direction, UsesFd};

use crate::counters::Kind;
use crate::limits::LimitsVersion;
use crate::node::{Node, threshold};
use crate::words::{ConnsWord, Resources, StreamsWord};

/// All credit on a node is at most this part of the room under its limit.
const SHARE: u64 = 8;

/// How much credit a node may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MayLend {
    /// With the credit that it has already.
    pub all: u64,
    /// In addition to that.
    pub more: u64,
}

impl MayLend {
    /// A share of the room under a limit. `None` if there is as much credit already.
    fn under(limit: u64, used: u64, bound: u64) -> Option<Self> {
        let all = limit.checked_sub(used)? / SHARE;
        let more = all.checked_sub(bound)?;
        Some(Self { all, more })
    }

    fn min(self, other: Self) -> Self {
        Self {
            all: self.all.min(other.all),
            more: self.more.min(other.more),
        }
    }
}

/// How much credit a node may have. `None` over a limit, or if it has too much already. The limit of
/// memory is the part of it that a priority of this level may use.
pub fn may_lend(node: &Node, version: LimitsVersion, kind: Kind, level: u8) -> Option<MayLend> {
    // Credit would hold back what others wait for, and what is put back into it wakes none of them.
    if node.is_waited_for(kind.resources()) {
        return None;
    }
    match kind {
        Kind::Memory => MayLend::under(
            threshold(node.memory.limit(version), level, u64::MAX),
            node.memory.used(),
            node.credit_bound(kind),
        ),
        Kind::Streams(direction) => {
            let used = node.streams.used();
            let limit = node.streams.limit(version, direction).min(StreamsWord::MAX);
            let bound = node.credit_bound(kind);
            let one_way = MayLend::under(limit, used.get(direction), bound)?;
            let bounds =
                Direction::ALL.map(|direction| node.credit_bound(Kind::Streams(direction)));
            let limit = node.streams.total_limit(version);
            let total = MayLend::under(limit, used.total(), bounds.into_iter().sum())?;
            Some(one_way.min(total))
        }
    }
}

/// How many more connections a node may be charged with in advance: of this direction, and as many
/// file descriptors if they use them. `None` near a limit, or if there is too much credit already.
pub fn may_lend_conns(
    node: &Node,
    version: LimitsVersion,
    direction: Direction,
    uses_fd: UsesFd,
) -> Option<u64> {
    // As above.
    if node.is_waited_for(Resources::ALL_OF_CONNECTIONS) {
        return None;
    }
    let (used, bound) = (node.conns.used(), node.conns.credit().bound());
    let limit = node.conns.limit(version, direction).min(ConnsWord::MAX);
    let one_way = share(limit, used.get(direction), bound)?;
    // A stock may hold as many connections of either direction.
    let total = share(node.conns.total_limit(version), used.total(), 2 * bound)? / 2;
    let fds = match uses_fd {
        UsesFd::Yes => share(
            node.conns.fd_limit(version).min(ConnsWord::MAX),
            used.fd(),
            bound,
        )?,
        UsesFd::No => u64::MAX,
    };
    Some(one_way.min(total).min(fds))
}

/// How much more credit there may be under a limit, with this usage, and with `bound` as the upper
/// bound of the credit that is out.
fn share(limit: u64, used: u64, bound: u64) -> Option<u64> {
    (headroom(limit, used)? / SHARE).checked_sub(bound)
}

/// The room under a limit, if that is at least a quarter of the limit.
fn headroom(limit: u64, used: u64) -> Option<u64> {
    (used <= limit / 4 * 3).then(|| limit - used)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_credit_on_a_node_shrinks_with_the_room_under_its_limit() {
        let may_lend =
            |used, bound| MayLend::under(800, used, bound).map(|MayLend { all, more }| (all, more));
        assert_eq!(may_lend(0, 0), Some((100, 100)));
        assert_eq!(may_lend(720, 4), Some((10, 6)));
        assert_eq!(may_lend(720, 11), None);
        assert_eq!(may_lend(800, 0), Some((0, 0)));
        assert_eq!(may_lend(801, 0), None);
    }
}
