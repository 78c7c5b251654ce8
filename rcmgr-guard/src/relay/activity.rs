//! What the worker knows about a running session: when bytes last moved, which direction has ended,
//! and a way to end it. The relay writes it, and the worker's sweep reads it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use atomic_waker::AtomicWaker;
use tokio::time::Instant;

/// Why a session was ended from the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Cut {
    /// The client sent no byte in time.
    FirstByte = 1,
    /// No byte moved in either direction for too long.
    Idle,
    /// One direction had ended, and the other took too long.
    HalfClosed,
    /// The session was over a lowered limit.
    Shed,
    /// The session was idle while the proxy drained.
    Drained,
    /// The proxy stopped.
    Stopped,
    /// The memory for bytes that could not be written was refused.
    NoMemory,
}

impl Cut {
    const ALL: [Self; 7] = [
        Self::FirstByte,
        Self::Idle,
        Self::HalfClosed,
        Self::Shed,
        Self::Drained,
        Self::Stopped,
        Self::NoMemory,
    ];

    /// Whether both sides get a reset. The others get an orderly end, unless bytes are lost.
    pub(crate) const fn resets(self) -> bool {
        matches!(self, Self::Shed | Self::Stopped | Self::NoMemory)
    }
}

/// A side of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Backend,
}

/// The state of a session that its worker sees. It costs the relay a few relaxed stores for a read,
/// and no look at the clock.
#[derive(Debug)]
pub(crate) struct Activity {
    /// The times below count from here, in nanoseconds.
    start: Instant,
    /// [`MOVED`] if bytes have moved since the last call of [`last`](Self::last).
    last: AtomicU64,
    /// [`OPEN`] while both directions are open.
    half_closed: AtomicU64,
    first_byte: AtomicBool,
    /// The [`Cut`] as a number, or 0.
    cut: AtomicU8,
    to_backend: AtomicU64,
    to_client: AtomicU64,
    task: AtomicWaker,
}

const OPEN: u64 = u64::MAX;
const MOVED: u64 = u64::MAX;

impl Activity {
    /// A session that starts now.
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            last: AtomicU64::new(0),
            half_closed: AtomicU64::new(OPEN),
            first_byte: AtomicBool::new(false),
            cut: AtomicU8::new(0),
            to_backend: AtomicU64::new(0),
            to_client: AtomicU64::new(0),
            task: AtomicWaker::new(),
        }
    }

    /// Notes that something happened.
    #[inline]
    pub(crate) fn touch(&self) {
        self.last.store(MOVED, Ordering::Relaxed);
    }

    /// When the session started.
    pub(crate) const fn started(&self) -> Instant {
        self.start
    }

    /// When something last happened: the time of the first call after it. So the answer is late by at
    /// most the interval between two calls, and a touch needs no clock.
    ///
    /// Several threads may call it. In one step with the mark, so that none sees the time of before.
    pub(crate) fn last(&self) -> Instant {
        let last = self.last.load(Ordering::Relaxed);
        if last != MOVED {
            return self.at(last);
        }
        let now = self.elapsed();
        let noted = (self.last).compare_exchange(MOVED, now, Ordering::Relaxed, Ordering::Relaxed);
        // If it fails, another thread has noted its time meanwhile.
        self.at(noted.err().unwrap_or(now))
    }

    /// Since when one direction has ended, if just one has.
    pub(crate) fn half_closed_since(&self) -> Option<Instant> {
        let since = self.half_closed.load(Ordering::Relaxed);
        (since != OPEN).then(|| self.at(since))
    }

    /// Whether the client has sent a byte.
    pub(crate) fn has_first_byte(&self) -> bool {
        self.first_byte.load(Ordering::Relaxed)
    }

    /// How many bytes of the client the backend's socket has taken.
    pub(crate) fn to_backend(&self) -> u64 {
        self.passed_from(Side::Client)
    }

    /// How many bytes of the backend the client's socket has taken.
    pub(crate) fn to_client(&self) -> u64 {
        self.passed_from(Side::Backend)
    }

    /// Ends the session, and wakes its task. The first reason counts.
    pub(crate) fn cut(&self, why: Cut) {
        // Relaxed suffices here and below: nothing else is published, and the waker orders the store
        // before the load of a task that it wakes.
        let first = self
            .cut
            .compare_exchange(0, why as u8, Ordering::Relaxed, Ordering::Relaxed);
        if first.is_ok() {
            self.task.wake();
        }
    }

    /// Whether the session was cut.
    pub(crate) fn is_cut(&self) -> bool {
        self.cut.load(Ordering::Relaxed) != 0
    }

    /// Ready once the session is cut. One task at a time can wait: the last one that polls.
    pub(crate) fn poll_cut(&self, cx: &Context<'_>) -> Poll<Cut> {
        // The order matters: a cut after the load wakes the waker that is registered before it.
        self.task.register(cx.waker());
        let cut = self.cut.load(Ordering::Relaxed);
        let why = Cut::ALL.into_iter().find(|why| *why as u8 == cut);
        why.map_or(Poll::Pending, Poll::Ready)
    }

    /// Notes that bytes of a side were received.
    #[inline]
    pub(super) fn received(&self, from: Side) {
        self.touch();
        if from == Side::Client && !self.has_first_byte() {
            self.first_byte.store(true, Ordering::Relaxed);
        }
    }

    /// Notes that the other side took bytes of `from`. Only the relay counts, so a load and a store
    /// suffice.
    #[inline]
    pub(super) fn passed(&self, from: Side, bytes: usize) {
        self.touch();
        let count = self.count_from(from);
        let sum = count.load(Ordering::Relaxed) + bytes as u64;
        count.store(sum, Ordering::Relaxed);
    }

    /// How many bytes of `from` the other side has taken.
    pub(super) fn passed_from(&self, from: Side) -> u64 {
        self.count_from(from).load(Ordering::Relaxed)
    }

    const fn count_from(&self, from: Side) -> &AtomicU64 {
        match from {
            Side::Client => &self.to_backend,
            Side::Backend => &self.to_client,
        }
    }

    /// Notes that one direction has ended.
    pub(super) fn half_close(&self) {
        self.half_closed.store(self.elapsed(), Ordering::Relaxed);
    }

    fn elapsed(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(MOVED - 1)
    }

    fn at(&self, nanoseconds: u64) -> Instant {
        self.start + Duration::from_nanos(nanoseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_threads_that_look_at_a_session_all_see_its_last_bytes() {
        const ROUNDS: usize = 500;
        const SILENCE: Duration = Duration::from_millis(1);
        let activity = Activity::new();
        let done = AtomicBool::new(false);
        let late = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    activity.last();
                }
            });
            let late = (0..ROUNDS).filter(|_| {
                std::thread::sleep(SILENCE);
                let moved = Instant::now();
                activity.touch();
                // The time of before is older than the silence.
                activity.last() + SILENCE / 2 < moved
            });
            let late = late.count();
            done.store(true, Ordering::Relaxed);
            late
        });
        // A thread that loses its turn between the clock and the note may be late.
        assert!(late < ROUNDS / 100, "{late}");
    }
}
