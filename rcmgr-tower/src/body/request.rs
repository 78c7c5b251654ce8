//! The body of a request: it is charged on the span of the request as it arrives.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::drain::drain;
use super::meter::Meter;
use crate::refusal::{BodyError, Refusal};
use crate::span::ReadOff;

/// The body of a request of [`RequestScopes`](crate::RequestScopes). It is charged on the span of
/// the request as it arrives.
///
/// When it is refused, it yields the [`Refusal`] as its error, and the layer answers the request
/// whatever the handler makes of the error, unless the head of the response has been sent.
pub struct RequestBody<B: Body> {
    /// `None` after its end. One allocation, and none for a request without a body. So it can be
    /// moved, and the rest of a refused body outlives the handler.
    open: Option<Pin<Box<Open<B>>>>,
}

pin_project! {
    struct Open<B: Body> {
        #[pin]
        body: B,
        meter: Option<Meter<B::Data>>,
        body_error: BodyError,
    }
}

/// What the handler gets next.
enum Next<D> {
    Frame(Frame<D>),
    End,
    Failed(Box<dyn StdError + Send + Sync>),
    Refused(Refusal),
}

impl<B: Body> RequestBody<B> {
    /// A body without a byte.
    pub(crate) const fn empty() -> Self {
        Self { open: None }
    }

    pub(crate) fn new(body: B, meter: Option<Meter<B::Data>>, body_error: BodyError) -> Self {
        let open = Box::pin(Open {
            body,
            meter,
            body_error,
        });
        Self { open: Some(open) }
    }
}

impl<B> Open<B>
where
    B: Body,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<B::Data>> {
        let this = self.project();
        let Some(meter) = this.meter else {
            return this.body.poll_frame(cx).map(|frame| match frame {
                Some(Ok(frame)) => Next::Frame(frame),
                Some(Err(error)) => Next::Failed(error.into()),
                None => Next::End,
            });
        };
        match ready!(meter.poll_next(cx)) {
            Ok(None) => {}
            Ok(Some(frame)) => return Poll::Ready(Next::Frame(frame)),
            Err(refusal) => return Poll::Ready(Next::Refused(refusal)),
        }
        let frame = match this.body.poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Next::Failed(error.into())),
            Poll::Ready(None) => return Poll::Ready(Next::End),
            Poll::Pending => return meter.poll_too_slow(cx).map(Next::Refused),
        };
        let size = frame.data_ref().map_or(0, Buf::remaining) as u64;
        meter
            .poll_charge(cx, frame, size)
            .map(|charged| match charged {
                Ok(frame) => Next::Frame(frame),
                Err(refusal) => Next::Refused(refusal),
            })
    }
}

impl<B> RequestBody<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
{
    /// Refuses the body: the layer answers, and then reads off what the client still sends.
    fn refuse(&mut self, refusal: Refusal) {
        let Some(mut open) = self.open.take() else {
            return;
        };
        let Some(meter) = open.as_mut().project().meter.take() else {
            return;
        };
        let span = meter.refuse();
        // From a client that is too slow there is nothing to read.
        let is_slow = matches!(refusal, Refusal::TooSlow { .. });
        let rest = (!is_slow).then(|| Box::pin(drain(open)) as ReadOff);
        span.refuse_body(refusal, rest);
    }
}

/// What is left of a refused body.
impl<B: Body> Body for Open<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().body.poll_frame(cx)
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = B::Data;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let Some(open) = &mut self.open else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(open.as_mut().poll_next(cx)) {
            Next::Frame(frame) => Some(Ok(frame)),
            Next::End => {
                self.open = None;
                None
            }
            Next::Failed(error) => {
                self.open = None;
                Some(Err(error))
            }
            Next::Refused(refusal) => {
                let error = (open.body_error)(refusal.clone());
                self.refuse(refusal);
                Some(Err(error))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        let is_end =
            |open: &Pin<Box<Open<B>>>| open.waiting().is_none() && open.body.is_end_stream();
        self.open.as_ref().is_none_or(is_end)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(open) = &self.open else {
            return SizeHint::with_exact(0);
        };
        let mut hint = open.body.size_hint();
        // A chunk that waits for room has left the body, and the handler does not have it yet.
        if let Some(size) = open.waiting() {
            if let Some(upper) = hint.upper() {
                hint.set_upper(upper.saturating_add(size));
            }
            hint.set_lower(hint.lower().saturating_add(size));
        }
        hint
    }
}

impl<B: Body> Open<B> {
    fn waiting(&self) -> Option<u64> {
        self.meter.as_ref().and_then(Meter::waiting)
    }
}

impl<B: Body> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("is_open", &self.open.is_some())
            .finish_non_exhaustive()
    }
}
