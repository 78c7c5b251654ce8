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

use crate::keeper::Keeper;
use crate::reports::Arrival;
use crate::resources::Resources;
use crate::stream::{self, LimitedStream};
use crate::turn::{self, Pause};

/// The most inbound streams, granted or refused, before other connections get their turn. The task
/// of a connection goes on while its muxer has streams. So a remote that opens them faster than they
/// are negotiated could keep it busy for seconds.
const INBOUND_IN_A_ROW: u8 = 2;
/// The same while the muxer has more of them than the turns before have taken.
const INBOUND_IN_A_FLOOD: u8 = 1;

/// Whether the muxer has more inbound streams than one turn takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flood {
    /// It had no more.
    No,
    /// Perhaps. So `poll` does not ask it, and `poll_inbound` does.
    ///
    /// To accept streams, a muxer must do all its work. In `poll`, yamux does the same work, and has to
    /// keep the stream that it finds. Then it wakes the task, which would be ready again at once.
    Yes,
    /// The same, and `poll` was called. If `poll_inbound` is not called next, the swarm takes no
    /// streams for now.
    Polled,
}

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
        keeper: Arc<Keeper>,
        inbound_in_a_row: u8,
        flood: Flood,
        pause: Pause,
        // Told to the behaviour until this is dropped.
        _arrival: Option<Arrival>,
    }

    impl<M> PinnedDrop for LimitedMuxer<M> {
        fn drop(this: Pin<&mut Self>) {
            this.keeper.end();
        }
    }
}

impl<M> LimitedMuxer<M> {
    pub(crate) fn new(inner: M, connection: Connection, resources: Resources) -> Self {
        Self {
            inner,
            _arrival: resources.arrival(&connection),
            connection,
            keeper: resources.keeper(),
            resources,
            inbound_in_a_row: 0,
            flood: Flood::No,
            pause: Pause::default(),
        }
    }
}

impl<M: StreamMuxer> StreamMuxer for LimitedMuxer<M> {
    type Substream = LimitedStream<M::Substream>;
    type Error = M::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let mut this = self.project();
        if this.pause.is_on() {
            return Poll::Pending;
        }
        let (connection, resources, keeper) = (this.connection, this.resources, this.keeper);
        let most = match this.flood {
            Flood::No => INBOUND_IN_A_ROW,
            Flood::Yes | Flood::Polled => INBOUND_IN_A_FLOOD,
        };
        while *this.inbound_in_a_row < most {
            let Poll::Ready(inner) = this.inner.as_mut().poll_inbound(cx) else {
                *this.inbound_in_a_row = 0;
                *this.flood = Flood::No;
                return Poll::Pending;
            };
            let inner = inner?;
            *this.inbound_in_a_row += 1;
            if *this.flood == Flood::Polled {
                *this.flood = Flood::Yes;
            }
            match resources.open_stream(connection, Direction::Inbound) {
                Ok(scope) => {
                    let stream = LimitedStream::new(inner, scope, resources, keeper);
                    return Poll::Ready(Ok(stream));
                }
                Err(_) => stream::end_refused(inner, cx, resources),
            }
        }
        // The muxer has registered no waker: it has more.
        *this.inbound_in_a_row = 0;
        *this.flood = Flood::Yes;
        this.pause.begin(cx);
        Poll::Pending
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Self::Substream, Self::Error>> {
        let this = self.project();
        let (connection, resources, keeper) = (this.connection, this.resources, this.keeper);
        // The manager is asked before the muxer, which would announce the stream to the remote.
        let scope = match resources.open_stream(connection, Direction::Outbound) {
            Ok(scope) => scope,
            Err(error) => return Poll::Ready(Ok(LimitedStream::refused(error))),
        };
        // While the muxer has no room for a stream, its charge is released until the next call.
        let inner = ready!(this.inner.poll_outbound(cx))?;
        Poll::Ready(Ok(LimitedStream::new(inner, scope, resources, keeper)))
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.project().inner.poll_close(cx)
    }

    fn poll(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<StreamMuxerEvent, Self::Error>> {
        let this = self.project();
        if this.pause.is_on() {
            return Poll::Pending;
        }
        if *this.flood == Flood::Yes {
            *this.flood = Flood::Polled;
            // The muxer has registered no waker.
            turn::end(cx);
            return Poll::Pending;
        }
        *this.flood = Flood::No;
        this.inner.poll(cx)
    }
}
