//! Watches for scopes that exceed a limit. The limits of the demo do not change, so no scope may
//! ever exceed one.

use std::sync::Mutex;
use std::time::Duration;

use rcmgr_atomic::{Limit, ResourceScope, Scope, ScopeStat};
use tokio::time::{MissedTickBehavior, interval};

use super::tally::Count;

const CHECK_EVERY: Duration = Duration::from_millis(2);
/// The number of violations that are kept; one is enough to fail.
const KEPT: usize = 10;

/// The number of checks, and the violations.
#[derive(Debug, Default)]
pub struct LimitWatch {
    checks: Count,
    violations: Mutex<Vec<String>>,
}

impl LimitWatch {
    /// Compares the current usage of a scope with its limit.
    pub fn check(&self, scope: &impl ResourceScope) {
        self.compare(scope, &scope.stat(), "uses");
    }

    /// Compares the peak of a scope with its limit.
    pub fn check_peak(&self, scope: &Scope) {
        self.compare(scope, &scope.peak(), "once used");
    }

    fn compare(&self, scope: &impl ResourceScope, used: &ScopeStat, how: &str) {
        self.checks.one();
        let limit: Limit = scope.limit();
        if let Some(resource) = limit.exceeded_by(used) {
            let mut violations = self
                .violations
                .lock()
                .expect("no panic while the lock is held");
            if violations.len() < KEPT {
                let (name, most) = (scope.name(), limit.get(resource));
                violations.push(format!(
                    "{name} {how} {used}: its {resource} limit is {most}"
                ));
            }
        }
    }

    /// The number of checks.
    pub fn checks(&self) -> u64 {
        self.checks.get()
    }

    /// The scopes that exceeded a limit, as text.
    pub fn violations(&self) -> Vec<String> {
        let violations = self
            .violations
            .lock()
            .expect("no panic while the lock is held");
        violations.clone()
    }

    /// Checks these scopes periodically, until it is dropped.
    pub async fn watch(&self, scopes: &[Scope]) -> ! {
        let mut ticks = interval(CHECK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            scopes.iter().for_each(|scope| self.check(scope));
        }
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::{Limits, Manager, Priority};

    use super::*;

    #[test]
    fn usage_over_a_limit_is_a_violation() {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let system = manager.view_system();
        let watch = LimitWatch::default();
        system.reserve_memory(100, Priority::Always).unwrap();
        watch.check(&system);
        assert!(watch.violations().is_empty());

        // The limit is lowered below the usage; the demo never does this.
        let mut limits = Limits::unlimited();
        limits.system.memory = 99.into();
        manager.set_limits(limits);
        watch.check(&system);
        system.release();
        watch.check(&system);
        watch.check_peak(&system);
        let violations = watch.violations();
        assert_eq!(violations.len(), 2);
        assert!(
            violations[0].starts_with("system uses"),
            "{}",
            violations[0]
        );
        assert!(
            violations[1].ends_with("Memory limit is 99"),
            "{}",
            violations[1]
        );
        assert_eq!(watch.checks(), 4);
    }
}
