//! The handle on a service.

use rcmgr_core::{Limit, Priority, ResourceScope, Result, ScopeName, ScopeStat};

use super::asker::{Asker, Asks};
use super::inherent::scope_methods;
use super::scope::Scope;
use super::span::Span;

/// The result of [`open_service`](crate::ResourceManager::open_service): the scope of the service,
/// or a span of the system scope if the service has no limit. (go-libp2p's service variant has
/// both, and callers may rely on either.)
#[derive(Debug)]
#[must_use = "a span that is dropped gives everything back"]
pub enum Service {
    /// The scope of the service.
    Scope(Scope),
    /// A span of the system scope.
    Span(Span),
}

impl Asks for Service {
    fn asker(&self) -> Asker<'_> {
        match self {
            Self::Scope(scope) => scope.asker(),
            Self::Span(span) => span.asker(),
        }
    }
}

impl Service {
    fn inner(&self) -> &dyn ResourceScope<Span = Span> {
        match self {
            Self::Scope(scope) => scope,
            Self::Span(span) => span,
        }
    }
}

scope_methods!(Service);

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
