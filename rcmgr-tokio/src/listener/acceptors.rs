//! The tasks that wait for a connection of one listener.
//!
//! A listener keeps the waker of its last call only. So it gets always the same waker, which wakes
//! all tasks that wait. Each tries, and all but one wait again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use pin_project_lite::pin_project;
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

    /// The next wake-up of all tasks, counted from this call. Its first poll is never ready: a task
    /// that was woken while it tried lets others have their turn first.
    pub(super) fn woken(&self) -> Woken<'_> {
        Woken {
            notified: self.all.0.notified(),
            is_first: true,
            was_woken: false,
        }
    }
}

pin_project! {
    /// See [`Acceptors::woken`].
    #[derive(Debug)]
    pub(super) struct Woken<'a> {
        #[pin]
        notified: Notified<'a>,
        is_first: bool,
        was_woken: bool,
    }
}

impl Future for Woken<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let woken = self.project();
        if *woken.was_woken {
            return Poll::Ready(());
        }
        let is_first = std::mem::replace(woken.is_first, false);
        match woken.notified.poll(cx) {
            Poll::Ready(()) if is_first => {
                *woken.was_woken = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }
}
