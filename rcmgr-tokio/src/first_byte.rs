//! The deadline for the first byte of a client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rcmgr_core::Endpoint;
use tokio::time::{Instant, Sleep, sleep_until};

/// The deadline of a client that has sent nothing yet.
#[derive(Debug)]
pub(crate) struct FirstByte {
    deadline: Instant,
    limit: Duration,
    has_passed: bool,
    // Each side has a timer of its own, because two tasks may wait, and a timer wakes one. A timer
    // is made when its side has to wait.
    read: Option<Pin<Box<Sleep>>>,
    write: Option<Pin<Box<Sleep>>>,
}

/// Which side of a stream waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Read,
    Write,
}

impl FirstByte {
    /// A deadline `limit` from now. `None` if that is later than a clock can show.
    pub(crate) fn within(limit: Duration) -> Option<Box<Self>> {
        let deadline = Instant::now().checked_add(limit)?;
        Some(Box::new(Self {
            deadline,
            limit,
            has_passed: false,
            read: None,
            write: None,
        }))
    }

    /// Passes the result of an operation on, or an error instead if the operation has to wait and
    /// the deadline has passed. After that there are only errors.
    pub(crate) fn check<T>(
        &mut self,
        cx: &mut Context<'_>,
        side: Side,
        peer: Endpoint,
        operation: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.has_passed {
            // A byte that is there counts, even if it is read late.
            let result = operation(cx);
            if result.is_ready() {
                return result;
            }
            ready!(self.timer(side).poll(cx));
            self.has_passed = true;
            (self.read, self.write) = (None, None);
        }
        let text = format!(
            "no byte arrived from {peer} within {:?} after the connection was accepted",
            self.limit
        );
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }

    fn timer(&mut self, side: Side) -> Pin<&mut Sleep> {
        let timer = match side {
            Side::Read => &mut self.read,
            Side::Write => &mut self.write,
        };
        let deadline = self.deadline;
        timer
            .get_or_insert_with(|| Box::pin(sleep_until(deadline)))
            .as_mut()
    }
}
