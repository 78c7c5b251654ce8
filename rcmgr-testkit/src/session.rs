//! A manager, and the handles that operations have opened on it.

use std::collections::BTreeMap;
use std::fmt;

use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use rcmgr_core::{
    ConnectionScope, Limits, ResourceManager, ResourceScope, Result, ScopeId, ScopeSpan, ScopeStat,
    StreamScope,
};

use crate::usage::{Usage, usage};
use crate::{On, Op, Remote};

/// A manager whose scopes all have the same type of span.
pub trait Engine:
    ResourceManager<
        Scope: ResourceScope<Span = Self::Span>,
        Connection: ResourceScope<Span = Self::Span>,
        Stream: ResourceScope<Span = Self::Span>,
    >
{
    /// The type of its spans.
    type Span: ScopeSpan<Span = Self::Span> + 'static;
}

impl<M, S> Engine for M
where
    M: ResourceManager<
            Scope: ResourceScope<Span = S>,
            Connection: ResourceScope<Span = S>,
            Stream: ResourceScope<Span = S>,
        >,
    S: ScopeSpan<Span = S> + 'static,
{
    type Span = S;
}

/// A connection, a stream or a span.
pub enum Handle<M: Engine> {
    /// A connection.
    Connection(M::Connection),
    /// A stream.
    Stream(M::Stream),
    /// A span.
    Span(M::Span),
}

impl<M: Engine> Handle<M> {
    /// What all three have in common.
    pub fn scope(&self) -> &dyn ResourceScope<Span = M::Span> {
        match self {
            Self::Connection(connection) => connection,
            Self::Stream(stream) => stream,
            Self::Span(span) => span,
        }
    }

    /// Gives back all that it holds.
    pub fn done(&self) {
        match self {
            Self::Connection(connection) => connection.done(),
            Self::Stream(stream) => stream.done(),
            Self::Span(span) => span.done(),
        }
    }
}

impl<M: Engine> fmt::Debug for Handle<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Handle({})", self.scope().name())
    }
}

/// A manager, and a table of the handles that were opened on it.
///
/// Any number of threads may perform operations at a time, on the same handles too.
pub struct Session<M: Engine> {
    /// The manager.
    pub manager: M,
    slots: Box<[Slot<M>]>,
}

/// Threads use a handle at the same time: each holds the lock for reading. A thread that replaces the
/// handle waits for them. No thread holds two of these locks.
///
/// An `RwLock` of the standard library, or an `Arc` for each handle, would do as well, but
/// ThreadSanitizer does not see into the standard library: it would report races where there are none.
type Slot<M> = RwLock<Option<Handle<M>>>;

/// A handle in its slot.
type Held<'a, M> = MappedRwLockReadGuard<'a, Handle<M>>;

impl<M: Engine> fmt::Debug for Session<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("slots", &self.slots.len())
            .finish_non_exhaustive()
    }
}

