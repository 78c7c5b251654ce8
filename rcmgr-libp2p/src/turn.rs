//! The turns of tasks that have more to do than one turn takes.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
        // Relaxed: the wake orders it before the poll that follows.
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

    /// Whether a pause was begun. It may have ended.
    #[inline]
    pub(crate) fn was_begun(&self) -> bool {
        self.0.is_some()
    }

    /// Whether a pause has begun that has not ended. If so, the task is woken at its end.
    #[inline]
    pub(crate) fn is_on(&self, cx: &mut Context<'_>) -> bool {
        (self.0.as_ref()).is_some_and(|pause_end| pause_end.is_awaited(cx))
    }
}

impl End {
    /// Whether it has not come. If so, the task is woken when it comes.
    fn is_awaited(&self, cx: &mut Context<'_>) -> bool {
        // Relaxed, here and below: the flag tells of nothing else.
        if self.has_come.load(Ordering::Relaxed) {
            return false;
        }
        // The task may have another waker by now. The end may come before this one is registered.
        self.task.register(cx.waker());
        !self.has_come.load(Ordering::Relaxed)
    }
}

/// The most inbound streams, granted or refused, before the task of a connection gives way. The task
/// goes on while its muxer has streams. So a remote that opens them faster than they are negotiated
/// could keep it busy for seconds.
pub(crate) const STREAMS: usize = 8;
/// The same of all connections together, while several have too many streams. Each takes one at least.
pub(crate) const SHARED_STREAMS: usize = 4;
/// A connection that had no flood so far takes so many streams in a turn at least: two streams at once
/// are usual.
pub(crate) const FIRST_STREAMS: u8 = 2;

/// How many connections of a swarm have more inbound streams than a turn takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Floods(Arc<AtomicUsize>);

/// A connection with more inbound streams than a turn takes. It counts until this is dropped.
#[derive(Debug)]
pub(crate) struct Flood {
    all: Floods,
    /// Its muxer was polled, and not yet asked for streams.
    pub(crate) is_polled: bool,
}

impl Floods {
    pub(crate) fn begin(&self) -> Flood {
        // Relaxed, here and below: a turn may be a little longer or shorter.
        self.0.fetch_add(1, Ordering::Relaxed);
        Flood {
            all: self.clone(),
            is_polled: false,
        }
    }

    /// How many streams a connection takes in a turn.
    fn streams_in_a_turn(&self, flood: Option<&Flood>) -> usize {
        let floods = self.0.load(Ordering::Relaxed);
        match flood {
            Some(_) if floods > 1 => (SHARED_STREAMS / floods).max(1),
            None if floods > 0 => (SHARED_STREAMS / (floods + 1)).max(FIRST_STREAMS.into()),
            _ => STREAMS,
        }
    }
}

/// Whether a connection that has taken so many streams gives way. `flood` is its own, `floods` counts all.
#[inline]
pub(crate) fn is_over(taken: u8, flood: Option<&Flood>, floods: &Floods) -> bool {
    // It takes one stream at least, and two without a flood of its own. So for these, the counter that all
    // connections share is not read.
    let least = if flood.is_some() { 1 } else { FIRST_STREAMS };
    taken >= least && usize::from(taken) >= floods.streams_in_a_turn(flood)
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.all.0.fetch_sub(1, Ordering::Relaxed);
    }
}
