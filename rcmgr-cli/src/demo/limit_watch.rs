//! Watches for scopes that exceed a limit. The limits of the demo do not change, so no scope may
//! ever exceed one.

use std::sync::Mutex;
use std::time::Duration;

use rcmgr_atomic::{Limit, ResourceScope, Scope, ScopeStat};
use tokio::time::{MissedTickBehavior, interval};

use super::tally::Count;

const LOOK_EVERY: Duration = Duration::from_millis(2);
/// The number of violations that are kept; one is enough to fail.
const KEPT: usize = 10;

/// The number of checks, and the violations.
#[derive(Debug, Default)]
pub struct LimitWatch {
    looks: Count,
    passed: Mutex<Vec<String>>,
}

impl LimitWatch {
    /// Compares the current usage of a scope with its limit.
    pub fn look(&self, scope: &impl ResourceScope) {
        self.compare(scope, &scope.stat(), "uses");
    }

    /// Compares the peak of a scope with its limit.
    pub fn look_back(&self, scope: &Scope) {
        self.compare(scope, &scope.peak(), "once used");
    }

    fn compare(&self, scope: &impl ResourceScope, used: &ScopeStat, how: &str) {
        self.looks.one();
        let limit: Limit = scope.limit();
        if let Some(resource) = limit.exceeded_by(used) {
            let mut passed = self.passed.lock().expect("no panic while the lock is held");
            if passed.len() < KEPT {
                let (name, most) = (scope.name(), limit.get(resource));
                passed.push(format!(
                    "{name} {how} {used}: its {resource} limit is {most}"
                ));
            }
        }
    }

    /// The number of checks.
    pub fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// The scopes that exceeded a limit, as text.
    pub fn passed(&self) -> Vec<String> {
        let passed = self.passed.lock().expect("no panic while the lock is held");
        passed.clone()
    }

    /// Checks these scopes periodically, until it is dropped.
    pub async fn keep_looking(&self, scopes: &[Scope]) -> ! {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            scopes.iter().for_each(|scope| self.look(scope));
        }
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::{Limits, Manager, Priority, ResourceManager};

    use super::*;

    #[test]
    fn usage_over_a_limit_is_noted_once_it_is_seen() {
        let manager = Manager::new(Limits::unlimited()).unwrap();
        let system = manager.view_system();
        let watch = LimitWatch::default();
        system.reserve_memory(100, Priority::Always).unwrap();
        watch.look(&system);
        assert!(watch.passed().is_empty());

        // The limit is lowered below the usage; the demo never does this.
        let mut limits = Limits::unlimited();
        limits.system.memory = 99.into();
        manager.set_limits(limits);
        watch.look(&system);
        system.release();
        watch.look(&system);
        watch.look_back(&system);
        let passed = watch.passed();
        assert_eq!(passed.len(), 2);
        assert!(passed[0].starts_with("system uses"), "{}", passed[0]);
        assert!(passed[1].ends_with("memory limit is 99"), "{}", passed[1]);
        assert_eq!(watch.looks(), 4);
    }
}
