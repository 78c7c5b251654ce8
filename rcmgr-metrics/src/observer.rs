//! The observer: a manager and the options of its output.

use std::sync::Arc;

use rcmgr_atomic::Manager;
use rcmgr_config::reload::LimitsWatcher;

#[cfg(feature = "sink")]
use crate::trace::TraceCounters;

/// Reads a manager on request, and only then: observing a manager does not slow down reservations.
///
/// The output is bounded, also if remotes invent many peers and protocols: no peer has its own
/// series, and only a limited number of protocols and services has.
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
    /// An observer that shows at most 100 protocols and 100 services by name.
    pub fn new(manager: Manager) -> Self {
        Self {
            manager,
            watcher: None,
            #[cfg(feature = "sink")]
            trace: None,
            most_names: 100,
        }
    }

    /// Sets the number of protocols, and of services, that metrics show by name: those with the
    /// most streams and connections, then those with the most memory. The others are summed up
    /// under the name `other`.
    pub fn most_names(mut self, most: usize) -> Self {
        self.most_names = most;
        self
    }

    /// Also shows the number of reloads of the limits file. The file is watched at least as long as
    /// the observer exists.
    pub fn watcher(mut self, watcher: Arc<LimitsWatcher>) -> Self {
        self.watcher = Some(watcher);
        self
    }

    /// Also shows the number of operations that a [sink](crate::trace::TraceSink) has written, and
    /// the number that it dropped.
    #[cfg(feature = "sink")]
    pub fn trace(mut self, counters: TraceCounters) -> Self {
        self.trace = Some(counters);
        self
    }
}
