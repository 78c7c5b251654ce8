//! The checks of the manager, after all clients have left.

use rcmgr_atomic::{Manager, ScopeClass};

use super::format::grouped;
use super::limit_watch::LimitWatch;
use super::tally::Tally;

/// A check.
pub struct Check {
    /// Whether it passed.
    pub passed: bool,
    /// The finding.
    pub finding: String,
}

/// All checks. No references to scopes may be left, because they would keep peer scopes alive.
pub fn checks(
    manager: &Manager,
    watch: &LimitWatch,
    tally: &Tally,
    unended: &[String],
) -> Vec<Check> {
    vec![
        counters_are_zero(manager),
        limits_were_kept(watch),
        counts_agree(manager, tally),
        nothing_was_released_twice(manager),
        all_ended(unended),
    ]
}

fn check(violations: &[String], fine: impl Into<String>) -> Check {
    match violations {
        [] => Check {
            passed: true,
            finding: fine.into(),
        },
        _ => Check {
            passed: false,
            finding: violations.join("; "),
        },
    }
}

/// Whether nothing is charged, and no peer is left.
pub fn counters_are_zero(manager: &Manager) -> Check {
    let mut left = Vec::new();
    for scope in manager.scopes() {
        if !scope.stat.is_zero() {
            left.push(format!("{} is not zero: {}", scope.id, scope.stat));
        }
    }
    let peers = manager.peers().len();
    if peers > 0 {
        left.push(format!("{peers} peer scopes are left"));
    }
    check(&left, "every counter is zero, and no peer scope is left")
}

fn limits_were_kept(watch: &LimitWatch) -> Check {
    let checks = grouped(watch.checks());
    check(
        &watch.violations(),
        format!("no limit was ever exceeded, in {checks} checks of usage and peaks"),
    )
}

/// Manager and server count refusals independently.
fn counts_agree(manager: &Manager, tally: &Tally) -> Check {
    let classes = ScopeClass::ALL.into_iter();
    let by_scopes: u64 = classes.map(|class| manager.refusals(class).total()).sum();
    let refused = by_scopes + refused_by_address(manager);
    let seen = tally.server.refused.get() + tally.server.busy.get();
    let (by_manager, by_server) = (grouped(refused), grouped(seen));
    Check {
        passed: refused == seen,
        finding: format!("the manager counted {by_manager} refusals, the server {by_server}"),
    }
}

/// The connections that the limits by address refused, before any scope was asked.
pub fn refused_by_address(manager: &Manager) -> u64 {
    let stat = manager.addresses().stat();
    stat.refused_by_rate + stat.refused_by_subnet
}

fn nothing_was_released_twice(manager: &Manager) -> Check {
    let classes = ScopeClass::ALL.into_iter();
    let over_releases: u64 = classes.map(|class| manager.over_releases(class)).sum();
    Check {
        passed: over_releases == 0,
        finding: format!("{over_releases} over-releases"),
    }
}

fn all_ended(unended: &[String]) -> Check {
    check(unended, "every client and every connection ended normally")
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::{Limits, PeerId, Priority};

    use super::*;

    #[test]
    fn leftover_charges_and_peers_fail_the_check() {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        assert!(counters_are_zero(&manager).passed);

        let peer: PeerId = "tenant-7".parse().unwrap();
        let scope = manager.view_peer(&peer);
        scope.reserve_memory(100, Priority::Always).unwrap();
        let Check { passed, finding } = counters_are_zero(&manager);
        assert!(!passed);
        assert!(finding.contains("system is not zero"), "{finding}");
        assert!(finding.contains("peer:tenant-7 is not zero"), "{finding}");

        scope.release();
        let Check { passed, finding } = counters_are_zero(&manager);
        assert!(!passed);
        assert_eq!(finding, "1 peer scopes are left");
        drop(scope);
        assert!(counters_are_zero(&manager).passed);
    }

    #[test]
    fn a_refusal_counted_by_one_side_only_fails_the_check() {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let tally = Tally::default();
        assert!(counts_agree(&manager, &tally).passed);
        tally.server.refused.one();
        assert!(!counts_agree(&manager, &tally).passed);
    }

    #[test]
    fn an_over_release_fails_the_check() {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        assert!(nothing_was_released_twice(&manager).passed);
        manager.view_system().release_memory(1);
        assert!(!nothing_was_released_twice(&manager).passed);
    }
}
