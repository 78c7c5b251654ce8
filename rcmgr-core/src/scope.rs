//! A scope, its spans, and memory reserved on it. The three refer to each other.

use std::fmt;
use std::ops::Deref;

use crate::{Limit, Priority, Result, ScopeName, ScopeStat};

/// Something that memory is charged on: any scope of a [`ResourceManager`](crate::ResourceManager).
///
/// Sizes are in bytes. Everything takes `&self` and may be called from any thread.
///
/// ```
/// use rcmgr_core::{KIB, NullScope, Priority, ResourceScope};
///
/// fn read_buffer(scope: &impl ResourceScope) -> rcmgr_core::Result<()> {
///     let held = scope.reserve(64 * KIB, Priority::Medium)?;
///     assert_eq!(held.size(), 64 * KIB);
///     Ok(()) // given back here
/// }
/// # read_buffer(&NullScope).unwrap();
/// ```
pub trait ResourceScope: Send + Sync {
    /// What [`begin_span`](Self::begin_span) gives.
    type Span: ScopeSpan + 'static;

    /// Its name, as in errors.
    fn name(&self) -> ScopeName;

    /// What it uses now.
    fn stat(&self) -> ScopeStat;

    /// Its limit as it is now.
    fn limit(&self) -> Limit;

    /// Sets its limit. What is used above a lowered limit stays; only what is new is refused.
    ///
    /// On a peer or a protocol the limit is kept by name: it holds when the scope is collected and
    /// made again, and through a change of all limits, until [`reset_limit`](Self::reset_limit). On
    /// the system and transient scopes and on services it holds until all limits are changed; on a
    /// connection, stream or span as long as that lives. A span obeys its owner's limit too.
    fn set_limit(&self, limit: Limit);

    /// Takes back a limit that was set by [`set_limit`](Self::set_limit): the manager's limits, or
    /// for a span its owner's, are what counts again.
    fn reset_limit(&self);

    /// What is left under its limit: a field that is unlimited stays so.
    fn remaining(&self) -> Limit {
        self.limit().less(&self.stat())
    }

    /// Reserves `size` bytes here and on everything that this scope is charged on.
    ///
    /// Granted where, at each of them, usage with `size` is at most
    /// `floor((1 + priority) * limit / 256)`; a `size` of zero is checked like any other. Give it
    /// back with [`release_memory`](Self::release_memory), or use [`reserve`](Self::reserve).
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) names the first scope that refused; nothing
    /// is reserved anywhere then. [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()>;

    /// Gives back `size` bytes of what was reserved here.
    ///
    /// Releasing more than the scope itself holds takes back what it holds and no more, nothing of
    /// its spans, and counts as a mistake. On a scope that is closed it does nothing.
    fn release_memory(&self, size: u64);

    /// Gives back all memory that the scope itself holds, and leaves it open.
    ///
    /// That is what was reserved on it directly: neither what its spans hold nor what others that
    /// are charged on it do. A connection or stream stays one. A [`MemoryGuard`] on the scope that
    /// is dropped afterwards gives it back a second time: out of what was reserved on the scope
    /// since, and what is not there counts as a mistake.
    fn release(&self);

    /// Opens a span: a part of this scope that is given back as a whole.
    ///
    /// # Errors
    ///
    /// [`ScopeClosed`](crate::Error::ScopeClosed) if this scope is done. (A span of a span whose
    /// owner is done opens, as in the reference, but takes no memory.)
    /// [`SpansTooDeep`](crate::Error::SpansTooDeep) if this is a span that is nested as deep as may
    /// be.
    fn begin_span(&self) -> Result<Self::Span>;

    /// [`reserve_memory`](Self::reserve_memory), given back when the guard is dropped.
    ///
    /// # Errors
    ///
    /// As [`reserve_memory`](Self::reserve_memory).
    #[inline]
    fn reserve(&self, size: u64, priority: Priority) -> Result<MemoryGuard<&Self>>
    where
        Self: Sized,
    {
        MemoryGuard::new(self, size, priority)
    }
}

