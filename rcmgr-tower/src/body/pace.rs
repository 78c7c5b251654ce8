//! How slowly a body may arrive.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use crate::budget::BodyBudget;
use crate::refusal::Refusal;

/// Measures how long a handler waits for a body.
pub(super) struct Pace {
    /// How long it has waited before the wait in progress.
    waited: Duration,
    since: Instant,
    is_waiting: bool,
    /// Ready when the wait in progress is too long.
    deadline: Pin<Box<Sleep>>,
    /// Whether the wait in progress may be too long at all: the clock reaches that far.
    has_deadline: bool,
}

impl Pace {
    /// For a handler that starts to wait now.
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            waited: Duration::ZERO,
            since: now,
            is_waiting: false,
            deadline: Box::pin(sleep_until(now)),
            has_deadline: false,
        }
    }

    /// The handler waits for the body, which has `so_far` bytes. Ready when it has waited too long.
    pub(super) fn poll_too_slow(
        &mut self,
        cx: &mut Context<'_>,
        budget: &BodyBudget,
        so_far: u64,
    ) -> Poll<Refusal> {
        if !self.is_waiting {
            self.is_waiting = true;
            self.since = Instant::now();
            let deadline = self.since.checked_add(self.longest(budget, so_far));
            self.has_deadline = deadline.is_some();
            if let Some(deadline) = deadline {
                self.deadline.as_mut().reset(deadline);
            }
        }
        if !self.has_deadline {
            return Poll::Pending;
        }
        self.deadline.as_mut().poll(cx).map(|()| Refusal::TooSlow {
            waited: self.waited + self.since.elapsed(),
            length: so_far,
        })
    }

    /// The body has arrived, or a part of it.
    pub(super) fn arrived(&mut self) {
        if self.is_waiting {
            self.is_waiting = false;
            self.waited += self.since.elapsed();
        }
    }

    /// How long the wait that starts now may last.
    fn longest(&self, budget: &BodyBudget, so_far: u64) -> Duration {
        let by_chunk = budget.chunk_within.unwrap_or(Duration::MAX);
        let by_rate = budget.slowest.map_or(Duration::MAX, |(rate, grace)| {
            let seconds = Duration::from_secs(so_far / rate);
            let part = Duration::from_secs_f64((so_far % rate) as f64 / rate as f64);
            let allowed = grace.saturating_add(seconds).saturating_add(part);
            allowed.saturating_sub(self.waited)
        });
        by_chunk.min(by_rate)
    }
}
