//! A reserve of file descriptors for files, the log and backends: the limit of the system scope is
//! lowered so far that the reserve stays free.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use rcmgr_atomic::{Manager, Scope};
use rcmgr_core::{Limit, LimitValue};

use super::count;

/// How often a reload of the limits may come between the read of a limit and its change.
const MOST_ATTEMPTS: u32 = 8;

/// Keeps the limit of file descriptors of the system scope low enough.
#[derive(Debug)]
pub(crate) struct Reserve {
    /// How many file descriptors stay free.
    free: u64,
    system: Scope,
    /// How many file descriptors were open at the first accept that the manager does not count.
    others: OnceLock<u64>,
    /// The highest limit that leaves the reserve free, as it was last computed; at first zero.
    most: AtomicU64,
}

impl Reserve {
    pub(crate) fn new(free: u64, manager: &Manager) -> Self {
        Self {
            free,
            system: manager.view_system(),
            others: OnceLock::new(),
            most: AtomicU64::new(0),
        }
    }

    /// Lowers the limit at the first accept, if it is too high. `replies` more descriptors stay free.
    pub(crate) fn begin(&self, manager: &Manager, replies: u64) {
        if self.others.get().is_none() {
            self.keep(manager, replies);
        }
    }

    /// Lowers the limit if it is too high. A change of all limits takes the lowered limit back, so
    /// each connection looks.
    pub(crate) fn keep(&self, manager: &Manager, replies: u64) {
        // Relaxed: the number publishes nothing.
        let most = self.most.load(Ordering::Relaxed);
        if self.system.limit().fd > LimitValue::Limited(most) {
            self.lower(manager, replies);
        }
    }

    #[cold]
    fn lower(&self, manager: &Manager, replies: u64) {
        let Some(allowed) = count::allowed() else {
            return;
        };
        let others = *self.others.get_or_init(|| others(manager));
        let free = self.free.saturating_add(replies);
        let most = allowed.saturating_sub(others).saturating_sub(free);
        // Relaxed: as above.
        self.most.store(most, Ordering::Relaxed);
        for _ in 0..MOST_ATTEMPTS {
            let of_manager = manager.limits().system;
            let limit = self.system.limit();
            if limit.fd <= LimitValue::Limited(most) {
                return; // It is low enough, or another listener of this manager was first.
            }
            self.system.set_limit(Limit {
                fd: LimitValue::Limited(most),
                ..limit
            });
            if manager.limits().system == of_manager {
                let was = limit.fd;
                tracing::warn!(
                    "the limit of file descriptors of the system scope is lowered from {was} to \
                     {most}: {allowed} may be open (RLIMIT_NOFILE), {others} were open at start, and \
                     {free} stay in reserve, {replies} of them for replies to refused clients. Raise RLIMIT_NOFILE, or set a limit of at most {most}"
                );
                return;
            }
            // The limits were changed meanwhile, so the other fields of this one may be old.
            self.system.reset_limit();
        }
    }
}

/// How many file descriptors are open that the manager does not count.
fn others(manager: &Manager) -> u64 {
    let stat = manager.stat();
    let counted = stat.system.fd + stat.allowlisted_system.fd;
    // Where the number cannot be found out: the standard streams, the listener, the poller of tokio
    // with its waker, and some more.
    count::open().unwrap_or(16).saturating_sub(counted)
}
