//! The counters of a watcher, shared by its thread and its owner.

use std::sync::{Mutex, PoisonError};

use rcmgr_core::{BadConfiguration, Error};

/// The counters of a [`LimitsWatcher`](super::LimitsWatcher) since its start, and the last error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadStats {
    /// How many times new limits were applied, without the first load.
    pub reloads: u64,
    /// How many times the file was found bad. A failure counts only if the text or the error
    /// differs from the previous reading.
    pub failures: u64,
    /// The error of the last reading; `None` while the file's limits are in force.
    pub error: Option<Error>,
    /// The other mistakes of the last reading, after the one in `error`: at most 49.
    pub other_errors: Vec<BadConfiguration>,
    /// How many times the file was checked, whether it had changed or not.
    pub looks: u64,
}

impl ReloadStats {
    /// The file's limits are in force.
    pub(super) fn succeeded(&mut self) {
        self.error = None;
        self.other_errors.clear();
    }
}

/// The counters, behind a lock.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<ReloadStats>);

impl Counts {
    pub(super) fn change(&self, change: impl FnOnce(&mut ReloadStats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
