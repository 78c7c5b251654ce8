//! The service that the layer makes: it admits each request, and answers those that are refused.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version, header};
use http_body::Body;
use pin_project_lite::pin_project;
use rcmgr_atomic::Scope;
use rcmgr_core::Priority;
use tower_service::Service;

use crate::body::{Meter, RequestBody, ResponseBody, drain, spawn};
use crate::budget::BodyBudget;
use crate::conn_info::ConnInfo;
use crate::priority::ChoosePriority;
use crate::refusal::{Answer, BodyError, Refusal};
use crate::retry_after::RetryAfter;
use crate::span::{RefusedBody, RequestSpan, begin_span};

/// What [`RequestScopes`](crate::RequestScopes) does with requests.
#[derive(Clone)]
pub(crate) struct Config {
    /// The scope of requests whose connection is not known.
    pub(crate) scope: Scope,
    pub(crate) priority: ChoosePriority,
    pub(crate) memory_per_request: u64,
    pub(crate) body: Option<BodyBudget>,
    pub(crate) retry_after: RetryAfter,
    pub(crate) answer: Answer,
    pub(crate) body_error: BodyError,
    pub(crate) on_refusal: Option<Arc<OnRefusal>>,
}

/// Changes the answer to a refused request.
pub(crate) type OnRefusal = dyn Fn(&Refusal, &mut Response<Bytes>) + Send + Sync;

impl Config {
    /// The answer to a refused request. With `close`, the connection is closed after it.
    fn answer(&self, refusal: &Refusal, close: bool) -> Response<Bytes> {
        let mut response = (self.answer)(refusal, &self.retry_after);
        if close {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        response.extensions_mut().insert(refusal.clone());
        if let Some(change) = &self.on_refusal {
            change(refusal, &mut response);
        }
        response
    }

    /// Admits a request: charges it, and puts its span into its extensions.
    #[inline]
    pub(crate) fn admit<B>(
        &self,
        connection: Option<&ConnInfo>,
        request: &mut Request<B>,
        priority: Priority,
    ) -> Result<RequestSpan, Refusal> {
        let (extensions, size) = (request.extensions_mut(), self.memory_per_request);
        let span = begin_span(extensions, connection, &self.scope, size, priority);
        let span = span.map_err(Refusal::NoRoom)?;
        request.extensions_mut().insert(span.clone());
        Ok(span)
    }

    /// What charges the body of a request, if there is a budget for it.
    pub(crate) fn meter<B: Body>(
        &self,
        span: &RequestSpan,
        request: &Request<B>,
        priority: Priority,
    ) -> Result<Option<Meter<B::Data>>, Refusal> {
        let (base, declared) = (
            self.memory_per_request,
            declared_length(request.headers(), request.body()),
        );
        let meter = |budget| Meter::new(span.clone(), budget, priority, base, declared);
        self.body.map(meter).transpose()
    }

    /// The future of the answer to a refused request.
    #[cold]
    pub(crate) fn refuse<F, B>(&self, refusal: &Refusal, request: Request<B>) -> ResponseFuture<F>
    where
        B: Body + Send + 'static,
        B::Data: Send,
    {
        let closes = is_alone(&request) && !request.body().is_end_stream();
        let response = self.answer(refusal, closes);
        // Over HTTP/2 an unread body ends without harm. A client that waits for `100 Continue` has
        // sent nothing, and to read from it would send it that.
        if closes && !request.headers().contains_key(header::EXPECT) {
            spawn(drain(Box::pin(request.into_body())));
        }
        let response = Some(response);
        ResponseFuture {
            kind: Kind::Refused { response },
        }
    }
}

/// Whether the request has its connection alone, as in HTTP/1.
fn is_alone<B>(request: &Request<B>) -> bool {
    request.version() <= Version::HTTP_11
}

/// The length that the client has declared for a body; zero if it has declared none.
fn declared_length(headers: &HeaderMap, body: &impl Body) -> u64 {
    let header = headers.get(header::CONTENT_LENGTH).map_or(0, |length| {
        let digits = length.as_bytes();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return 0;
        }
        digits.iter().fold(0_u64, |number, digit| {
            let next = number.saturating_mul(10);
            next.saturating_add(u64::from(digit - b'0'))
        })
    });
    header.max(body.size_hint().lower())
}

/// Gives each request a span of its connection, and answers those that are refused. Made by
/// [`RequestScopes`](crate::RequestScopes).
#[derive(Clone)]
pub struct RequestScopesService<S> {
    inner: S,
    config: Arc<Config>,
    /// The connection of all its requests, if it serves only one.
    connection: Option<ConnInfo>,
}

impl<S> RequestScopesService<S> {
    pub(crate) const fn new(inner: S, config: Arc<Config>, connection: Option<ConnInfo>) -> Self {
        Self {
            inner,
            config,
            connection,
        }
    }

