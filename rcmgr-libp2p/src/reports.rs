//! What the wrappers of a swarm report to its behaviour: refusals, and the connections that they
//! hold.

mod arrivals;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use crossbeam_queue::ArrayQueue;
use futures::task::AtomicWaker;
use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use rcmgr_core::{Direction, Error, ScopeClass};

pub(crate) use arrivals::{Arrival, Arrivals};

/// The most refusals that wait for the behaviour.
pub(crate) const CAPACITY: usize = 256;

/// A connection or stream that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refused {
    /// What was refused: [`ScopeClass::Connection`] or [`ScopeClass::Stream`].
    pub class: ScopeClass,
    /// The direction it was opened in.
    pub direction: Direction,
    /// The peer, if it is known: of a stream, and of a connection that its peer's limits refused.
    pub peer: Option<PeerId>,
    /// The remote address of a connection. `None` for a stream.
    pub address: Option<Multiaddr>,
    /// The protocol of a stream that was refused when both sides had agreed on it. `None` if it was
    /// refused when it was opened.
    pub protocol: Option<Arc<str>>,
    /// The limit that was reached, with its scope and the numbers.
    pub error: Error,
    /// How many refusals since the last event have no event, because as many events as may wait for
    /// the swarm were waiting.
    pub dropped_before: u64,
}

/// Written by the wrappers of a swarm, read by its behaviour.
#[derive(Debug)]
pub(crate) struct Reports {
    refusals: ArrayQueue<Refused>,
    /// Refusals that did not fit in the queue.
    dropped: AtomicU64,
    /// The task that polls the behaviour.
    waker: AtomicWaker,
    arrivals: Arc<Arrivals>,
}

impl Default for Reports {
    fn default() -> Self {
        Self {
            refusals: ArrayQueue::new(CAPACITY),
            dropped: AtomicU64::new(0),
            waker: AtomicWaker::new(),
            arrivals: Arc::default(),
        }
    }
}

impl Reports {
    /// Adds a refusal to the queue. If the queue is full, `refused` is not called.
    pub(crate) fn refuse(&self, refused: impl FnOnce() -> Refused) {
        if self.refusals.is_full() || self.refusals.push(refused()).is_err() {
            // Relaxed: a counter.
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        self.waker.wake();
    }

    /// The oldest refusal in the queue.
    pub(crate) fn poll_refused(&self, cx: &mut Context<'_>) -> Poll<Refused> {
        if let Some(refused) = self.refusals.pop() {
            return Poll::Ready(refused);
        }
        self.waker.register(cx.waker());
        // A refusal between these two steps found no waker.
        self.refusals.pop().map_or(Poll::Pending, Poll::Ready)
    }

    /// How many refusals did not fit in the queue.
    pub(crate) fn dropped(&self) -> u64 {
        // Relaxed: a counter.
        self.dropped.load(Ordering::Relaxed)
    }

    pub(crate) fn arrivals(&self) -> &Arc<Arrivals> {
        &self.arrivals
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    use rcmgr_core::ScopeId;

    use super::*;

    fn refused(number: u64) -> Refused {
        Refused {
            class: ScopeClass::Stream,
            direction: Direction::Inbound,
            peer: None,
            address: None,
            protocol: None,
            error: Error::ScopeClosed {
                scope: ScopeId::Stream(number).into(),
            },
            dropped_before: 0,
        }
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn refusals_come_in_order_and_those_that_find_the_queue_full_are_counted_and_not_made() {
        let reports = Reports::default();
        for number in 0..CAPACITY as u64 {
            reports.refuse(|| refused(number));
        }
        for _ in 0..7 {
            reports.refuse(|| panic!("nothing may be allocated for it"));
        }
        assert_eq!(reports.dropped(), 7);

        let mut cx = Context::from_waker(Waker::noop());
        for number in 0..CAPACITY as u64 {
            assert_eq!(reports.poll_refused(&mut cx), Poll::Ready(refused(number)));
        }
        assert!(reports.poll_refused(&mut cx).is_pending());
        reports.refuse(|| refused(7));
        assert!(reports.poll_refused(&mut cx).is_ready());
        assert_eq!(reports.dropped(), 7);
    }

    #[test]
    fn a_refusal_wakes_the_task_that_waits_for_it() {
        let reports = Reports::default();
        let wakes = Arc::new(Wakes::default());
        let waker = wakes.clone().into();
        let mut cx = Context::from_waker(&waker);
        for round in 1..4 {
            assert!(reports.poll_refused(&mut cx).is_pending());
            reports.refuse(|| refused(0));
            assert_eq!(wakes.0.load(Ordering::Relaxed), round);
            assert!(reports.poll_refused(&mut cx).is_ready());
        }
    }
}
