//! The handle on a span.

use std::fmt;

use rcmgr_core::{
    Amount, Limit, LimitExceeded, Priority, Resource, ResourceScope, Result, ScopeName, ScopeSpan,
    ScopeStat,
};

use super::asker::{Asker, Asks, MemoryRequest};
use super::inherent::scope_methods;
use super::show::show;
use crate::charge::Memory;
use crate::engine::{check_alone, count_final};
use crate::lifetime::Shared;
use crate::span::{Owner, SpanState};

/// A span of any scope: it holds memory, and gives all of it back when it is done or dropped.
///
/// Its memory is part of the memory of its owner. It obeys the limit of its owner as it is now, and
/// a limit of its own if one is set.
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
#[must_use = "a span that is dropped gives everything back"]
pub struct Span(Shared<SpanState>);

impl Span {
    pub(super) fn begin(owner: Owner) -> Result<Self> {
        SpanState::begin(owner).map(Self)
    }

    pub(super) fn closed_from_start(owner: Owner) -> Self {
        Self(SpanState::closed_from_start(owner))
    }

    /// Opens a span, as [`begin_span`](Self::begin_span) does. Where that fails, the span is closed from
    /// the start: each reservation on it fails as on a span that was closed. It is for code that opens
    /// a span when it first needs one, and cannot fail there.
    pub fn begin_span_or_closed(&self) -> Self {
        let closed = |_| Self::closed_from_start(Owner::Span(self.0.clone()));
        self.begin_span().unwrap_or_else(closed)
    }

    /// Checks whether `size` bytes could be reserved here if nothing else held memory. If not, a
    /// reservation of this size is refused until a limit is raised. It reserves nothing.
    ///
    /// ```
    /// use rcmgr_atomic::{Error, Limits, Manager, Priority};
    ///
    /// let mut limits = Limits::unlimited();
    /// limits.system.memory = 1000.into();
    /// let manager = Manager::new(limits)?;
    /// let span = manager.view_system().begin_span()?;
    /// assert!(span.check_alone(600, Priority::High).is_ok());
    /// assert!(span.check_alone(600, Priority::Low).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](rcmgr_core::Error::LimitExceeded) names the first scope whose limit is too
    /// low, which counts the refusal as any other.
    pub fn check_alone(&self, size: impl Amount, priority: Priority) -> Result<()> {
        let charge = Memory::new(size.bytes(), priority);
        check_alone(&MemoryRequest(Asker::span(&self.0), charge))
    }

    /// Counts and records a refusal that the caller has decided, by a limit of its own: `size` bytes
    /// are more than the `most` bytes that the span may have. The metrics, the log and a trace have it
    /// as the refusal of a span. It changes nothing else.
    ///
    /// ```
    /// use rcmgr_atomic::{Limits, Manager, ScopeClass};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let upload = manager.view_service("web").begin_span()?;
    /// upload.count_refusal(2000_u64, 1000_u64);
    /// assert_eq!(manager.refusals(ScopeClass::Span).memory, 1);
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn count_refusal(&self, size: impl Amount, most: impl Amount) {
        let charge = Memory::new(size.bytes(), Priority::Always);
        let refused = LimitExceeded {
            scope: self.0.name(),
            resource: Resource::Memory,
            direction: None,
            requested: charge.size,
            used: 0,
            limit: most.bytes().into(),
            priority: Some(Priority::Always),
        };
        count_final(
            &MemoryRequest(Asker::span(&self.0), charge),
            &refused.into(),
        );
    }

    /// Gives back all that the span holds, once. A second call does nothing. Dropping it does the
    /// same.
    pub fn done(&self) {
        self.0.close();
    }
}

scope_methods!(Span);

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

impl Asks for Span {
    fn asker(&self) -> Asker<'_> {
        Asker::span(&self.0)
    }
}

impl ScopeSpan for Span {
    fn done(&self) {
        self.0.close();
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // The only reference closes the span when it drops it. Otherwise spans of it still hold it.
        if !self.0.is_only() {
            self.0.close();
        }
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show(f, "Span", &self.name(), &self.stat())
    }
}