impl<M: Engine> Session<M> {
    /// A table with this many slots, all empty.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn new(manager: M, slots: usize) -> Self {
        assert!(slots > 0, "an operation needs a slot");
        let slots = (0..slots).map(|_| RwLock::new(None)).collect();
        Self { manager, slots }
    }

    /// The handle in exactly this slot. It stays there as long as the guard lives.
    pub fn handle(&self, slot: usize) -> Option<Held<'_, M>> {
        held(self.slot(slot))
    }

    /// All handles, with the numbers of their slots.
    pub fn handles(&self) -> impl Iterator<Item = (usize, Held<'_, M>)> {
        (0..self.slots.len()).filter_map(|slot| Some((slot, self.handle(slot)?)))
    }

    /// Performs an operation.
    ///
    /// # Errors
    ///
    /// What the manager answers.
    ///
    /// # Panics
    ///
    /// If the operation is on a scope by name that the manager has no view of.
    pub fn perform(&self, op: &Op) -> Result<()> {
        let manager = &self.manager;
        match op {
            Op::OpenConnection {
                slot,
                direction,
                uses_fd,
                endpoint,
            } => {
                let opened = manager.open_connection(*direction, *uses_fd, *endpoint)?;
                self.put(*slot, Handle::Connection(opened));
            }
            Op::OpenStream {
                slot,
                remote,
                direction,
                protocol,
                service,
            } => {
                let (protocol, service) = (protocol.as_deref(), service.as_deref());
                let opened = match (remote, protocol) {
                    (Remote::Peer(peer), None) => manager.open_stream(peer, *direction)?,
                    (Remote::Peer(peer), Some(protocol)) => {
                        manager.open_stream_with(peer, *direction, protocol, service)?
                    }
                    (Remote::Connection(through), protocol) => {
                        // The lock ends with this block, before the new handle is put into a slot.
                        let through = self.next_handle(*through);
                        let Some(Handle::Connection(connection)) = through.as_deref() else {
                            return Ok(());
                        };
                        match protocol {
                            None => connection.open_stream(*direction)?,
                            Some(protocol) => {
                                connection.open_stream_with(*direction, protocol, service)?
                            }
                        }
                    }
                };
                self.put(*slot, Handle::Stream(opened));
            }
            Op::BeginSpan { slot, on } => {
                if let Some(begun) = self.on(on, |scope| scope.begin_span()) {
                    self.put(*slot, Handle::Span(begun?));
                }
            }
            Op::SetPeer(slot, peer) => {
                if let Some(Handle::Connection(connection)) = self.next_handle(*slot).as_deref() {
                    connection.set_peer(peer)?;
                }
            }
            Op::SetProtocol(slot, protocol) => {
                if let Some(Handle::Stream(stream)) = self.next_handle(*slot).as_deref() {
                    stream.set_protocol(protocol)?;
                }
            }
            Op::SetService(slot, service) => match self.next_handle(*slot).as_deref() {
                Some(Handle::Connection(connection)) => connection.set_service(service)?,
                Some(Handle::Stream(stream)) => stream.set_service(service)?,
                Some(Handle::Span(_)) | None => {}
            },
            Op::Reserve(on, size, priority) => {
                let reserved = self.on(on, |scope| scope.reserve_memory(*size, *priority));
                reserved.transpose()?;
            }
            Op::Hold(on, size, priority) => {
                let held = self.on(on, |scope| (&scope).reserve(*size, *priority).map(drop));
                held.transpose()?;
            }
            Op::Release(on, size) => {
                self.on(on, |scope| scope.release_memory(*size));
            }
            Op::ReleaseAll(on) => {
                self.on(on, |scope| scope.release());
            }
            Op::Done(slot) => {
                if let Some(handle) = self.next_handle(*slot) {
                    handle.done();
                }
            }
            Op::Drop(slot) => drop(self.take_next(*slot)),
            Op::SetLimit(on, limit) => {
                self.on(on, |scope| match limit {
                    Some(limit) => scope.set_limit(*limit),
                    None => scope.reset_limit(),
                });
            }
            Op::SetLimits(limits) => manager.set_limits(Limits::clone(limits)),
            Op::Close => manager.close(),
        }
        Ok(())
    }

    /// What every scope uses: the shared scopes that the caller names, and the handles as `#SLOT`.
    pub fn usage(
        &self,
        shared: impl IntoIterator<Item = (ScopeId, ScopeStat)>,
    ) -> BTreeMap<String, Usage> {
        let shared = shared.into_iter();
        let shared = shared.map(|(id, stat)| (id.to_string(), usage(&stat)));
        let handles = self.handles();
        let handles = handles.map(|(slot, it)| (format!("#{slot}"), usage(&it.scope().stat())));
        shared.chain(handles).collect()
    }

    /// The view of a scope, if there is such a view.
    pub fn view(&self, id: &ScopeId) -> Option<M::Scope> {
        match id {
            ScopeId::System => Some(self.manager.view_system()),
            ScopeId::Transient => Some(self.manager.view_transient()),
            ScopeId::Service(name) => Some(self.manager.view_service(name)),
            ScopeId::Protocol(id) => Some(self.manager.view_protocol(id)),
            ScopeId::Peer(peer) => Some(self.manager.view_peer(peer)),
            _ => None,
        }
    }

    /// Calls `f` on a scope, if it is a view or there is a handle.
    fn on<R>(&self, on: &On, f: impl FnOnce(&dyn ResourceScope<Span = M::Span>) -> R) -> Option<R> {
        match on {
            On::Scope(id) => {
                let view = self.view(id);
                Some(f(&view.unwrap_or_else(|| panic!("{id} has no view"))))
            }
            On::Handle(slot) => self.next_handle(*slot).map(|handle| f(handle.scope())),
        }
    }

    fn slot(&self, number: usize) -> &Slot<M> {
        &self.slots[number % self.slots.len()]
    }

    /// The slots in order, beginning with this one.
    fn slots_from(&self, first: usize) -> impl Iterator<Item = &Slot<M>> {
        let first = first % self.slots.len();
        self.slots[first..].iter().chain(&self.slots[..first])
    }

    /// The first handle at or after a slot.
    fn next_handle(&self, slot: usize) -> Option<Held<'_, M>> {
        self.slots_from(slot).find_map(held)
    }

    /// The same, taken out of its slot.
    fn take_next(&self, slot: usize) -> Option<Handle<M>> {
        self.slots_from(slot).find_map(|slot| slot.write().take())
    }

    fn put(&self, slot: usize, handle: Handle<M>) {
        let replaced = self.slot(slot).write().replace(handle);
        // Closed here, where other threads can use the slot again.
        drop(replaced);
    }
}

fn held<M: Engine>(slot: &Slot<M>) -> Option<Held<'_, M>> {
    RwLockReadGuard::try_map(slot.read(), Option::as_ref).ok()
}
