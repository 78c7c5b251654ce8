//! Memory that is reserved as soon as there is room.

use std::fmt;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use rcmgr_core::{MemoryGuard, Priority, ResourceScope, Result};

use super::asker::{Asks, MemoryRequest};
use crate::charge::Memory;
use crate::engine::Wait;

/// A scope whose memory can be waited for: a [`Connection`](crate::Connection),
/// [`Stream`](crate::Stream), [`Span`](crate::Span), [`Scope`](crate::Scope) or
/// [`Service`](crate::Service).
pub trait CanWait: ResourceScope + Asks {}

impl<T: ResourceScope + Asks + ?Sized> CanWait for T {}

/// The future of [`reserve_when_available`](crate::Connection::reserve_when_available): memory, as
/// soon as there is room.
///
/// Its result is the memory, or an error:
///
/// - [`LimitExceeded`](crate::Error::LimitExceeded): the request is larger than a limit, so there will
///   never be room. (The limit may also be lowered while the request waits.)
/// - [`QueueFull`](crate::Error::QueueFull): as many requests wait as may.
/// - [`ScopeClosed`](crate::Error::ScopeClosed): the scope or the manager was closed.
///
/// The request holds nothing while it waits. Dropping the future gives up its place.
///
/// When there is room, the task is woken and makes the reservation itself. Until it is polled, the
/// requests behind it wait. So poll the future, or drop it.
#[must_use = "a future does nothing until it is polled"]
pub struct ReserveWhenAvailable<S> {
    // The wait ends before the scope does.
    wait: Wait,
    scope: Option<S>,
    charge: Memory,
}

impl<S> ReserveWhenAvailable<S>
where
    S: Deref,
    S::Target: CanWait,
{
    /// Reserves `size` bytes on `scope` as soon as there is room. `scope` may be a borrow or an
    /// [`Arc`](std::sync::Arc).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use rcmgr_atomic::{KIB, Limits, Manager, Priority, ReserveWhenAvailable};
    ///
    /// let manager = Manager::new(Limits::unlimited())?;
    /// let scope = Arc::new(manager.view_system());
    /// let room = ReserveWhenAvailable::new(scope, 64 * KIB, Priority::Medium);
    /// # fn is_static<T: Send + 'static>(_: T) {}
    /// is_static(room); // it can be stored, or moved to another task
    /// # Ok::<(), rcmgr_atomic::Error>(())
    /// ```
    pub fn new(scope: S, size: u64, priority: Priority) -> Self {
        Self {
            scope: Some(scope),
            charge: Memory::new(size, priority),
            wait: Wait::new(),
        }
    }
}

// No field is pinned.
impl<S> Unpin for ReserveWhenAvailable<S> {}

impl<S> Future for ReserveWhenAvailable<S>
where
    S: Deref,
    S::Target: CanWait,
{
    type Output = Result<MemoryGuard<S>>;

    /// # Panics
    ///
    /// If it is polled after its end.
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            scope,
            charge,
            wait,
        } = &mut *self;
        let asking = scope.as_deref().expect("it is not polled after its end");
        let polled = wait.poll(&mut MemoryRequest(asking.asker(), *charge), cx);
        polled.map(|result| {
            let scope = scope.take().expect("it was there");
            result.map(|()| MemoryGuard::adopt(scope, charge.size))
        })
    }
}

impl<S> fmt::Debug for ReserveWhenAvailable<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReserveWhenAvailable")
            .field("size", &self.charge.size)
            .finish_non_exhaustive()
    }
}
