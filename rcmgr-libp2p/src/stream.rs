//! A stream of a limited connection: charged until it is dropped, and to its protocol and service
//! from the moment when both sides have agreed on the protocol.

#[cfg(test)]
mod tests;

use std::io::{self, IoSlice, IoSliceMut};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::io::{AsyncRead, AsyncWrite};
use pin_project_lite::pin_project;
use rcmgr_atomic::Stream;
use rcmgr_core::{Direction, Error};

use crate::negotiation::{FIRST_BYTE, Negotiation, Role};
use crate::resources::{Resources, Streams};
use crate::scope_of;

pin_project! {
    /// A stream of a limited connection. It is charged until this is dropped.
    ///
    /// A refusal ends it: each call fails with the error, in which [`refusal`](crate::refusal()) finds
    /// that of the manager. An outbound stream whose protocol or service is refused fails
    ///
    /// - in the negotiation, with `StreamUpgradeError::Io`;
    /// - with `Version::V1Lazy`, at the first write of the protocol, or at the first read if nothing
    ///   was written before. It may be closed afterwards. (Version 0.14 of multistream-select panics
    ///   when a lazy stream is used after any other read of the answer that failed.)
    #[derive(Debug)]
    pub struct LimitedStream<S> {
        // None once it is refused. Before the scope, so that the stream ends before its charge is
        // released.
        #[pin]
        inner: Option<S>,
        stage: Stage,
        // None once it is refused.
        scope: Option<Scope>,
    }

    impl<S> PinnedDrop for LimitedStream<S> {
        fn drop(this: Pin<&mut Self>) {
            // Handlers may still hold the scope. The stream ends all the same.
            if let Some(Scope::Shared(_)) = this.scope {
                this.end();
            }
        }
    }
}

#[derive(Debug)]
enum Stage {
    /// multistream-select runs: the bytes that pass are looked at.
    Negotiating(Box<Negotiating>),
    /// Bytes pass. The scope has a protocol, unless the bytes were no negotiation.
    Settled,
    Refused(Box<Error>),
}

/// What a stream needs until its protocol is settled.
#[derive(Debug)]
struct Negotiating {
    negotiation: Negotiation,
    shared: Arc<Streams>,
    /// A read has waited since the last flush.
    has_waited: bool,
}

/// The scope of a stream. It is shared when a handler has asked for it.
#[derive(Debug)]
enum Scope {
    Own(Stream),
    Shared(Arc<Stream>),
}

impl Deref for Scope {
    type Target = Stream;

    fn deref(&self) -> &Stream {
        match self {
            Self::Own(scope) => scope,
            Self::Shared(scope) => scope,
        }
    }
}

impl Negotiating {
    /// Whether a refusal of the bytes that are about to be written ends the stream inside a message.
    fn ends_inside_a_message(&self, direction: Direction) -> bool {
        self.shared.resources.ends_inside_a_message()
            && direction == Direction::Inbound
            // Else it ends inside a message already, and a byte may complete that message.
            && self.negotiation.is_between_messages()
    }

    /// Whether multistream-select may have settled on the protocol before it was confirmed.
    ///
    /// Then it flushes whenever it is about to read the answer. Otherwise it flushes once, and has to
    /// wait for the answer afterwards.
    fn may_be_lazy(&self) -> bool {
        !self.has_waited
    }
}

impl<S> LimitedStream<S> {
    /// A stream before its first byte.
    pub(crate) fn new(inner: S, scope: Stream, shared: &Arc<Streams>) -> Self {
        let role = match scope.direction() {
            Direction::Inbound => Role::Listener,
            Direction::Outbound => Role::Dialer,
        };
        Self {
            inner: Some(inner),
            stage: Stage::Negotiating(Box::new(Negotiating {
                negotiation: Negotiation::new(role),
                shared: shared.clone(),
                has_waited: false,
            })),
            scope: Some(Scope::Own(scope)),
        }
    }

    /// A stream that fails with the refusal whatever is done with it. An error of the muxer would
    /// end the connection.
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            inner: None,
            stage: Stage::Refused(Box::new(error)),
            scope: None,
        }
    }

    /// Ends the stream, and then its scope.
    fn end(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.inner.set(None);
        if let Some(scope) = this.scope.take() {
            scope.done();
        }
    }

    /// Ends the stream: from now on it fails with the refusal. Returns that error.
    fn refuse(mut self: Pin<&mut Self>, error: Error) -> io::Error {
        self.as_mut().end();
        let stage = self.project().stage;
        *stage = Stage::Refused(Box::new(error));
        stage.error()
    }

    /// The inner stream.
    fn inner(self: Pin<&mut Self>) -> io::Result<Pin<&mut S>> {
        let this = self.project();
        this.inner.as_pin_mut().ok_or_else(|| this.stage.error())
    }
}

