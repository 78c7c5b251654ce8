//! The wrapper of a muxer: each stream is charged from its start to its end.

#[cfg(test)]
mod tests;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use libp2p_core::muxing::{StreamMuxer, StreamMuxerEvent};
use pin_project_lite::pin_project;
use rcmgr_atomic::Connection;
use rcmgr_core::Direction;

use crate::reports::Arrival;
use crate::resources::{Resources, Streams};
use crate::stream::{self, LimitedStream};
use crate::turn::{self, Flood, Pause};

pin_project! {
    /// The muxer of a limited connection. The connection is charged until this is dropped.
    ///
    /// A refused inbound stream is reset. A refused outbound stream fails with the error on each read
    /// and write, and nothing of it reaches the remote. The connection goes on in both cases.
    ///
    /// yamux has a limit of its own, 512 streams in both directions together unless
    /// `set_max_num_streams` says otherwise. One more ends the connection. So keep the limit of a peer
    /// below it: the streams that were accepted and up to 256 that libp2p-yamux buffers count. An
    /// outbound stream waits while 256 are not answered, and is not charged before there is room.
    #[derive(Debug)]
    pub struct LimitedMuxer<M> {
        // Before the connection, so that its socket is closed before its descriptor is released.
        #[pin]
        inner: M,
        connection: Connection,
        resources: Resources,
        // Made with the first stream: an idle connection needs none.
        shared: Option<Arc<Streams>>,
        // Inbound streams of this turn.
        taken: u8,
        // While the muxer has more inbound streams than a turn takes. Then `poll` does not ask it, and
        // `poll_inbound` does. To accept streams, a muxer must do all its work. In `poll`, yamux does
        // the same work, and has to keep the stream that it finds. Then it wakes the task, which would
        // be ready again at once.
        flood: Option<Flood>,
        pause: Pause,
        // Told to the behaviour until this is dropped.
        _arrival: Option<Arrival>,
    }

    impl<M> PinnedDrop for LimitedMuxer<M> {
        fn drop(this: Pin<&mut Self>) {
            if let Some(shared) = &this.shared {
                shared.end();
            }
        }
    }
}

impl<M> LimitedMuxer<M> {
    pub(crate) fn new(inner: M, connection: Connection, resources: Resources) -> Self {
        Self {
            inner,
            _arrival: resources.arrival(&connection),
            connection,
            shared: None,
            resources,
            taken: 0,
            flood: None,
            pause: Pause::default(),
        }
    }
}

impl<M: StreamMuxer> LimitedMuxer<M> {
    /// Whether there is no flood, and no pause was begun since there was none.
    #[inline]
    fn is_at_rest(&self) -> bool {
        self.flood.is_none() && !self.pause.was_begun()
    }

    /// Takes the next inbound stream that is granted: `first`, if the muxer has given that already, or
    /// one that the muxer has.
    // Not inlined: the muxer is asked often, and has a stream seldom.
    #[inline(never)]
    fn poll_streams(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut first: Option<Result<M::Substream, M::Error>>,
    ) -> Poll<Result<LimitedStream<M::Substream>, M::Error>> {
        let mut this = self.project();
        if this.pause.is_on(cx) {
            return Poll::Pending;
        }
        while !turn::is_over(*this.taken, this.flood.as_ref(), this.resources.floods()) {
            let polled = first
                .take()
                .map_or_else(|| this.inner.as_mut().poll_inbound(cx), Poll::Ready);
            let Poll::Ready(inner) = polled else {
                *this.taken = 0;
                *this.flood = None;
                *this.pause = Pause::default();
                return Poll::Pending;
            };
            let inner = inner?;
            *this.taken += 1;
            if let Some(flood) = this.flood {
                flood.is_polled = false;
            }
            match this
                .resources
                .open_stream(this.connection, Direction::Inbound)
            {
                Ok(scope) => {
                    let shared = shared(this.shared, this.resources);
                    return Poll::Ready(Ok(LimitedStream::new(inner, scope, shared)));
                }
                Err(_) => stream::end_refused(inner, cx, this.resources),
            }
        }
        // The muxer has registered no waker: it has more.
        *this.taken = 0;
        let flood = (this.flood).get_or_insert_with(|| this.resources.floods().begin());
        flood.is_polled = false;
        this.pause.begin(cx);
        Poll::Pending
    }

    /// Lets the muxer work, unless it has more inbound streams than a turn takes.
    #[inline(never)]
    fn poll_in_flood(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, M::Error>> {
        let this = self.project();
        if this.pause.is_on(cx) {
            return Poll::Pending;
        }
        match this.flood {
            Some(flood) if !flood.is_polled => {
                flood.is_polled = true;
                // The muxer has registered no waker.
                turn::end(cx);
                Poll::Pending
            }
            // If there is a flood, `poll_inbound` did not follow: the swarm takes no streams for now.
            flood => {
                *flood = None;
                this.inner.poll(cx)
            }
        }
    }
}

/// What the streams of a connection share.
fn shared<'a>(made: &'a mut Option<Arc<Streams>>, resources: &Resources) -> &'a Arc<Streams> {
    made.get_or_insert_with(|| resources.streams())
}

impl<M: StreamMuxer> StreamMuxer for LimitedMuxer<M> {
    type Substream = LimitedStream<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        if !self.is_at_rest() || self.taken >= turn::FIRST_STREAMS {
            return self.poll_streams(cx, None);
        }
        // Mostly there is none.
        let this = self.as_mut().project();
        match this.inner.poll_inbound(cx) {
            Poll::Ready(first) => self.poll_streams(cx, Some(first)),
            Poll::Pending => {
                *this.taken = 0;
                Poll::Pending
            }
        }
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.project();
        // The manager is asked before the muxer, which would announce the stream to the remote.
        let scope = match (this.resources).open_stream(this.connection, Direction::Outbound) {
            Ok(scope) => scope,
            Err(error) => return Poll::Ready(Ok(LimitedStream::refused(error))),
        };
        // While the muxer has no room for a stream, its charge is released until the next call.
        let inner = ready!(this.inner.poll_outbound(cx))?;
        let shared = shared(this.shared, this.resources);
        Poll::Ready(Ok(LimitedStream::new(inner, scope, shared)))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.project().inner.poll_close(cx)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        if self.is_at_rest() {
            return self.project().inner.poll(cx);
        }
        self.poll_in_flood(cx)
    }
}