/// A part of a scope that ends by itself: what it holds is its owner's usage too, and is given
/// back when it is done.
pub trait ScopeSpan: ResourceScope {
    /// Gives back all that the span holds, once; a second call does nothing. Dropping is the same.
    ///
    /// Once the owner is done it has given everything back, and the span's end changes nothing.
    fn done(&self);
}

/// Memory reserved on a scope, given back when this is dropped.
///
/// `S` is what refers to the scope: a borrow, as [`ResourceScope::reserve`] gives it, or an
/// [`Arc`](std::sync::Arc) for a guard that is kept elsewhere.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_core::{KIB, MemoryGuard, NullScope, Priority};
///
/// let scope = Arc::new(NullScope);
/// let held = MemoryGuard::new(scope.clone(), 4 * KIB, Priority::Always)?;
/// std::thread::spawn(move || drop(held)).join().unwrap();
/// # Ok::<(), rcmgr_core::Error>(())
/// ```
#[must_use = "the memory is given back when this is dropped"]
pub struct MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    scope: S,
    size: u64,
}

impl<S> MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    /// Reserves `size` bytes on `scope`.
    ///
    /// # Errors
    ///
    /// As [`ResourceScope::reserve_memory`].
    #[inline]
    pub fn new(scope: S, size: u64, priority: Priority) -> Result<Self> {
        scope.reserve_memory(size, priority)?;
        Ok(Self { scope, size })
    }

    /// How much is held, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Reserves `more` bytes in addition.
    ///
    /// # Errors
    ///
    /// As [`ResourceScope::reserve_memory`]; what was held is held still.
    pub fn grow(&mut self, more: u64, priority: Priority) -> Result<()> {
        self.scope.reserve_memory(more, priority)?;
        // A scope that counts holds no more than a counter does; the null scope grants anything.
        self.size = self.size.saturating_add(more);
        Ok(())
    }

    /// Gives back all but `size` bytes; holding less already, it does nothing.
    pub fn shrink_to(&mut self, size: u64) {
        let excess = self.size.saturating_sub(size);
        if excess > 0 {
            self.size = size;
            self.scope.release_memory(excess);
        }
    }
}

impl<S> Drop for MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    #[inline]
    fn drop(&mut self) {
        self.scope.release_memory(self.size);
    }
}

impl<S> fmt::Debug for MemoryGuard<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryGuard")
            .field("scope", &self.scope.name().to_string())
            .field("size", &self.size)
            .finish()
    }
}

/// The methods of [`ResourceScope`] but for `begin_span`, passed on to what `$target` gives.
macro_rules! forward_scope {
    ($self:ident => $target:expr) => {
        fn name(&$self) -> $crate::ScopeName {
            $target.name()
        }
        fn stat(&$self) -> $crate::ScopeStat {
            $target.stat()
        }
        fn limit(&$self) -> $crate::Limit {
            $target.limit()
        }
        fn set_limit(&$self, limit: $crate::Limit) {
            $target.set_limit(limit);
        }
        fn reset_limit(&$self) {
            $target.reset_limit();
        }
        fn remaining(&$self) -> $crate::Limit {
            $target.remaining()
        }
        #[inline]
        fn reserve_memory(&$self, size: u64, priority: $crate::Priority) -> $crate::Result<()> {
            $target.reserve_memory(size, priority)
        }
        #[inline]
        fn release_memory(&$self, size: u64) {
            $target.release_memory(size);
        }
        fn release(&$self) {
            $target.release();
        }
    };
}
pub(crate) use forward_scope;

/// What refers to a scope is one.
macro_rules! scope_behind {
    ($($pointer:ty),*) => {$(
        impl<T: ResourceScope + ?Sized> ResourceScope for $pointer {
            type Span = T::Span;
            forward_scope!(self => (**self));
            fn begin_span(&self) -> Result<Self::Span> {
                (**self).begin_span()
            }
        }

        impl<T: ScopeSpan + ?Sized> ScopeSpan for $pointer {
            fn done(&self) {
                (**self).done();
            }
        }
    )*};
}
scope_behind!(&T, Box<T>, std::sync::Arc<T>);
