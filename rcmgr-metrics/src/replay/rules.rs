//! The checks that a scope makes.

use rcmgr_core::{Limit, LimitValue, Resource, ScopeStat};

/// The limit that `asked` would exceed in addition to `used`, if any. The checks have the order of
/// a scope, and only requested resources are checked.
///
/// Memory is granted up to `floor((1 + priority) * limit / 256)`. An overflow counts as over the
/// limit.
pub fn refused_by(
    limit: &Limit,
    used: &ScopeStat,
    asked: &ScopeStat,
    priority: u8,
) -> Option<Resource> {
    if asked.memory > 0 && !has_memory(limit.memory, used.memory, asked.memory, priority) {
        return Some(Resource::Memory);
    }
    let over = |resource, used: u64, asked: u64| {
        let fits = |all| limit.get(resource).allows(all);
        (asked > 0 && !used.checked_add(asked).is_some_and(fits)).then_some(resource)
    };
    use Resource as R;
    over(
        R::StreamsInbound,
        used.streams_inbound,
        asked.streams_inbound,
    )
    .or_else(|| {
        over(
            R::StreamsOutbound,
            used.streams_outbound,
            asked.streams_outbound,
        )
    })
    .or_else(|| over(R::Streams, used.streams(), asked.streams()))
    .or_else(|| over(R::ConnsInbound, used.conns_inbound, asked.conns_inbound))
    .or_else(|| over(R::ConnsOutbound, used.conns_outbound, asked.conns_outbound))
    .or_else(|| over(R::Conns, used.conns(), asked.conns()))
    .or_else(|| over(R::Fd, used.fd, asked.fd))
}

fn has_memory(limit: LimitValue, used: u64, asked: u64, priority: u8) -> bool {
    match limit.number() {
        None => true,
        Some(limit) => {
            let threshold = (1 + u128::from(priority)) * u128::from(limit) / 256;
            u128::from(used) + u128::from(asked) <= threshold
        }
    }
}

/// The smallest limit at which a reservation of this priority may raise usage to `used` bytes. It
/// is rounded up, so that the threshold is not below `used`.
pub fn memory_needed(used: u64, priority: u8) -> u64 {
    let needed = (u128::from(used) * 256).div_ceil(1 + u128::from(priority));
    u64::try_from(needed).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needed_memory_limit_is_the_smallest_that_grants() {
        for (used, priority) in [
            (1, 0),
            (1000, 101),
            (999, 152),
            (7, 254),
            (u64::MAX / 300, 3),
            (0, 9),
        ] {
            let needed = memory_needed(used, priority);
            let limit = LimitValue::Limited(needed);
            assert!(has_memory(limit, 0, used, priority), "{used} {priority}");
            if needed > 0 {
                let less = LimitValue::Limited(needed - 1);
                assert!(!has_memory(less, 0, used, priority), "{used} {priority}");
            }
        }
    }

    #[test]
    fn checks_come_in_the_order_of_a_scope() {
        let asked = ScopeStat {
            conns_inbound: 1,
            fd: 1,
            ..ScopeStat::ZERO
        };
        let mut limit = Limit::BLOCK_ALL;
        for expected in [Resource::ConnsInbound, Resource::Conns, Resource::Fd] {
            assert_eq!(
                refused_by(&limit, &ScopeStat::ZERO, &asked, 0),
                Some(expected)
            );
            *limit.get_mut(expected) = LimitValue::Limited(1);
        }
        assert_eq!(refused_by(&limit, &ScopeStat::ZERO, &asked, 0), None);
        let full = ScopeStat {
            conns_inbound: u64::MAX,
            ..ScopeStat::ZERO
        };
        let refused = refused_by(&Limit::UNLIMITED, &full, &asked, 0);
        assert_eq!(refused, Some(Resource::ConnsInbound));
    }
}
