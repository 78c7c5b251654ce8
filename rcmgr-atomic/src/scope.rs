use rcmgr_core::{
    Limit, Priority, Refusals, ResourceScope, Result, ScopeName, ScopeSpan, ScopeStat,
};

use std::fmt;

use crate::direct::NodeUser;
use crate::shared::Shared;
use crate::span::{Owner, SpanState};

/// A scope that others are charged on, as [`Manager`](crate::Manager)
/// shows it: the system or transient scope, a service, a protocol or a peer.
///
/// What is reserved here is charged here and on the system scope. It stays reserved when this is
/// dropped, and keeps the scope alive until it is released.
///
/// ```
/// use rcmgr_atomic::{Manager, Limits, Priority, ResourceManager, ResourceScope};
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let dht = manager.view_service("dht");
/// dht.reserve_memory(4096, Priority::Always)?;
/// assert_eq!(manager.view_system().stat().memory, 4096);
/// dht.release();
/// assert_eq!((dht.stat().memory, dht.peak().memory), (0, 4096));
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
#[derive(Clone)]
pub struct Scope(NodeUser);

impl Scope {
    pub(crate) fn new(user: NodeUser) -> Self {
        Self(user)
    }

    /// The most that was ever used at once, counter by counter, since the scope was made.
    pub fn peak(&self) -> ScopeStat {
        self.0.node().peak()
    }

    /// How often this scope refused, since it was made.
    pub fn refusals(&self) -> Refusals {
        self.0.node().refusals()
    }
}

impl ResourceScope for Scope {
    type Span = Span;

    fn name(&self) -> ScopeName {
        self.0.node().id().clone().into()
    }

    fn stat(&self) -> ScopeStat {
        self.0.engine().stat(self.0.node())
    }

    fn limit(&self) -> Limit {
        self.0.engine().limit(self.0.node())
    }

    fn set_limit(&self, limit: Limit) {
        self.0.engine().set_limit(self.0.node(), Some(limit));
    }

    fn reset_limit(&self) {
        self.0.engine().set_limit(self.0.node(), None);
    }

    fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()> {
        self.0.reserve(size, priority)
    }

    fn release_memory(&self, size: u64) {
        let taken = self.0.take(size);
        if taken < size {
            self.0
                .engine()
                .count_over_release(&self.name(), size, taken);
        }
    }

    fn release(&self) {
        self.0.take(u64::MAX);
    }

    fn begin_span(&self) -> Result<Span> {
        let (node, engine) = (self.0.node(), self.0.engine());
        engine.retain_node(node);
        Span::begin(Owner::Node(node.clone(), engine.clone()))
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "Scope", self)
    }
}

/// A span of any scope: it holds memory, and gives it all back when it is done or dropped.
///
/// What it holds is part of what its owner holds. It obeys its owner's limit as it is now, and a
/// limit of its own if one is set.
///
/// ```
/// use rcmgr_atomic::{
///     Manager, Limits, Priority, ResourceManager, ResourceScope, ScopeSpan,
/// };
///
/// let manager = Manager::new(Limits::unlimited())?;
/// let dht = manager.view_service("dht");
/// let query = dht.begin_span()?;
/// query.reserve_memory(4096, Priority::Always)?;
/// assert_eq!(dht.stat().memory, 4096);
/// query.done();
/// assert_eq!(dht.stat().memory, 0);
/// # Ok::<(), rcmgr_atomic::Error>(())
/// ```
pub struct Span(Shared<SpanState>);

impl Span {
    pub(crate) fn begin(owner: Owner) -> Result<Self> {
        SpanState::begin(owner).map(Self)
    }
}

impl ResourceScope for Span {
    type Span = Self;

    fn name(&self) -> ScopeName {
        self.0.name()
    }

    fn stat(&self) -> ScopeStat {
        self.0.stat()
    }

    fn limit(&self) -> Limit {
        self.0.limit()
    }

    fn set_limit(&self, limit: Limit) {
        self.0.set_limit(Some(limit));
    }

    fn reset_limit(&self) {
        self.0.set_limit(None);
    }

    fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()> {
        self.0.reserve(size, priority)
    }

    fn release_memory(&self, size: u64) {
        if let Some(taken) = self.0.release(size).filter(|&taken| taken < size) {
            self.0
                .engine()
                .count_over_release(&self.name(), size, taken);
        }
    }

    fn release(&self) {
        self.0.release(u64::MAX);
    }

    fn begin_span(&self) -> Result<Self> {
        Self::begin(Owner::Span(self.0.clone()))
    }
}

impl ScopeSpan for Span {
    fn done(&self) {
        self.0.close();
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // One that nobody else has closes itself; else spans of it hold it on.
        if !self.0.is_only() {
            self.0.close();
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "Span", self)
    }
}

/// What [`open_service`](crate::ResourceManager::open_service) gives: the service's scope, or where
/// it has no limit a span of the system scope.
#[derive(Debug)]
pub enum Service {
    /// The service's scope.
    Scope(Scope),
    /// A span of the system scope.
    Span(Span),
}

impl Service {
    fn inner(&self) -> &dyn ResourceScope<Span = Span> {
        match self {
            Self::Scope(scope) => scope,
            Self::Span(span) => span,
        }
    }
}

impl ResourceScope for Service {
    type Span = Span;

    fn name(&self) -> ScopeName {
        self.inner().name()
    }

    fn stat(&self) -> ScopeStat {
        self.inner().stat()
    }

    fn limit(&self) -> Limit {
        self.inner().limit()
    }

    fn set_limit(&self, limit: Limit) {
        self.inner().set_limit(limit);
    }

    fn reset_limit(&self) {
        self.inner().reset_limit();
    }

    fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()> {
        self.inner().reserve_memory(size, priority)
    }

    fn release_memory(&self, size: u64) {
        self.inner().release_memory(size);
    }

    fn release(&self) {
        self.inner().release();
    }

    fn begin_span(&self) -> Result<Span> {
        self.inner().begin_span()
    }
}

/// How the handles show themselves to a developer: name and usage.
pub(crate) fn show(
    f: &mut fmt::Formatter<'_>,
    what: &str,
    scope: &dyn ResourceScope<Span = Span>,
) -> fmt::Result {
    write!(f, "{what}({}: {})", scope.name(), scope.stat())
}
