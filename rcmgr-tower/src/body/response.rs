//! The body of a response: it holds the span of its request until its last byte.

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::span::RequestSpan;

pin_project! {
    /// The body of a response of [`RequestScopes`](crate::RequestScopes): that of the handler, or the
    /// text of a refusal. It holds the span of the request until its last byte.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<B> {
        Handler {
            #[pin]
            body: B,
            span: Option<RequestSpan>,
        },
        Refusal {
            text: Bytes,
        },
    }
}

impl<B> ResponseBody<B> {
    /// The body of the handler.
    pub(crate) fn of_handler(body: B, span: RequestSpan) -> Self
    where
        B: Body,
    {
        // A response without a body ends with its head.
        let span = (!body.is_end_stream()).then_some(span);
        let kind = Kind::Handler { body, span };
        Self { kind }
    }

    /// The body of the handler, which has not ended yet.
    #[cfg(feature = "axum")]
    pub(crate) fn holding(body: B, span: RequestSpan) -> Self {
        let span = Some(span);
        let kind = Kind::Handler { body, span };
        Self { kind }
    }

    /// The text of a refusal.
    pub(crate) fn of_refusal(text: Bytes) -> Self {
        let kind = Kind::Refusal { text };
        Self { kind }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body,
    B::Data: From<Bytes>,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        match self.project().kind.project() {
            KindProjection::Handler { mut body, span } => {
                let polled = body.as_mut().poll_frame(cx);
                let is_last = match &polled {
                    Poll::Pending => false,
                    Poll::Ready(Some(Ok(frame))) => frame.is_trailers() || body.is_end_stream(),
                    // After an error there is nothing more to send.
                    Poll::Ready(Some(Err(_)) | None) => true,
                };
                if is_last {
                    *span = None;
                }
                polled
            }
            KindProjection::Refusal { text } if text.is_empty() => Poll::Ready(None),
            KindProjection::Refusal { text } => {
                Poll::Ready(Some(Ok(Frame::data(mem::take(text).into()))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Handler { body, .. } => body.is_end_stream(),
            Kind::Refusal { text } => text.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Handler { body, .. } => body.size_hint(),
            Kind::Refusal { text } => SizeHint::with_exact(text.len() as u64),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Handler { span, .. } => f.debug_tuple("Handler").field(span).finish(),
            Kind::Refusal { text } => f.debug_tuple("Refusal").field(text).finish(),
        }
    }
}