impl<S: AsyncRead> AsyncRead for LimitedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.as_mut().inner()?.poll_read(cx, buffer);
        match &self.stage {
            Stage::Negotiating(it) if it.negotiation.reads() => self.after_read(polled, buffer),
            _ => polled,
        }
    }

    fn poll_read_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Stage::Negotiating(_) = self.stage {
            let first = buffers.iter_mut().find(|buffer| !buffer.is_empty());
            return self.poll_read(cx, first.map_or(&mut [], |buffer| &mut **buffer));
        }
        self.as_mut().inner()?.poll_read_vectored(cx, buffers)
    }
}

impl<S: AsyncWrite> AsyncWrite for LimitedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // A layer above flushes its buffer by a write.
        if scope_of::is_question(cx) {
            return self.answer();
        }
        if let Stage::Negotiating(_) = self.stage {
            return self.negotiate(cx, bytes);
        }
        self.inner()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if scope_of::is_question(cx) {
            return self.answer();
        }
        if let Stage::Negotiating(_) = self.stage {
            let first = slices.iter().find(|slice| !slice.is_empty());
            return self.poll_write(cx, first.map_or(&[], |slice| &**slice));
        }
        self.as_mut().inner()?.poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if scope_of::is_question(cx) {
            return self.answer();
        }
        if let Stage::Negotiating(negotiating) = self.as_mut().project().stage {
            negotiating.has_waited = false;
        }
        self.inner()?.poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner()?.poll_close(cx)
    }
}

impl<S> LimitedStream<S> {
    /// Looks at bytes of the negotiation that were read into `buffer`.
    fn after_read(
        mut self: Pin<&mut Self>,
        polled: Poll<io::Result<usize>>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.as_mut().project();
        let (Stage::Negotiating(negotiating), Some(scope)) = (&mut *this.stage, this.scope) else {
            return polled;
        };
        negotiating.has_waited |= polled.is_pending();
        let read = ready!(polled)?;
        if let Some(protocol) = negotiating.negotiation.on_read(&buffer[..read])
            && let Err(error) = negotiating.shared.set_protocol(scope, &protocol)
        {
            let may_be_lazy = negotiating.may_be_lazy();
            let error = self.refuse(error);
            // A lazy multistream-select panics when a stream is used after the read of the answer
            // has failed. So it gets the answer, and the refusal with the next call.
            return Poll::Ready(if may_be_lazy { Ok(read) } else { Err(error) });
        }
        if negotiating.negotiation.is_over() {
            *this.stage = Stage::Settled;
        }
        Poll::Ready(Ok(read))
    }

    /// Answers [`scope_of`](crate::scope_of()) and does nothing else.
    fn answer<T>(self: Pin<&mut Self>) -> Poll<io::Result<T>> {
        let scope = self.project().scope;
        if let Some(own) = scope.take() {
            let shared = own.into_shared();
            scope_of::answer(&shared);
            *scope = Some(Scope::Shared(shared));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite> LimitedStream<S> {
    /// Writes bytes of the negotiation.
    fn negotiate(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.as_mut().project();
        let (Stage::Negotiating(negotiating), Some(inner), Some(scope)) =
            (&mut *this.stage, this.inner.as_pin_mut(), this.scope)
        else {
            return Poll::Ready(Err(this.stage.error()));
        };
        // The protocol is charged before the remote hears of it.
        let writing = negotiating.negotiation.before_write(bytes);
        if let Some(protocol) = writing.settled()
            && let Err(error) = negotiating.shared.set_protocol(scope, protocol)
        {
            if negotiating.ends_inside_a_message(scope.direction()) {
                // The first byte of a message never completes it. Where there is no room for it, the
                // stream ends between messages.
                let _ = inner.poll_write(cx, &bytes[..1]);
            }
            return Poll::Ready(Err(self.refuse(error)));
        }
        let written = ready!(inner.poll_write(cx, bytes))?;
        negotiating.negotiation.on_written(writing, written);
        if negotiating.negotiation.is_over() {
            *this.stage = Stage::Settled;
        }
        Poll::Ready(Ok(written))
    }
}

impl Stage {
    fn error(&self) -> io::Error {
        match self {
            Self::Refused(error) => io::Error::from(Error::clone(error)),
            // The inner stream is there.
            Self::Negotiating(_) | Self::Settled => io::ErrorKind::NotConnected.into(),
        }
    }
}

impl Scope {
    fn into_shared(self) -> Arc<Stream> {
        match self {
            Self::Own(scope) => Arc::new(scope),
            Self::Shared(scope) => scope,
        }
    }
}

/// Ends an inbound stream that was refused when it came, as `resources` says.
pub(crate) fn end_refused(inner: impl AsyncWrite, cx: &mut Context<'_>, resources: &Resources) {
    if resources.ends_inside_a_message() {
        // Where there is no room for a byte, the stream ends plainly.
        let _ = pin!(inner).poll_write(cx, &[FIRST_BYTE]);
    }
}
