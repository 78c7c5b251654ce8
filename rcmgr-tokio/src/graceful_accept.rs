//! Accepting until the graceful end of a server begins.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::accept::Accept;
use crate::graceful::Graceful;
use crate::listener::Guarded;
use crate::stream::GuardedStream;

impl Graceful {
    /// The next connection of a listener, which is counted; `None` once the end has begun. Then drop
    /// the listener: its clients go elsewhere.
    ///
    /// A server that leaves the accepting to a framework calls [`Guarded::ended_by`] instead, and
    /// stops the framework with the [notice](Self::notice).
    pub async fn accept<L: Accept>(&self, listener: &Guarded<L>) -> Option<GuardedStream<L::Io>> {
        let notice = self.notice();
        let mut begun = pin!(notice.cancelled());
        let mut accept = pin!(listener.accept());
        // The notice first: under a flood, there is always a connection to accept.
        let stream = poll_fn(|cx| match begun.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(None),
            Poll::Pending => accept.as_mut().poll(cx).map(Some),
        });
        Some(stream.await?.ended_by(self))
    }
}
