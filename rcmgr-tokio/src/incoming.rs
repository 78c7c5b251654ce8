//! The connections of a guarded listener as a stream.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::accept::Accept;
use crate::listener::Guarded;
use crate::stream::GuardedStream;

/// The connections of a guarded listener, as a stream of results that are never errors: servers
/// such as tonic take their connections in this form. [`Guarded::incoming`] makes it.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
pub struct Incoming<L>(Guarded<L>);

impl<L: Accept> Guarded<L> {
    /// A stream of the connections that are admitted, which never ends.
    pub fn incoming(self) -> Incoming<L> {
        Incoming(self)
    }
}

// No field is pinned.
impl<L> Unpin for Incoming<L> {}

impl<L: Accept> Stream for Incoming<L> {
    type Item = Result<GuardedStream<L::Io>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_accept(cx).map(|stream| Some(Ok(stream)))
    }
}
