//! The span of a request: all memory that is held for it.
//!
//! Most requests need only the memory that each of them is charged with. That is reserved on the
//! scope that the span is part of, in one step and without a span: the span itself is opened when the
//! request first needs it.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock};

use http::Extensions;
use rcmgr_atomic::{ReserveWhenAvailable, Scope, Span};
use rcmgr_core::{Amount, MemoryGuard, Priority, Result, ScopeStat};
use rcmgr_tokio::ConnScope;

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
/// All methods of [`Span`] are available on it. The memory that each request is charged with
/// ([`memory_per_request`](crate::RequestScopes::memory_per_request)) is held directly by the scope
/// that the span is part of: the connection, or else the service.
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
    /// Opened when it is first needed.
    span: OnceLock<Span>,
    // Behind the span, which is part of its owner.
    base: Base,
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

impl fmt::Debug for RefusedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.refusal.fmt(f)
    }
}

impl RequestSpan {
    /// The span of a request that belongs to `owner`, with `size` bytes for the request itself.
    fn open(
        owner: Owner,
        request: Option<InProgress>,
        size: u64,
        priority: Priority,
    ) -> Result<Self> {
        owner.reserve(size, priority)?;
        let base = Base { owner, size };
        Ok(Self(Arc::new(RequestState {
            span: OnceLock::new(),
            base,
            request,
            refused: OnceLock::new(),
        })))
    }

    /// The usage: all memory that is held for the request.
    pub fn stat(&self) -> ScopeStat {
        let used = self.0.span.get().map(Span::stat).unwrap_or_default();
        ScopeStat {
            memory: used.memory + self.0.base.size,
            ..used
        }
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

/// The memory that each request is charged with. It is given back when this is dropped.
#[derive(Debug)]
struct Base {
    owner: Owner,
    /// In bytes.
    size: u64,
}

impl Drop for Base {
    fn drop(&mut self) {
        self.owner.release(self.size);
    }
}

/// What the span of a request is part of.
enum Owner {
    Connection(ConnScope),
    /// The span that a layer outside opened for the request.
    Request(RequestSpan),
    /// The service, or the whole system.
    Scope(Scope),
}

impl Owner {
    fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        match self {
            Self::Connection(connection) => connection.reserve_memory(size, priority),
            Self::Request(outer) => outer.reserve_memory(size, priority),
            Self::Scope(scope) => scope.reserve_memory(size, priority),
        }
    }

    fn release(&self, size: u64) {
        match self {
            Self::Connection(connection) => connection.release_memory(size),
            Self::Request(outer) => outer.release_memory(size),
            Self::Scope(scope) => scope.release_memory(size),
        }
    }

    /// Opens a span. If that fails, the span is closed: it refuses everything.
    fn begin_span(&self) -> Span {
        match self {
            Self::Connection(connection) => connection.begin_span_or_closed(),
            Self::Request(outer) => outer.begin_span_or_closed(),
            // A shared scope is never closed.
            Self::Scope(scope) => scope.begin_span().expect("a shared scope has spans"),
        }
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connection(connection) => connection.fmt(f),
            Self::Request(outer) => outer.fmt(f),
            Self::Scope(scope) => scope.fmt(f),
        }
    }
}

impl Deref for RequestSpan {
    type Target = Span;

    /// The span, which is opened if it is not yet. It is closed if its connection is.
    fn deref(&self) -> &Span {
        let RequestState { span, base, .. } = &*self.0;
        span.get_or_init(|| base.owner.begin_span())
    }
}

/// Opens the span of a request, with `size` bytes for the request itself: in the span that a layer
/// outside opened for it, else in its connection, else in `otherwise`. The connection is in the
/// extensions, unless the caller knows it.
pub(crate) fn begin_span(
    extensions: &mut Extensions,
    connection: Option<&ConnInfo>,
    otherwise: &Scope,
    size: u64,
    priority: Priority,
) -> Result<RequestSpan> {
    let (owner, request) = if let Some(outer) = extensions.get::<RequestSpan>() {
        (Owner::Request(outer.clone()), None)
    } else {
        let begun = match connection {
            Some(connection) => Some(connection.begin()),
            None => connection_of(extensions),
        };
        match begun {
            Some((scope, request)) => (Owner::Connection(scope), request),
            None => (Owner::Scope(otherwise.clone()), None),
        }
    };
    RequestSpan::open(owner, request, size, priority)
}
