//! The span of a request: all memory that is held for it.

use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};

use http::Extensions;
use rcmgr_atomic::{ReserveWhenAvailable, Scope, Span};
use rcmgr_core::{Amount, MemoryGuard, Priority, Result};

use crate::conn_info::{ConnInfo, connection_of};
use crate::refusal::Refusal;
use crate::requests::InProgress;

/// A handle on the span of a request: the scope of all memory that is held for it.
///
/// [`RequestScopes`](crate::RequestScopes) puts it into the extensions of each request. A clone is
/// another handle on the same span. The span ends when its last holder is dropped: the response
/// holds it until its last byte, and each clone and each guard holds it, too. So a task that goes on
/// after the response, or an upgraded connection, keeps a clone for its memory to stay counted.
///
/// All methods of [`Span`] are available on it.
///
/// ```
/// use http::Request;
/// use rcmgr_core::{MIB, Priority};
/// use rcmgr_tower::RequestSpan;
///
/// fn handle<B>(request: &Request<B>) -> Result<(), Box<dyn std::error::Error>> {
///     let span = request.extensions().get::<RequestSpan>().ok_or("there is no layer")?;
///     let room = span.reserve(1 * MIB, Priority::Low)?;
///     // .. the work that needs it ..
///     drop(room);
///     Ok(())
/// }
/// # let _ = handle::<()>;
/// ```
#[derive(Debug, Clone)]
pub struct RequestSpan(Arc<RequestState>);

#[derive(Debug)]
struct RequestState {
    span: Span,
    /// Ends the request in the eyes of its connection, behind the span.
    request: Option<InProgress>,
    refused: OnceLock<Box<RefusedBody>>,
}

/// What reads off the rest of a refused body, once the answer is given.
pub(crate) type ReadOff = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that was refused while it arrived.
pub(crate) struct RefusedBody {
    pub(crate) refusal: Refusal,
    /// In a lock because a future need not be `Sync`.
    rest: Mutex<Option<ReadOff>>,
}

impl RefusedBody {
    /// What reads off the rest of the body: once, and only if that makes sense.
    pub(crate) fn take_rest(&self) -> Option<ReadOff> {
        self.rest.lock().ok()?.take()
    }
}

impl std::fmt::Debug for RefusedBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.refusal.fmt(f)
    }
}

impl RequestSpan {
    pub(crate) fn new(span: Span, request: Option<InProgress>) -> Self {
        Self(Arc::new(RequestState {
            span,
            request,
            refused: OnceLock::new(),
        }))
    }

    /// Reserves memory, in bytes, for the request. The guard releases it when it is dropped, and may
    /// be moved anywhere.
    ///
    /// # Errors
    ///
    /// As [`ResourceScope::reserve_memory`](rcmgr_core::ResourceScope::reserve_memory). In a handler,
    /// [`Refusal`] is made from it.
    pub fn reserve(&self, size: impl Amount, priority: Priority) -> Result<MemoryGuard<Self>> {
        MemoryGuard::new(self.clone(), size.bytes(), priority)
    }

    /// Reserves memory, in bytes, for the request as soon as there is room. The future holds nothing
    /// while it waits, and gives up its place when it is dropped. It waits without end: wrap it in
    /// [`tokio::time::timeout`].
    pub fn reserve_when_available(
        &self,
        size: impl Amount,
        priority: Priority,
    ) -> ReserveWhenAvailable<Self> {
        ReserveWhenAvailable::new(self.clone(), size.bytes(), priority)
    }

    /// Notes that the body of the request was refused, and how its rest is read off.
    pub(crate) fn refuse_body(&self, refusal: Refusal, rest: Option<ReadOff>) {
        let rest = Mutex::new(rest);
        // It succeeds: a request has one body, and a body is refused once.
        let _ = self.0.refused.set(Box::new(RefusedBody { refusal, rest }));
    }

    /// Notes that the connection belongs to another protocol from now on.
    pub(crate) fn note_upgrade(&self) {
        self.0.request.iter().for_each(InProgress::note_upgrade);
    }

    /// The refusal of the body, if it was refused.
    pub(crate) fn refused_body(&self) -> Option<&RefusedBody> {
        self.0.refused.get().map(|refused| &**refused)
    }
}

impl Deref for RequestSpan {
    type Target = Span;

    fn deref(&self) -> &Span {
        &self.0.span
    }
}

/// Opens the span of a request: of the span that a layer outside opened for it, else of its
/// connection, else of `otherwise`. The connection is in the extensions, unless the caller knows it.
pub(crate) fn begin_span(
    extensions: &mut Extensions,
    connection: Option<&ConnInfo>,
    otherwise: &Scope,
) -> Result<RequestSpan> {
    let (span, request) = if let Some(outer) = extensions.get::<RequestSpan>() {
        (outer.begin_span()?, None)
    } else if let Some(connection) = connection {
        connection.begin_span()?
    } else if let Some(connection) = connection_of(extensions) {
        connection.begin_span()?
    } else {
        (otherwise.begin_span()?, None)
    };
    Ok(RequestSpan::new(span, request))
}
