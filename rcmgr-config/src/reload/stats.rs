//! The counters of a watcher, shared by its thread and its owner.

use std::sync::{Mutex, PoisonError};

use rcmgr_core::Error;

/// What a [`LimitsWatcher`](super::LimitsWatcher) did since it started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReloadStats {
    /// How often other limits were applied. The load at the start is not counted.
    pub reloads: u64,
    /// How often the file was found bad, each time with another text, or for another reason, than
    /// before.
    pub failures: u64,
    /// What is wrong with the file as it was found last; `None` while the limits are what it says.
    pub error: Option<Error>,
    /// How often the file was looked at, whether it had changed or not.
    pub looks: u64,
}

/// The stats, as the thread changes them.
#[derive(Debug, Default)]
pub(super) struct Counts(Mutex<ReloadStats>);

impl Counts {
    pub(super) fn change(&self, change: impl FnOnce(&mut ReloadStats)) {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
