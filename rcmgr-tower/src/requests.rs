//! The requests of a connection that are in progress, for the limit of time without any.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The requests of a connection, and when it last did something for one.
#[derive(Debug)]
pub(crate) struct Requests {
    start: Instant,
    in_progress: AtomicUsize,
    /// In milliseconds since `start`.
    active_at: AtomicU64,
    /// The socket belongs to another protocol now, whose requests are not seen.
    is_upgraded: AtomicBool,
}

impl Requests {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            in_progress: AtomicUsize::new(0),
            active_at: AtomicU64::new(0),
            is_upgraded: AtomicBool::new(false),
        })
    }

    /// Notes that the connection does something for a request now.
    pub(crate) fn note_activity(&self) {
        let since_start = self.start.elapsed().as_millis();
        let since_start = u64::try_from(since_start).unwrap_or(u64::MAX);
        self.active_at.store(since_start, Ordering::Relaxed);
    }

    /// Begins a request.
    pub(crate) fn begin(self: Arc<Self>) -> InProgress {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        InProgress(self)
    }

    /// The earliest time at which the connection may have been without a request for `limit`. `None`
    /// if there is no such time.
    pub(crate) fn idle_at(&self, limit: Duration) -> Option<Instant> {
        if self.is_upgraded.load(Ordering::Relaxed) {
            return None;
        }
        // Acquire: with the end of the last request, its time is seen.
        if self.in_progress.load(Ordering::Acquire) > 0 {
            // Later than now even with a limit of zero, so that no request is cut.
            return Instant::now().checked_add(limit.max(Duration::from_millis(1)));
        }
        let active_at = Duration::from_millis(self.active_at.load(Ordering::Relaxed));
        self.start.checked_add(active_at)?.checked_add(limit)
    }
}

/// A request in progress. Dropping it ends the request.
#[derive(Debug)]
pub(crate) struct InProgress(Arc<Requests>);

impl InProgress {
    /// Notes that the request has turned the connection over to another protocol.
    pub(crate) fn note_upgrade(&self) {
        self.0.is_upgraded.store(true, Ordering::Relaxed);
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.note_activity();
        // Release: the time of the end goes before the end.
        self.0.in_progress.fetch_sub(1, Ordering::Release);
    }
}
