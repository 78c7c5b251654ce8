//! A scope, its spans, and guards of reserved memory. They share a module because they refer to
//! each other.

use std::fmt;
use std::ops::Deref;

use crate::{Limit, Priority, Result, ScopeName, ScopeStat};

/// Any scope of a [`ResourceManager`](crate::ResourceManager): memory can be reserved on it.
///
/// Sizes are in bytes. All methods take `&self` and may be called from any thread.
///
/// ```
/// use rcmgr_core::{KIB, NullScope, Priority, ResourceScope};
///
/// fn read_buffer(scope: &impl ResourceScope) -> rcmgr_core::Result<()> {
///     let held = scope.reserve(64 * KIB, Priority::Medium)?;
///     assert_eq!(held.size(), 64 * KIB);
///     Ok(()) // the memory is released here
/// }
/// # read_buffer(&NullScope).unwrap();
/// ```
pub trait ResourceScope: Send + Sync {
    /// The type that [`begin_span`](Self::begin_span) returns.
    type Span: ScopeSpan + 'static;

    /// The name that errors show.
    fn name(&self) -> ScopeName;

    /// The current usage.
    fn stat(&self) -> ScopeStat;

    /// The current limit.
    fn limit(&self) -> Limit;

    /// Overrides the limit of this scope. Usage above a lowered limit stays; only new requests are
    /// refused.
    ///
    /// On a peer or protocol, the override is stored by name: it survives the collection of the
    /// scope and [`set_limits`](crate::ResourceManager::set_limits), until
    /// [`reset_limit`](Self::reset_limit). On the system and transient scopes and on services, it
    /// holds until the next [`set_limits`](crate::ResourceManager::set_limits). On a connection,
    /// stream or span, it holds as long as that lives. A span also obeys its owner's limit.
    fn set_limit(&self, limit: Limit);

    /// Removes an override that was set with [`set_limit`](Self::set_limit). The manager's limit
    /// applies again; for a span, only its owner's limit.
    fn reset_limit(&self);

    /// The amount left under the limit. An unlimited field stays unlimited.
    fn remaining(&self) -> Limit {
        self.limit().less(&self.stat())
    }

    /// Reserves `size` bytes on this scope and on all scopes that it is charged to.
    ///
    /// The reservation is granted if, on each of these scopes, usage including `size` is at most
    /// `floor((1 + priority) * limit / 256)`. A `size` of zero is checked the same way. Release it
    /// with [`release_memory`](Self::release_memory), or use [`reserve`](Self::reserve).
    ///
    /// # Errors
    ///
    /// [`LimitExceeded`](crate::Error::LimitExceeded) names the first scope that refused; then
    /// nothing is reserved on any scope. [`ScopeClosed`](crate::Error::ScopeClosed) after `done`.
    fn reserve_memory(&self, size: u64, priority: Priority) -> Result<()>;

    /// Releases `size` bytes that were reserved on this scope.
    ///
    /// An attempt to release more than the scope itself holds releases exactly what it holds,
    /// nothing of its spans, and counts as an over-release. On a closed scope it does nothing.
    fn release_memory(&self, size: u64);

    /// Releases all memory that the scope itself holds, and leaves it open.
    ///
    /// This covers memory that was reserved directly on the scope, not memory of its spans or of
    /// other scopes that are charged to it. A connection or stream stays counted. A [`MemoryGuard`]
    /// on the scope that is dropped later releases its size again: first from memory that was
    /// reserved on the scope since; the rest counts as an over-release.
    fn release(&self);

    /// Opens a span: a part of this scope that is released as a whole.
    ///
    /// # Errors
    ///
    /// [`ScopeClosed`](crate::Error::ScopeClosed) if this scope is done. (As in go-libp2p, a span
    /// whose owner is done can still open a span, but that span takes no memory.)
    /// [`SpansTooDeep`](crate::Error::SpansTooDeep) if this is a span at the maximum depth.
    fn begin_span(&self) -> Result<Self::Span>;

    /// Same as [`reserve_memory`](Self::reserve_memory), but returns a guard that releases the
    /// memory when it is dropped.
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

/// A part of a scope that ends on its own. Its usage is part of its owner's usage, and is released
/// when the span is done.
pub trait ScopeSpan: ResourceScope {
    /// Releases everything that the span holds. A second call does nothing. Dropping the span has
    /// the same effect.
    ///
    /// When the owner is done, it has already released everything, and the end of the span changes
    /// nothing.
    fn done(&self);
}

/// Memory reserved on a scope. Dropping the guard releases it.
///
/// `S` is a pointer to the scope: a borrow, as in the result of [`ResourceScope::reserve`], or an
/// [`Arc`](std::sync::Arc) for a guard that is stored elsewhere.
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
#[must_use = "dropping the guard releases the memory"]
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

    /// Takes over `size` bytes that are reserved on `scope` already, such as by
    /// [`reserve_memory`](ResourceScope::reserve_memory): the guard releases them.
    ///
    /// ```
    /// use rcmgr_core::{MemoryGuard, NullScope, Priority, ResourceScope};
    ///
    /// NullScope.reserve_memory(4096, Priority::Always)?;
    /// let held = MemoryGuard::adopt(&NullScope, 4096);
    /// assert_eq!(held.size(), 4096);
    /// # Ok::<(), rcmgr_core::Error>(())
    /// ```
    pub const fn adopt(scope: S, size: u64) -> Self {
        Self { scope, size }
    }

    /// The amount held, in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Ends the guard and leaves its memory reserved on the scope. Returns the amount, in bytes. The
    /// opposite of [`adopt`](Self::adopt).
    ///
    /// ```
    /// use rcmgr_core::{MemoryGuard, NullScope, Priority};
    ///
    /// let held = MemoryGuard::new(&NullScope, 4096, Priority::Always)?;
    /// assert_eq!(held.keep(), 4096);
    /// # Ok::<(), rcmgr_core::Error>(())
    /// ```
    pub fn keep(mut self) -> u64 {
        std::mem::take(&mut self.size)
    }

    /// Reserves `more` additional bytes.
    ///
    /// # Errors
    ///
    /// As [`ResourceScope::reserve_memory`]; then the guard keeps what it held before.
    pub fn grow(&mut self, more: u64, priority: Priority) -> Result<()> {
        self.scope.reserve_memory(more, priority)?;
        // A counting scope never grants more than a `u64` in total; the null scope grants anything.
        self.size = self.size.saturating_add(more);
        Ok(())
    }

    /// Releases all but `size` bytes. If the guard holds less, this does nothing.
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
        if self.size > 0 {
            self.scope.release_memory(self.size);
        }
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

/// The methods of [`ResourceScope`] except `begin_span`, forwarded to `$target`.
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

/// Implements the traits for a pointer to a scope or span.
macro_rules! implement_for_pointers {
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
implement_for_pointers!(&T, Box<T>, std::sync::Arc<T>);
