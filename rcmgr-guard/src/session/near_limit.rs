//! The timeouts that hold now: shorter ones while the usage is near a limit.

use std::time::Duration;

use rcmgr_atomic::Scope;
use rcmgr_core::{Limit, Resource, ScopeStat};

use super::front::Front;
use crate::settings::{NearLimit, Timeouts};

/// The resources that sessions use.
const RESOURCES: [Resource; 5] = [
    Resource::Conns,
    Resource::ConnsInbound,
    Resource::ConnsOutbound,
    Resource::Fd,
    Resource::Memory,
];

impl Front {
    /// The timeouts of the settings in force, with the shorter ones if the usage is near a limit.
    pub(super) fn timeouts_now(&self) -> Timeouts {
        let route = self.route();
        let timeouts = route.listen.timeouts;
        match timeouts.near_limit {
            Some(near)
                if [&self.shared.system, route.service()]
                    .into_iter()
                    .any(|scope| is_near(scope, near.from)) =>
            {
                shorter(timeouts, near)
            }
            _ => timeouts,
        }
    }
}

fn is_near(scope: &Scope, from: u8) -> bool {
    uses(&scope.limit(), &scope.stat(), from)
}

/// Whether at least `percent` of a limit are used. Without usage, nothing can make room.
fn uses(limit: &Limit, stat: &ScopeStat, percent: u8) -> bool {
    RESOURCES.into_iter().any(|resource| {
        let used = u128::from(stat.get(resource));
        let limit = limit.get(resource).number();
        limit.is_some_and(|limit| used > 0 && used * 100 >= u128::from(limit) * u128::from(percent))
    })
}

fn shorter(timeouts: Timeouts, near: NearLimit) -> Timeouts {
    let shorter = |a: Option<Duration>, b: Option<Duration>| [a, b].into_iter().flatten().min();
    Timeouts {
        first_byte: shorter(timeouts.first_byte, near.first_byte),
        idle: shorter(timeouts.idle, near.idle),
        half_closed: shorter(timeouts.half_closed, near.half_closed),
        ..timeouts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_is_near_a_limit_from_its_part_of_any_resource_on() {
        for resource in RESOURCES {
            let mut limit = Limit::UNLIMITED;
            *limit.get_mut(resource) = 20.into();
            let with = |used| {
                let mut stat = ScopeStat::default();
                match resource {
                    Resource::Conns | Resource::ConnsInbound => stat.conns_inbound = used,
                    Resource::ConnsOutbound => stat.conns_outbound = used,
                    Resource::Fd => stat.fd = used,
                    _ => stat.memory = used,
                }
                stat
            };
            assert!(!uses(&limit, &with(17), 90), "{resource}");
            assert!(uses(&limit, &with(18), 90), "{resource}");
            assert!(!uses(&limit, &with(19), 100), "{resource}");
            assert!(!uses(&Limit::UNLIMITED, &with(u64::MAX), 1), "{resource}");
        }
        assert!(!uses(&Limit::BLOCK_ALL, &ScopeStat::default(), 90));
    }

    #[test]
    fn the_shorter_of_two_timeouts_holds_near_a_limit() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let timeouts = Timeouts {
            first_byte: seconds(5),
            idle: seconds(1),
            ..Timeouts::default()
        };
        let near = NearLimit {
            from: 90,
            first_byte: seconds(2),
            idle: seconds(3),
            half_closed: seconds(4),
        };
        let now = shorter(timeouts, near);
        let now = (now.first_byte, now.idle, now.half_closed);
        assert_eq!(now, (seconds(2), seconds(1), seconds(4)));
    }
}
