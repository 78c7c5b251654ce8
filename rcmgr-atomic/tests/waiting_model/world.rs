//! The engine and the model, which perform the same steps.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use proptest::prelude::*;
use rcmgr_atomic::{
    Connection, ConnectionScope, Error, Limits, Manager, Priority, ReserveWhenAvailable,
    ResourceScope, Result, Scope, ScopeClass, ScopeId, ScopeStat, Span, Stream, StreamScope,
};
use rcmgr_testkit::{Model, On, Op, Remote, Wish};
use tokio_test::task::{Spawn, spawn};

use super::Step;

/// Few enough that operations meet on the same handles.
pub const SLOTS: usize = 10;
/// How often each request is polled in the end, on average, at the most.
const MOST_POLLS: usize = 1_000;

/// A handle. Requests that wait share it.
#[derive(Clone)]
enum Handle {
    Connection(Arc<Connection>),
    Stream(Arc<Stream>),
    Span(Arc<Span>),
}

impl Handle {
    fn scope(&self) -> &dyn ResourceScope<Span = Span> {
        match self {
            Self::Connection(connection) => &**connection,
            Self::Stream(stream) => &**stream,
            Self::Span(span) => &**span,
        }
    }

    fn done(&self) {
        match self {
            Self::Connection(connection) => connection.done(),
            Self::Stream(stream) => stream.done(),
            Self::Span(span) => span.done(),
        }
    }
}

/// A request that waits. It returns the new handle and its slot, if there is one.
type Request = Pin<Box<dyn Future<Output = Result<Option<(usize, Handle)>>>>>;

pub struct World {
    manager: Manager,
    model: Model,
    slots: Vec<Option<Handle>>,
    /// By the number that the model gives them. `None` if it has ended.
    requests: Vec<Option<Spawn<Request>>>,
    has_credit: bool,
}

impl World {
    pub fn new(limits: Limits, credit: u64) -> Self {
        let manager = Manager::builder()
            .limits(limits.clone())
            .prepaid_credit(credit, credit)
            .credit_after(1);
        Self {
            manager: manager.build().expect("the configuration works"),
            model: Model::new(limits.clone(), &limits.addresses, SLOTS),
            slots: vec![None; SLOTS],
            requests: Vec::new(),
            has_credit: credit > 0,
        }
    }

