//! What waits now, and how waits have ended.

use std::time::Duration;

use rcmgr_core::{Resource, ScopeClass, ScopeName};

use super::manager::Manager;
use crate::waiting::WaitTotals;

impl Manager {
    /// The requests that wait now, by scope and resource, the longest wait first.
    ///
    /// ```
    /// use std::pin::pin;
    /// use std::task::{Context, Waker};
    /// use rcmgr_atomic::{Limits, Manager, Priority};
    ///
    /// let mut limits = Limits::unlimited();
    /// limits.system.memory = 100.into();
    /// let manager = Manager::new(limits)?;
    /// let system = manager.view_system();
    /// let held = system.reserve(80_u64, Priority::Always)?;
    ///
    /// let mut room = pin!(system.reserve_when_available(50_u64, Priority::Always));
    /// let mut context = Context::from_waker(Waker::noop());
    /// assert!(room.as_mut().poll(&mut context).is_pending());
    /// let waiting = &manager.waiting()[0];
    /// assert_eq!((waiting.requests, waiting.amount), (1, 50));
    ///
    /// drop(held);
    /// assert!(room.as_mut().poll(&mut context).is_ready());
    /// assert!(manager.waiting().is_empty());
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn waiting(&self) -> Vec<Waiting> {
        let engine = self.engine();
        let mut list = engine.waiters().list();
        list.sort_by_key(|at| at.since);
        let now = engine.now();
        let waiting = list.into_iter().map(|at| Waiting {
            scope: at.place.scope,
            resource: at.place.resource,
            requests: at.requests,
            amount: at.amount,
            longest: now.saturating_sub(at.since),
        });
        waiting.collect()
    }

    /// How many waits began and ended, by the class of the scope that the request waited for first,
    /// in the order of [`ScopeClass::ALL`](crate::ScopeClass::ALL). The numbers never decrease.
    pub fn wait_totals(&self) -> [WaitTotals; ScopeClass::ALL.len()] {
        self.engine().waiters().totals()
    }
}

/// The requests that wait for one resource of one scope: see [`Manager::waiting`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The scope that they wait for.
    pub scope: ScopeName,
    /// The resource that it lacks.
    pub resource: Resource,
    /// How many requests wait.
    pub requests: u64,
    /// How much they ask for together: bytes for memory, a count for other resources.
    pub amount: u64,
    /// How long the one that waits longest has waited.
    pub longest: Duration,
}