    /// The service inside.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The service inside.
    pub const fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The service inside.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for RequestScopesService<S>
where
    S: Service<Request<RequestBody<B>>, Response = Response<R>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
    R: Body,
    R::Data: From<Bytes>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    /// Takes nothing: a request that does not come yet must not hold anything.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let priority = self.config.priority.of(&mut request);
        let connection = self.connection.as_ref();
        let span = match self.config.admit(connection, &mut request, priority) {
            Ok(span) => span,
            Err(refusal) => return self.config.refuse(&refusal, request),
        };
        let mut handling = Handling::of(&request, span);
        let request = if request.body().is_end_stream() {
            request.map(|_| RequestBody::empty())
        } else {
            let meter = match self.config.meter(&handling.span, &request, priority) {
                Ok(meter) => meter,
                Err(refusal) => return self.config.refuse(&refusal, request),
            };
            handling.config = Some(self.config.clone());
            request.map(|body| RequestBody::new(body, meter, self.config.body_error))
        };
        handling.by(self.inner.call(request))
    }
}

/// What the layer keeps of a request while it is handled.
pub(crate) struct Handling {
    pub(crate) span: RequestSpan,
    /// How a body is refused that arrives now. `None` if the request has no body.
    pub(crate) config: Option<Arc<Config>>,
    /// Whether the request has its connection alone, as in HTTP/1: a refusal closes it, and an upgrade
    /// turns it over to another protocol. In HTTP/2 either concerns one stream.
    is_alone: bool,
    /// Whether the method is CONNECT: then a success is an upgrade.
    connects: bool,
}

impl Handling {
    #[inline]
    pub(crate) fn of<B>(request: &Request<B>, span: RequestSpan) -> Self {
        Self {
            span,
            config: None,
            is_alone: is_alone(request),
            connects: request.method() == Method::CONNECT,
        }
    }

    /// The future of the response, with the future of the handler.
    #[inline]
    pub(crate) fn by<F>(self, future: F) -> ResponseFuture<F> {
        let handling = Some(self);
        ResponseFuture {
            kind: Kind::Handler { future, handling },
        }
    }

    /// The handler has ended, with a response of this status unless it failed. Returns the answer if
    /// the body was refused: the layer answers, whatever the handler made of it.
    #[inline]
    pub(crate) fn end(&self, status: Option<StatusCode>) -> Option<Response<Bytes>> {
        if let Some(config) = &self.config
            && let Some(body) = self.span.refused_body()
        {
            return Some(self.answer(config, body));
        }
        let switches = status == Some(StatusCode::SWITCHING_PROTOCOLS);
        let connects = self.connects && status.is_some_and(|status| status.is_success());
        if self.is_alone && (switches || connects) {
            self.span.note_upgrade();
        }
        None
    }

    #[cold]
    fn answer(&self, config: &Config, body: &RefusedBody) -> Response<Bytes> {
        let rest = body.take_rest().filter(|_| self.is_alone);
        let answer = config.answer(&body.refusal, self.is_alone);
        rest.into_iter().for_each(spawn);
        answer
    }
}

impl<S: fmt::Debug> fmt::Debug for RequestScopesService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestScopesService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`RequestScopesService`]. It holds the span of the request.
    pub struct ResponseFuture<F> {
        #[pin]
        kind: Kind<F>,
    }
}

pin_project! {
    #[project = KindProjection]
    enum Kind<F> {
        Handler {
            #[pin]
            future: F,
            handling: Option<Handling>,
        },
        Refused {
            response: Option<Response<Bytes>>,
        },
    }
}

impl<F> ResponseFuture<F> {
    /// The future of the handler, and what the layer keeps meanwhile.
    ///
    /// # Errors
    ///
    /// The answer to a request that is refused.
    #[inline(always)]
    pub(crate) fn handler(
        self: Pin<&mut Self>,
    ) -> Result<(Pin<&mut F>, &mut Option<Handling>), Response<Bytes>> {
        match self.project().kind.project() {
            KindProjection::Handler { future, handling } => Ok((future, handling)),
            KindProjection::Refused { response } => {
                Err(response.take().expect("it is not polled after its end"))
            }
        }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    R: Body,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let refused = |answer: Response<Bytes>| answer.map(ResponseBody::of_refusal);
        let (future, handling) = match self.handler() {
            Ok(handler) => handler,
            Err(answer) => return Poll::Ready(Ok(refused(answer))),
        };
        let handled = ready!(future.poll(cx));
        let handling = handling.take().expect("it is not polled after its end");
        if let Some(answer) = handling.end(handled.as_ref().ok().map(Response::status)) {
            return Poll::Ready(Ok(refused(answer)));
        }
        Poll::Ready(
            handled
                .map(|response| response.map(|body| ResponseBody::of_handler(body, handling.span))),
        )
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            Kind::Handler { handling, .. } => {
                let span = handling.as_ref().map(|handling| &handling.span);
                f.debug_tuple("Handler").field(&span).finish()
            }
            Kind::Refused { response } => f.debug_tuple("Refused").field(response).finish(),
        }
    }
}
