//! A stream of a limited connection: charged until it is dropped, and to its protocol and service
//! from the moment when both sides have agreed on the protocol.

use std::io::{self, IoSlice, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use pin_project_lite::pin_project;
use rcmgr_atomic::Stream;
use rcmgr_core::{Direction, Error};

use crate::negotiation::{Negotiation, Role};
use crate::resources::Resources;
use crate::scope_of;

pin_project! {
    /// A stream of a limited connection. It is charged until this is dropped.
    #[derive(Debug)]
    pub struct LimitedStream<S> {
        // None once it is refused.
        #[pin]
        inner: Option<S>,
        state: State,
    }

    impl<S> PinnedDrop for LimitedStream<S> {
        fn drop(this: Pin<&mut Self>) {
            let mut this = this.project();
            this.inner.set(None);
            // Handlers may still hold the scope. The stream ends all the same.
            if let Some(scope) = this.state.scope() {
                scope.done();
            }
        }
    }
}

#[derive(Debug)]
enum State {
    /// multistream-select runs: the bytes that pass are looked at.
    Negotiating(Box<Negotiating>),
    /// Bytes pass. The scope has a protocol, unless the bytes were no negotiation.
    Settled(Arc<Stream>),
    Refused(Box<Error>),
}

/// What a stream needs until its protocol is settled.
#[derive(Debug)]
struct Negotiating {
    negotiation: Negotiation,
    scope: Arc<Stream>,
    resources: Resources,
}

impl State {
    fn scope(&self) -> Option<&Arc<Stream>> {
        match self {
            Self::Negotiating(negotiating) => Some(&negotiating.scope),
            Self::Settled(scope) => Some(scope),
            Self::Refused(_) => None,
        }
    }

    fn error(&self) -> io::Error {
        match self {
            Self::Refused(error) => io::Error::from(Error::clone(error)),
            // The inner stream is there.
            Self::Negotiating(_) | Self::Settled(_) => io::ErrorKind::NotConnected.into(),
        }
    }
}

impl Negotiating {
    /// Charges the protocol, and its service if it has one.
    fn settle(&self, protocol: &Arc<str>) -> rcmgr_core::Result<()> {
        // The deciding bytes come again if the inner stream did not take them all.
        if self.scope.protocol().is_some() {
            return Ok(());
        }
        self.resources.set_protocol(&self.scope, protocol)
    }
}

impl<S> LimitedStream<S> {
    /// A stream of which no byte has passed yet.
    pub(crate) fn new(inner: S, scope: Stream, resources: &Resources) -> Self {
        let role = match scope.direction() {
            Direction::Inbound => Role::Listener,
            Direction::Outbound => Role::Dialer,
        };
        Self {
            inner: Some(inner),
            state: State::Negotiating(Box::new(Negotiating {
                negotiation: Negotiation::new(role),
                scope: Arc::new(scope),
                resources: resources.clone(),
            })),
        }
    }

    /// A stream that fails with the refusal whatever is done with it. An error of the muxer would
    /// end the connection.
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            inner: None,
            state: State::Refused(Box::new(error)),
        }
    }

    /// If `settled` names a protocol, charges it. If that is refused, the stream ends.
    fn settle(self: Pin<&mut Self>, settled: Option<Arc<str>>) -> io::Result<()> {
        let mut this = self.project();
        let (Some(protocol), State::Negotiating(negotiating)) = (settled, &*this.state) else {
            return Ok(());
        };
        let Err(error) = negotiating.settle(&protocol) else {
            return Ok(());
        };
        this.inner.set(None);
        negotiating.scope.done();
        *this.state = State::Refused(Box::new(error));
        Err(this.state.error())
    }

    /// Frees what only the negotiation needs, when it is over.
    fn leave_negotiation(self: Pin<&mut Self>) {
        let state = self.project().state;
        if let State::Negotiating(negotiating) = state
            && negotiating.negotiation.is_over()
        {
            let scope = negotiating.scope.clone();
            *state = State::Settled(scope);
        }
    }

    /// The inner stream.
    fn inner(self: Pin<&mut Self>) -> io::Result<Pin<&mut S>> {
        let this = self.project();
        this.inner.as_pin_mut().ok_or_else(|| this.state.error())
    }
}

impl<S: AsyncRead> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let read = ready!(self.as_mut().inner()?.poll_read(cx, buffer))?;
        if let State::Negotiating(negotiating) = self.as_mut().project().state {
            let settled = negotiating.negotiation.on_read(&buffer[..read]);
            self.as_mut().settle(settled)?;
            self.leave_negotiation();
        }
        Poll::Ready(Ok(read))
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if let State::Negotiating(_) = self.state {
            let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
            return self.poll_read(cx, first.map_or(&mut [], |buffer| &mut **buffer));
        }
        self.as_mut().inner()?.poll_read_vectored(cx, buffers)
    }
}

impl<S: AsyncWrite> AsyncWrite for LimitedStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // A layer above flushes its buffer by a write.
        if scope_of::is_question(cx) {
            return self.answer();
        }
        let State::Negotiating(negotiating) = self.as_mut().project().state else {
            return self.inner()?.poll_write(cx, bytes);
        };
        // The protocol is charged before the remote hears of it.
        let settled = negotiating.negotiation.before_write(bytes);
        self.as_mut().settle(settled)?;
        let written = ready!(self.as_mut().inner()?.poll_write(cx, bytes))?;
        if let State::Negotiating(negotiating) = self.as_mut().project().state {
            negotiating.negotiation.on_written(&bytes[..written]);
            self.leave_negotiation();
        }
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if scope_of::is_question(cx) {
            return self.answer();
        }
        if let State::Negotiating(_) = self.state {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| &**slice));
        }
        self.as_mut().inner()?.poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if scope_of::is_question(cx) {
            return self.answer();
        }
        self.as_mut().inner()?.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_close(cx)
    }
}

impl<S> LimitedStream<S> {
    /// Answers [`scope_of`](crate::scope_of()) and does nothing else.
    fn answer<T>(&self) -> Poll<io::Result<T>> {
        if let Some(scope) = self.state.scope() {
            scope_of::answer(scope);
        }
        Poll::Pending
    }
}