    pub fn perform(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Do(op) => {
                let got = self.apply(op);
                prop_assert_eq!(got, self.model.perform(op), "{:?}", op);
            }
            Step::Wait(wish) => {
                let (made, id) = (self.request(wish), self.model.begin_wait(wish));
                prop_assert_eq!(made.is_some(), id.is_some());
                if let (Some(request), Some(id)) = (made, id) {
                    prop_assert_eq!(id, self.requests.len());
                    self.requests.push(Some(spawn(request)));
                    self.poll(id)?;
                }
            }
            Step::Poll(number) => {
                if let Some(id) = self.pick(*number, |_| true) {
                    self.poll(id)?;
                }
            }
            Step::PollWoken(number) => {
                if let Some(id) = self.pick(*number, Spawn::is_woken) {
                    self.poll(id)?;
                }
            }
            Step::Drop(number) => {
                if let Some(id) = self.pick(*number, |_| true) {
                    self.requests[id] = None;
                    self.model.drop_wait(id);
                }
            }
        }
        Ok(())
    }

    /// One of the requests that have not ended.
    fn pick(&self, number: usize, f: impl Fn(&Spawn<Request>) -> bool) -> Option<usize> {
        let all = self.requests.iter().enumerate();
        let there = all.filter(|(_, request)| request.as_ref().is_some_and(&f));
        let ids: Vec<_> = there.map(|(id, _)| id).collect();
        (!ids.is_empty()).then(|| ids[number % ids.len()])
    }

    fn poll(&mut self, id: usize) -> Result<(), TestCaseError> {
        let request = self.requests[id].as_mut().expect("it has not ended");
        let mut polled = request.poll();
        if polled.is_ready() {
            self.requests[id] = None;
        }
        let mut granted = None;
        let got = match &mut polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(handle)) => {
                granted = handle.take();
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(why)) => Poll::Ready(Err(why.clone())),
        };
        if let Some((slot, handle)) = granted {
            self.put(slot, handle);
        }
        let want = self.model.poll_wait(id);
        let (got, want) = [got, want].map(|polled| self.without_credit(polled)).into();
        prop_assert_eq!(got, want, "request {}", id);
        Ok(())
    }

    /// An error of a request that can never be granted says how much is charged, credit included.
    fn without_credit(&self, polled: Poll<Result<()>>) -> Poll<Result<()>> {
        match polled {
            Poll::Ready(Err(Error::LimitExceeded(mut why))) if self.has_credit => {
                why.used = 0;
                Poll::Ready(Err(why.into()))
            }
            polled => polled,
        }
    }

    pub fn compare(&self) -> Result<(), TestCaseError> {
        let manager = &self.manager;
        let usage = |(id, stat): (ScopeId, ScopeStat)| (id, stat);
        let scopes = manager.scopes();
        let got: BTreeMap<_, _> = scopes
            .iter()
            .map(|at| usage((at.id.clone(), at.stat)))
            .collect();
        let want = self.model.scopes().into_iter();
        let want: BTreeMap<_, _> = want.map(|(id, (stat, _))| (id, stat)).collect();
        prop_assert_eq!(got, want);
        for slot in 0..SLOTS {
            let (handle, known) = (&self.slots[slot], self.model.handle(slot));
            prop_assert_eq!(
                handle.is_some(),
                known.is_some(),
                "a handle in slot {}",
                slot
            );
            if let (Some(handle), Some(known)) = (handle, known) {
                prop_assert_eq!(handle.scope().stat(), known.stat);
                prop_assert_eq!(handle.scope().name(), known.name);
            }
        }
        let totals = manager.wait_totals();
        for class in ScopeClass::ALL {
            let got = manager.refusals(class);
            prop_assert_eq!(got, self.model.refusals(class), "refusals of {}", class);
            let (got, want) = (totals[class as usize], self.model.wait_totals(class));
            prop_assert_eq!(
                (got.begun, got.granted, got.refused, got.given_up),
                (want.begun, want.granted, want.refused, want.given_up),
                "waits for {}",
                class
            );
        }
        let got = manager.dry_run_refusals();
        let want = ScopeClass::ALL.map(|class| self.model.dry_run_refusals(class));
        prop_assert_eq!(got, want, "refusals that the dry run let pass");
        let permits = manager.addresses().stat().permits;
        prop_assert_eq!(permits, self.model.permits());
        let waiting = manager.waiting().into_iter();
        let mut waiting: Vec<_> = waiting
            .map(|at| (at.scope, at.resource, at.requests, at.amount))
            .collect();
        waiting.sort();
        prop_assert_eq!(waiting, self.model.waiting());
        for id in self.model.must_be_woken() {
            let request = self.requests[id].as_ref().expect("it has not ended");
            prop_assert!(request.is_woken(), "request {} was not woken", id);
        }
        Ok(())
    }

    /// All requests that were woken are polled until none is. Then everything is dropped, and
    /// nothing is left.
    pub fn end(mut self) -> Result<(), TestCaseError> {
        // Requests that wake each other, or themselves, do not go on doing so.
        let mut left = MOST_POLLS * (self.requests.len() + 1);
        while let Some(id) = self.pick(0, Spawn::is_woken) {
            left -= 1;
            prop_assert!(left > 0, "request {} and others are woken for ever", id);
            self.poll(id)?;
            self.compare()?;
        }
        for handle in self.slots.iter_mut().filter_map(Option::take) {
            handle.done();
        }
        self.requests.clear();
        let manager = self.manager.clone();
        drop(self);
        prop_assert!(manager.waiting().is_empty());
        prop_assert_eq!(manager.addresses().stat().permits, 0);
        for scope in manager.scopes() {
            match view(&manager, &scope.id) {
                Some(view) => view.release(),
                None => prop_assert!(scope.stat.is_zero(), "{} is left", scope.id),
            }
        }
        let stat = manager.stat();
        prop_assert!(
            stat.system.is_zero() && stat.transient.is_zero(),
            "{}",
            stat.system
        );
        prop_assert!(stat.peers.is_empty() && stat.protocols.is_empty());
        // No scope says still that a request waits for it.
        let mut limits = Limits::unlimited();
        limits.service_default = None;
        manager.set_limits(limits);
        for scope in manager.scopes() {
            if let Some(view) = view(&manager, &scope.id) {
                prop_assert!(view.reserve(1, Priority::Level(0)).is_ok(), "{}", scope.id);
            }
        }
        Ok(())
    }

    fn request(&mut self, wish: &Wish) -> Option<Request> {
        Some(match wish {
            Wish::Memory(On::Scope(id), size, priority) => {
                let view = view(&self.manager, id).expect("it has a view");
                reserving(Arc::new(view), *size, *priority)
            }
            Wish::Memory(On::Handle(slot), size, priority) => match self.next(*slot)? {
                Handle::Connection(connection) => reserving(connection, *size, *priority),
                Handle::Stream(stream) => reserving(stream, *size, *priority),
                Handle::Span(span) => reserving(span, *size, *priority),
            },
            Wish::Connection {
                slot,
                direction,
                uses_fd,
                endpoint,
            } => {
                let (manager, slot) = (&self.manager, *slot);
                let opening =
                    manager.open_connection_when_available(*direction, *uses_fd, *endpoint);
                Box::pin(async move {
                    let opened = Handle::Connection(Arc::new(opening.await?));
                    Ok(Some((slot, opened)))
                })
            }
            Wish::Stream {
                slot,
                remote,
                direction,
            } => {
                let opening = match remote {
                    Remote::Peer(peer) => self.manager.open_stream_when_available(peer, *direction),
                    Remote::Connection(through) => match self.next(*through)? {
                        Handle::Connection(connection) => {
                            connection.open_stream_when_available(*direction)
                        }
                        Handle::Stream(_) | Handle::Span(_) => return None,
                    },
                };
                let slot = *slot;
                Box::pin(async move {
                    let opened = Handle::Stream(Arc::new(opening.await?));
                    Ok(Some((slot, opened)))
                })
            }
        })
    }

    // What a session of the testkit does, with handles that are shared.

    fn apply(&mut self, op: &Op) -> Result<()> {
        let manager = &self.manager;
        match op {
            Op::OpenConnection {
                slot,
                direction,
                uses_fd,
                endpoint,
            } => {
                let opened = manager.open_connection(*direction, *uses_fd, *endpoint)?;
                self.put(*slot, Handle::Connection(Arc::new(opened)));
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
                        let Some(Handle::Connection(connection)) = self.next(*through) else {
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
                self.put(*slot, Handle::Stream(Arc::new(opened)));
            }
            Op::BeginSpan { slot, on } => {
                if let Some(begun) = self.on(on, |scope| scope.begin_span()) {
                    self.put(*slot, Handle::Span(Arc::new(begun?)));
                }
            }
            Op::SetPeer(slot, peer) => {
                if let Some(Handle::Connection(connection)) = self.next(*slot) {
                    connection.set_peer(peer)?;
                }
            }
            Op::SetProtocol(slot, protocol) => {
                if let Some(Handle::Stream(stream)) = self.next(*slot) {
                    stream.set_protocol(protocol)?;
                }
            }
            Op::SetService(slot, service) => match self.next(*slot) {
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
                if let Some(handle) = self.next(*slot) {
                    handle.done();
                }
            }
            Op::Drop(slot) => {
                if let Some(slot) = self.next_slot(*slot) {
                    let dropped = self.slots[slot].take();
                    dropped.expect("the slot is taken").done();
                }
            }
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

    fn on<R>(&self, on: &On, f: impl FnOnce(&dyn ResourceScope<Span = Span>) -> R) -> Option<R> {
        match on {
            On::Scope(id) => Some(f(&view(&self.manager, id).expect("it has a view"))),
            On::Handle(slot) => self.next(*slot).map(|handle| f(handle.scope())),
        }
    }

    fn next_slot(&self, first: usize) -> Option<usize> {
        let mut from_first = (0..SLOTS).map(|step| (first % SLOTS + step) % SLOTS);
        from_first.find(|&slot| self.slots[slot].is_some())
    }

    fn next(&self, slot: usize) -> Option<Handle> {
        self.slots[self.next_slot(slot)?].clone()
    }

    /// Puts a handle into its slot. The one that was there ends, although requests may hold it.
    fn put(&mut self, slot: usize, handle: Handle) {
        if let Some(replaced) = self.slots[slot % SLOTS].replace(handle) {
            replaced.done();
        }
    }
}

fn reserving<S>(scope: Arc<S>, size: u64, priority: Priority) -> Request
where
    S: rcmgr_atomic::CanWait + 'static,
{
    let waiting = ReserveWhenAvailable::new(scope, size, priority);
    Box::pin(async move {
        waiting.await?.keep();
        Ok(None)
    })
}

fn view(manager: &Manager, id: &ScopeId) -> Option<Scope> {
    match id {
        ScopeId::System => Some(manager.view_system()),
        ScopeId::Transient => Some(manager.view_transient()),
        ScopeId::Service(name) => Some(manager.view_service(name)),
        ScopeId::Protocol(id) => Some(manager.view_protocol(id)),
        ScopeId::Peer(peer) => Some(manager.view_peer(peer)),
        _ => None,
    }
}
