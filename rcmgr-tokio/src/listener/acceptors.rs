//! The tasks that wait for a connection of one listener.
//!
//! A listener keeps the waker of its last call only. So it gets always the same waker, which wakes
//! all tasks that wait. Each tries, and all but one wait again.

use std::sync::Arc;
use std::task::{Context, Wake, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// All tasks that wait.
#[derive(Debug)]
pub(super) struct Acceptors {
    all: Arc<All>,
    waker: Waker,
}

#[derive(Debug, Default)]
struct All(Notify);

impl Wake for All {
    fn wake(self: Arc<Self>) {
        self.0.notify_waiters();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.notify_waiters();
    }
}

impl Default for Acceptors {
    fn default() -> Self {
        let all = Arc::new(All::default());
        Self {
            waker: Waker::from(all.clone()),
            all,
        }
    }
}

impl Acceptors {
    /// A context whose waker wakes all tasks.
    pub(super) fn context(&self) -> Context<'_> {
        Context::from_waker(&self.waker)
    }

    /// The next wake-up of all tasks, counted from this call.
    pub(super) fn woken(&self) -> Notified<'_> {
        self.all.0.notified()
    }
}
