//! What reaches all sessions of a server, from any thread.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use crate::relay::Cut;
use crate::session::{Shared, Table};
use crate::settings::Overflow;

/// The state of a server that its workers share.
#[derive(Debug)]
pub(super) struct Control {
    pub(super) shared: Arc<Shared>,
    tables: Mutex<Vec<Weak<Table>>>,
    /// Notified when everything is cut.
    is_cut: Condvar,
    cut_sessions: AtomicUsize,
    sheds: AtomicBool,
}

impl Control {
    pub(super) fn new(shared: Shared, overflow: Overflow) -> Self {
        Self {
            shared: Arc::new(shared),
            tables: Mutex::default(),
            is_cut: Condvar::new(),
            cut_sessions: AtomicUsize::new(0),
            sheds: AtomicBool::new(overflow == Overflow::ShedIdle),
        }
    }

    /// Adds the table of a listener on a worker.
    pub(super) fn add(&self, table: &Arc<Table>) {
        let mut tables = self.lock();
        tables.retain(|table| table.strong_count() > 0);
        tables.push(Arc::downgrade(table));
    }

    /// The tables that are in use.
    pub(super) fn tables(&self) -> Vec<Arc<Table>> {
        self.lock().iter().filter_map(Weak::upgrade).collect()
    }

    /// Cuts everything at once.
    pub(super) fn cut(&self) {
        self.shared.cut();
        let cut: usize = (self.tables().iter())
            .map(|table| table.cut(Cut::Stopped))
            .sum();
        // Relaxed: a counter.
        self.cut_sessions.fetch_add(cut, Ordering::Relaxed);
        // With the lock: a thread that is about to wait has seen the cut, or is woken.
        let _tables = self.lock();
        self.is_cut.notify_all();
    }

    /// How many running sessions were cut by [`cut`](Self::cut) and are not reported yet.
    pub(super) fn take_cut_sessions(&self) -> usize {
        self.cut_sessions.swap(0, Ordering::Relaxed)
    }

    /// Waits for a while, or until everything is cut.
    pub(super) fn pause(&self, at_most: Duration) {
        let tables = self.lock();
        if !self.shared.is_cut() {
            let waited = self.is_cut.wait_timeout(tables, at_most);
            drop(waited.unwrap_or_else(PoisonError::into_inner));
        }
    }

    pub(super) fn sheds(&self) -> bool {
        // Relaxed: a setting, here and below.
        self.sheds.load(Ordering::Relaxed)
    }

    pub(super) fn set_overflow(&self, overflow: Overflow) {
        let sheds = overflow == Overflow::ShedIdle;
        self.sheds.store(sheds, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Table>>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
