//! The pauses of an accept loop: when it is out of file descriptors or memory, and when its listener
//! seems to be broken.
//!
//! A shortage is an episode: it is logged once when it begins and once when it is over. It is over
//! when there was no such error for a second, so that a server at its limit does not log each time
//! that a connection comes and goes.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep};

use crate::accept::Shortage;
use crate::descriptors::{self, FreeDescriptor};

/// The first pause in a shortage. Each pause is twice as long as the one before.
const FIRST: Duration = Duration::from_millis(5);
/// The longest pause in a shortage.
const LONGEST: Duration = Duration::from_millis(100);
/// An episode is over after this time without an error.
const QUIET: Duration = Duration::from_secs(1);
/// After this many unknown errors in a row there is a pause.
const UNKNOWN_IN_A_ROW: u32 = 256;

/// The pauses of one listener. All its tasks share them.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// Whether there is anything in the state. It spares the lock when all is well.
    has_trouble: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    episode: Option<Episode>,
    pause: Option<Pause>,
    /// How many unknown errors came since the last connection.
    unknown: u32,
    has_logged_unknown: bool,
}

/// An episode in which file descriptors or memory are short.
struct Episode {
    began: Instant,
    next_pause: Duration,
    /// How many connections were accepted since it began.
    accepted: u64,
    last: Instant,
    /// Set when no connection is there to accept: ends after a quiet time.
    quiet: Option<Pin<Box<Sleep>>>,
}

/// A pause that has begun.
struct Pause {
    end: Pin<Box<Sleep>>,
    /// Ends the pause early. Only in a shortage.
    freed: Option<FreeDescriptor>,
}

impl Pauses {
    /// Whether the loop may accept now. If not, the waker is woken when it may.
    pub(super) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.has_trouble() {
            return Poll::Ready(());
        }
        self.lock().poll_pause(cx)
    }

    /// Notes an error of a shortage. After the first error of a pause, the loop must try once more at
    /// once: a descriptor that was freed before the pause began ends no pause. After another error it
    /// asks [`poll_ready`](Self::poll_ready).
    pub(super) fn shortage(&self, shortage: Shortage, error: &io::Error) -> IsFirst {
        let mut state = self.lock();
        self.set_trouble(true);
        let now = Instant::now();
        let State { episode, pause, .. } = &mut *state;
        if episode.is_none() {
            tracing::warn!("{}", Began(shortage, error));
        }
        let episode = episode.get_or_insert_with(|| Episode::new(now));
        episode.last = now;
        episode.quiet = None;
        if pause.is_some() {
            return IsFirst(false);
        }
        *pause = Some(Pause {
            end: Box::pin(sleep(episode.next_pause)),
            freed: Some(FreeDescriptor::new()),
        });
        episode.next_pause = (2 * episode.next_pause).min(LONGEST);
        IsFirst(true)
    }

    /// Notes an error that says nothing clear about the listener.
    pub(super) fn unknown(&self, error: &io::Error) {
        let mut state = self.lock();
        self.set_trouble(true);
        state.unknown += 1;
        if state.unknown < UNKNOWN_IN_A_ROW {
            return;
        }
        state.unknown = 0;
        state.pause = Some(Pause {
            end: Box::pin(sleep(FIRST)),
            freed: None,
        });
        if !state.has_logged_unknown {
            state.has_logged_unknown = true;
            tracing::warn!(
                "a listener accepts no connection: {UNKNOWN_IN_A_ROW} errors in a row, the last: \
                 {error}. It keeps trying, with a pause of {FIRST:?} after as many"
            );
        }
    }

    /// Notes a connection that was accepted, which ends a pause. Tasks that wait for its end are woken.
    pub(super) fn accepted(&self, cx: &Context<'_>) {
        if !self.has_trouble() {
            return;
        }
        let mut state = self.lock();
        if state.pause.take().is_some() {
            cx.waker().wake_by_ref();
        }
        state.unknown = 0;
        state.has_logged_unknown = false;
        if let Some(episode) = &mut state.episode {
            episode.accepted += 1;
            episode.next_pause = FIRST;
            if episode.last.elapsed() >= QUIET {
                state.end_episode();
            }
        }
        self.set_trouble(state.episode.is_some());
    }

    /// Ends a shortage when it was quiet for long enough while no connection arrived. Until then, the
    /// waker is woken at that time.
    pub(super) fn poll_quiet(&self, cx: &mut Context<'_>) {
        if !self.has_trouble() {
            return;
        }
        let mut state = self.lock();
        let Some(episode) = &mut state.episode else {
            return;
        };
        let last = episode.last;
        let timer = || Box::pin(tokio::time::sleep_until(last + QUIET));
        let quiet = episode.quiet.get_or_insert_with(timer);
        if quiet.as_mut().poll(cx).is_ready() {
            state.end_episode();
        }
    }

    fn has_trouble(&self) -> bool {
        // Relaxed: a hint. The lock decides, and a task sees at least its own changes.
        self.has_trouble.load(Ordering::Relaxed)
    }

    fn set_trouble(&self, has_trouble: bool) {
        // Relaxed: as above.
        self.has_trouble.store(has_trouble, Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error is the first of a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IsFirst(pub(super) bool);

impl State {
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(pause) = &mut self.pause else {
            return Poll::Ready(());
        };
        let freed = pause.freed.as_mut();
        let is_freed = freed.is_some_and(|freed| freed.poll(cx).is_ready());
        if !is_freed && pause.end.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        self.pause = None;
        Poll::Ready(())
    }

    fn end_episode(&mut self) {
        if let Some(Episode {
            began,
            last,
            accepted,
            ..
        }) = self.episode.take()
        {
            let seconds = (last - began).as_secs_f64();
            tracing::warn!(
                "the shortage of file descriptors or memory is over after {seconds:.1} s, in which \
                 {accepted} connections were accepted"
            );
        }
    }
}

impl Episode {
    fn new(now: Instant) -> Self {
        Self {
            began: now,
            next_pause: FIRST,
            accepted: 0,
            last: now,
            quiet: None,
        }
    }
}

/// The line in the log when a shortage begins.
struct Began<'a>(Shortage, &'a io::Error);

impl fmt::Display for Began<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(shortage, error) = self;
        let missing = match shortage {
            Shortage::OfProcess => "a free file descriptor",
            Shortage::OfMachine => "a free file descriptor of the machine",
            Shortage::Memory => "free memory of the machine",
        };
        write!(f, "new connections wait for {missing}: {error}")?;
        if let (Some(open), Some(allowed)) = (descriptors::open(), descriptors::allowed()) {
            write!(
                f,
                ". The process has {open} of {allowed} file descriptors open"
            )?;
        }
        if *shortage == Shortage::OfProcess {
            f.write_str(
                ". Raise RLIMIT_NOFILE, or let the manager refuse connections before descriptors \
                 run out: see `Guarded::descriptors_in_reserve`",
            )?;
        }
        Ok(())
    }
}

impl fmt::Debug for Episode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Episode")
            .field("began", &self.began)
            .field("accepted", &self.accepted)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pause")
            .field("end", &self.end.deadline())
            .finish_non_exhaustive()
    }
}
