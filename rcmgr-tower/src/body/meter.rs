//! Charges a body on the span of its request, chunk by chunk.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_body::Frame;
use pin_project_lite::pin_project;
use rcmgr_atomic::ReserveWhenAvailable;
use rcmgr_core::{Error, Priority};
use tokio::time::{Sleep, sleep};

use super::pace::Pace;
use crate::budget::BodyBudget;
use crate::refusal::Refusal;
use crate::span::RequestSpan;

/// Charges the body of one request.
pub(crate) struct Meter<D> {
    span: RequestSpan,
    budget: BodyBudget,
    priority: Priority,
    /// The memory of the request without its body.
    base: u64,
    /// The length that the client declared; zero if it declared none.
    declared: u64,
    so_far: u64,
    /// How much is charged for the body now.
    held: u64,
    waiting: Option<Pin<Box<Waiting<D>>>>,
    pace: Option<Pace>,
}

pin_project! {
    /// A chunk that waits for room.
    struct Waiting<D> {
        frame: Option<Frame<D>>,
        size: u64,
        room: ReserveWhenAvailable<RequestSpan>,
        #[pin]
        deadline: Sleep,
    }
}

impl<D> Meter<D> {
    /// For a body of which the client has declared this length.
    ///
    /// # Errors
    ///
    /// If a body of this length can never be accepted.
    pub(crate) fn new(
        span: RequestSpan,
        budget: BodyBudget,
        priority: Priority,
        base: u64,
        declared: u64,
    ) -> Result<Self, Refusal> {
        let meter = Self {
            span,
            budget,
            priority,
            base,
            declared,
            so_far: 0,
            held: 0,
            waiting: None,
            pace: None,
        };
        meter.check_length(declared)?;
        // A streamed body is never held as a whole.
        if !budget.is_streamed && declared > 0 {
            meter.check_fits(declared)?;
        }
        Ok(meter)
    }

    fn check_length(&self, length: u64) -> Result<(), Refusal> {
        let most = self.budget.per_request;
        if length > most {
            // No scope knows this maximum, and the manager counts the refusals of all limits.
            self.span.count_refusal(length, most);
            return Err(Refusal::BodyTooLong { length, most });
        }
        Ok(())
    }

    /// Checks whether the body could hold `more` bytes if nothing else held memory.
    fn check_fits(&self, more: u64) -> Result<(), Refusal> {
        let fits = self.span.check_alone(self.in_all(more), self.priority);
        fits.map_err(Refusal::LargerThanLimit)
    }

    /// All that the request needs if its body holds `more` bytes.
    fn in_all(&self, more: u64) -> u64 {
        self.base.saturating_add(self.held).saturating_add(more)
    }

