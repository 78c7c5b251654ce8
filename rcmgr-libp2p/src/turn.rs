//! The end of a task's turn while the task has more to do.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use futures::task::AtomicWaker;

/// Wakes the task after the others: when the tasks that are ready have had their turn, and sockets
/// have been looked at.
///
/// A task that wakes itself in the usual way is ready at once. While one task is ready, tokio looks at
/// sockets only after every 61st turn. So the first packet of an honest peer would wait for 61 turns of
/// tasks with too much to do. Outside of tokio the task is woken at once.
pub(crate) fn end(cx: &mut Context<'_>) {
    // The first poll defers the waker, and is always pending.
    let _ = pin!(tokio::task::yield_now()).poll(cx);
}

/// A pause of a part of a task, until the others have had their turn.
///
/// The other parts may wake the task before that. For example, a stream that is dropped wakes its
/// muxer. So without a pause, the task would often be ready at once.
#[derive(Debug, Default)]
pub(crate) struct Pause(Option<Arc<End>>);

#[derive(Debug, Default)]
struct End {
    has_come: AtomicBool,
    task: AtomicWaker,
}

impl Wake for End {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Relaxed: the task sees it when it is polled because of the wake.
        self.has_come.store(true, Ordering::Relaxed);
        self.task.wake();
    }
}

impl Pause {
    /// Begins a pause. The task is woken at its end.
    pub(crate) fn begin(&mut self, cx: &mut Context<'_>) {
        let pause_end = self.0.get_or_insert_default();
        pause_end.has_come.store(false, Ordering::Relaxed);
        pause_end.task.register(cx.waker());
        end(&mut Context::from_waker(&Waker::from(pause_end.clone())));
    }

    /// Whether a pause has begun that has not ended.
    pub(crate) fn is_on(&self) -> bool {
        let is_on = |pause_end: &Arc<End>| !pause_end.has_come.load(Ordering::Relaxed);
        self.0.as_ref().is_some_and(is_on)
    }
}
