//! The traits as trait objects, for programs that choose the manager at run time.
//!
//! [`erase`] turns any manager into an `Arc<DynResourceManager>`. That type implements
//! [`ResourceManager`], so code that is generic over managers accepts it. The price is one
//! allocation for each scope opened and one indirect call for each operation.
//!
//! ```
//! use std::sync::Arc;
//! use rcmgr_core::dynamic::{DynResourceManager, erase};
//! use rcmgr_core::{Direction, NullResourceManager, ResourceManager, StreamScope};
//!
//! let manager: Arc<DynResourceManager> = erase(NullResourceManager);
//! let stream = manager.open_stream(&"tenant-7".parse()?, Direction::Inbound)?;
//! stream.set_protocol("/echo/1.0.0")?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::sync::Arc;

use crate::manager::{forward_connection, forward_manager, forward_stream};
use crate::scope::forward_scope;
use crate::{ConnectionScope, ResourceManager, ResourceScope, Result, ScopeSpan, StreamScope};

/// A manager chosen at run time.
pub type DynResourceManager = dyn ResourceManager<
        Scope = BoxScope,
        Service = BoxScope,
        Connection = BoxConnection,
        Stream = BoxStream,
    >;

/// A scope of a manager chosen at run time.
pub type BoxScope = Box<dyn ResourceScope<Span = BoxSpan>>;
/// A connection of a manager chosen at run time.
pub type BoxConnection = Box<dyn ConnectionScope<Span = BoxSpan, Stream = BoxStream>>;
/// A stream of a manager chosen at run time.
pub type BoxStream = Box<dyn StreamScope<Span = BoxSpan>>;

/// A span of a manager chosen at run time.
#[must_use = "dropping it releases everything it holds"]
pub struct BoxSpan(Box<dyn ScopeSpan<Span = BoxSpan>>);

impl ResourceScope for BoxSpan {
    type Span = Self;
    forward_scope!(self => self.0);
    fn begin_span(&self) -> Result<Self> {
        self.0.begin_span()
    }
}

impl ScopeSpan for BoxSpan {
    fn done(&self) {
        self.0.done();
    }
}

impl fmt::Debug for BoxSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoxSpan({})", self.name())
    }
}

impl fmt::Debug for dyn ResourceScope<Span = BoxSpan> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({})", self.name())
    }
}

impl fmt::Debug for dyn ConnectionScope<Span = BoxSpan, Stream = BoxStream> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Connection({})", self.name())
    }
}

impl fmt::Debug for dyn StreamScope<Span = BoxSpan> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.name())
    }
}

impl fmt::Debug for DynResourceManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DynResourceManager")
    }
}

/// Erases the type of a manager.
pub fn erase<M: ResourceManager + 'static>(manager: M) -> Arc<DynResourceManager> {
    Arc::new(Erased(manager))
}

/// Wraps a manager or scope, and boxes the scopes and spans that it returns.
struct Erased<T>(T);

impl<T> Erased<T> {
    fn boxed(inner: T) -> Box<Self> {
        Box::new(Self(inner))
    }
}

impl<T: ResourceScope> ResourceScope for Erased<T> {
    type Span = BoxSpan;
    forward_scope!(self => self.0);
    fn begin_span(&self) -> Result<BoxSpan> {
        self.0.begin_span().map(|span| BoxSpan(Erased::boxed(span)))
    }
}

impl<T: ScopeSpan> ScopeSpan for Erased<T> {
    fn done(&self) {
        self.0.done();
    }
}

impl<T: ConnectionScope> ConnectionScope for Erased<T> {
    type Stream = BoxStream;
    forward_connection!(self => self.0, |stream| Erased::boxed(stream) as Box<_>);
}

impl<T: StreamScope> StreamScope for Erased<T> {
    forward_stream!(self => self.0);
}

impl<M: ResourceManager> ResourceManager for Erased<M> {
    type Scope = BoxScope;
    type Service = BoxScope;
    type Connection = BoxConnection;
    type Stream = BoxStream;
    forward_manager!(self => self.0, |scope| Erased::boxed(scope) as Box<_>);
}
