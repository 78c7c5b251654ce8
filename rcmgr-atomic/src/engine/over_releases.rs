//! Releases of more than was held.

use std::time::Duration;

use rcmgr_core::{Clock, ScopeClass, ScopeName};

use crate::sync::{AtomicU64, Ordering, call_user_code};

/// Counts releases of more than was held, and logs them: once per scope class and minute.
#[derive(Debug)]
pub struct OverReleases {
    counts: [AtomicU64; ScopeClass::ALL.len()],
    /// When a class was last logged, in milliseconds of the clock, plus one; zero for never.
    logged: [AtomicU64; ScopeClass::ALL.len()],
}

const LOG_EVERY: Duration = Duration::from_secs(60);

impl OverReleases {
    pub fn new() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self {
            counts: zeros(),
            logged: zeros(),
        }
    }

    /// Counts that `asked` bytes were released where only `held` were held.
    #[cold]
    pub fn count(&self, scope: &ScopeName, asked: u64, held: u64, clock: &dyn Clock) {
        let class = scope.class();
        // Relaxed, here and below: counts are read by themselves and order nothing.
        let count = self.counts[class as usize].fetch_add(1, Ordering::Relaxed) + 1;
        // A guard releases when it is dropped, perhaps because the thread panics already.
        call_user_code(|| {
            if self.is_due(class, clock.now()) {
                tracing::warn!(
                    %scope,
                    asked,
                    held,
                    over_releases = count,
                    "released more memory than the scope holds: only what it holds was taken back"
                );
            }
        });
    }

    fn is_due(&self, class: ScopeClass, now: Duration) -> bool {
        let logged = &self.logged[class as usize];
        let last = logged.load(Ordering::Relaxed);
        let now = now.as_millis() as u64 + 1;
        let due = last == 0 || now.saturating_sub(last) >= LOG_EVERY.as_millis() as u64;
        // Of several at once, one logs.
        due && logged
            .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
    }

    pub fn of(&self, class: ScopeClass) -> u64 {
        self.counts[class as usize].load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_logged_once_a_minute() {
        let over_releases = OverReleases::new();
        let at = |seconds| Duration::from_secs(seconds);
        assert!(over_releases.is_due(ScopeClass::Peer, at(0)));
        assert!(!over_releases.is_due(ScopeClass::Peer, at(59)));
        assert!(over_releases.is_due(ScopeClass::Stream, at(59)));
        assert!(over_releases.is_due(ScopeClass::Peer, at(60)));
        assert!(!over_releases.is_due(ScopeClass::Peer, at(61)));
    }
}
