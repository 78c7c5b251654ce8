use std::sync::Arc;

use rcmgr_atomic::Manager;
use rcmgr_config::reload::LimitsWatcher;

#[cfg(feature = "sink")]
use crate::trace::TraceCounters;

/// Reads a manager whenever somebody wants to see it, and never otherwise: reservations pay nothing
/// for being observed.
///
/// However many peers and protocols remotes make up, what is shown stays small: no peer has a
/// series of its own, and only so many protocols and services have.
///
/// ```
/// use rcmgr_atomic::{Manager, Limits};
/// use rcmgr_metrics::Observer;
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let observer = Observer::new(manager).most_names(20);
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct Observer {
    pub(crate) manager: Manager,
    pub(crate) watcher: Option<Arc<LimitsWatcher>>,
    #[cfg(feature = "sink")]
    pub(crate) trace: Option<TraceCounters>,
    pub(crate) most_names: usize,
}

impl Observer {
    /// One that shows at most 100 protocols and 100 services by name.
    pub fn new(manager: Manager) -> Self {
        Self {
            manager,
            watcher: None,
            #[cfg(feature = "sink")]
            trace: None,
            most_names: 100,
        }
    }

    /// How many protocols, and how many services, metrics show by name: those with most streams and
    /// connections, then those with most memory. The rest is summed up under the name `other`.
    pub fn most_names(mut self, most: usize) -> Self {
        self.most_names = most;
        self
    }

    /// Shows also how often limits were reloaded. The file is followed at least as long as the
    /// observer is there.
    pub fn watcher(mut self, watcher: Arc<LimitsWatcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Shows also how much of what the manager does a [sink](crate::trace::TraceSink) has written, and
    /// how much it had to drop.
    #[cfg(feature = "sink")]
    pub fn trace(mut self, counters: TraceCounters) -> Self {
        self.trace = Some(counters);
        self
    }
}