    /// The handler asks for the next chunk. Ready with the frame that waited for room, if one did.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Frame<D>>, Refusal>> {
        if self.waiting.is_some() {
            return self.poll_room(cx).map_ok(Some);
        }
        if self.budget.is_streamed {
            self.release();
        }
        Poll::Ready(Ok(None))
    }

    /// The handler waits for the client. Ready when that takes too long.
    pub(super) fn poll_too_slow(&mut self, cx: &mut Context<'_>) -> Poll<Refusal> {
        if self.budget.chunk_within.is_none() && self.budget.slowest.is_none() {
            return Poll::Pending;
        }
        let pace = self.pace.get_or_insert_with(Pace::new);
        pace.poll_too_slow(cx, &self.budget, self.so_far)
    }

    /// A frame has arrived, with `size` bytes of data. Ready with the frame when it is charged.
    pub(super) fn poll_charge(
        &mut self,
        cx: &mut Context<'_>,
        frame: Frame<D>,
        size: u64,
    ) -> Poll<Result<Frame<D>, Refusal>> {
        if let Some(pace) = &mut self.pace {
            pace.arrived();
        }
        if size == 0 {
            return Poll::Ready(Ok(frame));
        }
        self.so_far = self.so_far.saturating_add(size);
        self.check_length(self.so_far)?;
        if self.budget.wait.is_zero() {
            let reserved = self.span.reserve_memory(size, self.priority);
            reserved.map_err(|error| self.refused(error, size))?;
            self.held += size;
            return Poll::Ready(Ok(frame));
        }
        // With waiting allowed, the first attempt is that of the future. So a request that waits and
        // then gets room counts no refusal.
        let mut room = self.span.reserve_when_available(size, self.priority);
        match Pin::new(&mut room).poll(cx) {
            Poll::Ready(Ok(reserved)) => {
                self.held += reserved.keep();
                Poll::Ready(Ok(frame))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(self.refused(error, size))),
            Poll::Pending => {
                // If its own bytes are in its way, no other request can make room.
                self.check_fits(size)?;
                self.waiting = Some(Box::pin(Waiting {
                    frame: Some(frame),
                    size,
                    room,
                    deadline: sleep(longest_wait(self.budget.wait)),
                }));
                self.poll_room(cx)
            }
        }
    }

    /// Waits for room for the frame that has arrived.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<Frame<D>, Refusal>> {
        let waiting = self.waiting.as_mut().expect("a frame waits");
        let waiting = waiting.as_mut().project();
        let size = *waiting.size;
        // Room that comes together with the deadline counts.
        let reserved = match Pin::new(waiting.room).poll(cx) {
            Poll::Ready(reserved) => reserved.map(|reserved| reserved.keep()),
            Poll::Pending => {
                ready!(waiting.deadline.poll(cx));
                let frame = waiting.frame.take();
                // It gives up its place before it tries once more. Then the error of a scope says
                // why there is no room.
                self.waiting = None;
                let reserved = self.span.reserve_memory(size, self.priority);
                return Poll::Ready(self.charged(reserved.map(|()| size), frame, size));
            }
        };
        let frame = waiting.frame.take();
        self.waiting = None;
        Poll::Ready(self.charged(reserved, frame, size))
    }

    fn charged(
        &mut self,
        reserved: Result<u64, Error>,
        frame: Option<Frame<D>>,
        size: u64,
    ) -> Result<Frame<D>, Refusal> {
        self.held += reserved.map_err(|error| self.refused(error, size))?;
        Ok(frame.expect("a frame waits"))
    }

    /// Why a chunk of this size was refused.
    fn refused(&self, error: Error, size: u64) -> Refusal {
        let in_all = match self.budget.is_streamed {
            true => self.in_all(size),
            false => self
                .in_all(size)
                .max(self.base.saturating_add(self.declared)),
        };
        match Refusal::of_body(error, in_all) {
            // The scope that refused is full of others. It may not be the one with the lowest limit.
            Refusal::NoRoom(error @ (Error::LimitExceeded(_) | Error::WaitersFirst(_))) => {
                let alone = self.span.check_alone(in_all, self.priority);
                alone.map_or_else(Refusal::LargerThanLimit, |()| Refusal::NoRoom(error))
            }
            refusal => refusal,
        }
    }

    /// Whether a frame waits for room, and how much data it has.
    pub(super) fn waiting(&self) -> Option<u64> {
        self.waiting.as_ref().map(|waiting| waiting.size)
    }

    /// Gives back what is charged for the body.
    fn release(&mut self) {
        if self.held > 0 {
            self.span.release_memory(self.held);
            self.held = 0;
        }
    }

    /// Refuses the body. All that is charged for it is given back at once: the handler gets an error
    /// in place of the body, and another body may be waiting for this memory.
    pub(super) fn refuse(mut self) -> RequestSpan {
        self.waiting = None;
        self.release();
        self.span.clone()
    }
}

/// How long a chunk waits at most: up to an eighth less than it may. Bodies that began to wait together
/// would give up together otherwise, although the memory of the first is enough for the others.
fn longest_wait(wait: Duration) -> Duration {
    wait - wait.mul_f64(fastrand::f64() / 8.0)
}

impl<D> Drop for Meter<D> {
    fn drop(&mut self) {
        // Otherwise the end of the span gives it back.
        if self.budget.is_streamed {
            self.release();
        }
    }
}
