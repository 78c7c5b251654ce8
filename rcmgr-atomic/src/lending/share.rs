//! How much credit a node may have: a share of the room under its limit.

use rcmgr_core::Direction;

use crate::counters::Kind;
use crate::limits::LimitsVersion;
use crate::node::{Node, threshold};
use crate::words::StreamsWord;

/// All credit on a node is at most this part of the room under its limit.
const SHARE: u64 = 8;

/// How much more credit a node may have. `None` near a limit, or if it has too much already. The
/// limit of memory is the part of it that a priority of this level may use.
pub fn may_lend(node: &Node, version: LimitsVersion, kind: Kind, level: u8) -> Option<u64> {
    // Credit would hold back what others wait for, and what is put back into it wakes none of them.
    if node.is_waited_for(kind) {
        return None;
    }
    let share = |limit, used, bound| (headroom(limit, used)? / SHARE).checked_sub(bound);
    match kind {
        Kind::Memory => share(
            threshold(node.memory.limit(version), level, u64::MAX),
            node.memory.used(),
            node.credit_bound(kind),
        ),
        Kind::Streams(direction) => {
            let used = node.streams.used();
            let limit = node.streams.limit(version, direction).min(StreamsWord::MAX);
            let one_way = share(limit, used.get(direction), node.credit_bound(kind))?;
            let bounds =
                Direction::ALL.map(|direction| node.credit_bound(Kind::Streams(direction)));
            let limit = node.streams.total_limit(version);
            Some(one_way.min(share(limit, used.total(), bounds.into_iter().sum())?))
        }
    }
}

/// The room under a limit, if that is at least a quarter of the limit.
fn headroom(limit: u64, used: u64) -> Option<u64> {
    (used <= limit / 4 * 3).then(|| limit - used)
}
