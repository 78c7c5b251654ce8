//! The requests of a manager that wait.
//!
//! A request that is refused may wait in the queue of the [place](Place) that refused it. It holds
//! nothing meanwhile. When there may be room, the first request of the queue is woken, and its task
//! tries the whole request again. So a queue only says whose turn it is: nothing is charged on
//! behalf of a task that may never run, and a task that gives up has nothing to give back.
//!
//! No wake-up is lost. A request enters the queue, says so in [`Waiters::any`] and in the nodes, and
//! then tries once more. A thread that makes room does so first, and then looks at `any`. Each of
//! the two steps is SeqCst, so at least one of the threads sees the step of the other: the request
//! finds the room, or the thread finds the request.
//!
//! The turn is passed on when the first request leaves its queue, for whatever reason: the one after
//! it is woken, because there may be room for it too.

use std::collections::BTreeMap;
use std::task::Waker;
use std::time::Duration;

use rcmgr_core::{Resource, ScopeClass, ScopeId, ScopeName};

use super::queue::{NodesOfScope, Place, Queue, Waiter};
use super::ticket::{Position, Ticket};
use super::totals::{WaitCounters, WaitEnd, WaitTotals};
use super::wake_later::wake_outside_of_locks;
use crate::node::Node;
use crate::sync::{
    AtomicU64, IS_MODEL, OnceBox, Ordering, Table, call_user_code, fence, order_seq_cst_accesses,
};
use crate::words::Resources;

/// The requests of a manager that wait.
pub struct Waiters {
    /// How many requests wait.
    waiting: AtomicU64,
    /// Made when the first request waits.
    queues: OnceBox<Queues>,
}

struct Queues {
    tickets: AtomicU64,
    of_places: Table<Place, Queue>,
    /// The requests of each leaf, and of each span that is not part of a leaf, by its name.
    of_askers: Table<ScopeName, BTreeMap<Position, Place>>,
    counters: [WaitCounters; ScopeClass::ALL.len()],
}

/// The requests that wait for one place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingAt {
    pub place: Place,
    pub requests: u64,
    pub amount: u64,
    /// When the one that waits longest began.
    pub since: Duration,
}

impl Waiters {
    pub fn new() -> Self {
        Self {
            waiting: AtomicU64::new(0),
            queues: OnceBox::new(),
        }
    }

    fn queues(&self) -> &Queues {
        self.queues.get_or_init(|| {
            Box::new(Queues {
                tickets: AtomicU64::new(0),
                of_places: Table::new(),
                of_askers: Table::new(),
                counters: std::array::from_fn(|_| WaitCounters::new()),
            })
        })
    }

    /// Whether a request waits for anything.
    #[inline]
    pub fn any(&self) -> bool {
        // Most models have no waiters. They need not explore the steps below.
        if IS_MODEL && self.queues.get().is_none() {
            return false;
        }
        order_seq_cst_accesses();
        // SeqCst: in one order with the step before, which made room: see the head of this file.
        self.waiting.load(Ordering::SeqCst) != 0
    }

    /// Called after these nodes have got something back: wakes the first request of each queue that
    /// there may be room for.
    #[inline]
    pub fn released<'a>(&self, nodes: impl Iterator<Item = &'a Node>, resources: Resources) {
        if self.any() {
            self.wake_first(nodes, resources);
        }
    }

    /// The same, for a caller that knows that a request waits.
    #[cold]
    #[inline(never)]
    pub fn wake_first<'a>(&self, nodes: impl Iterator<Item = &'a Node>, resources: Resources) {
        for node in nodes {
            let waited_for = node.waited().resources().intersection(resources);
            for resource in waited_for.iter() {
                self.wake_head(node.id().clone().into(), resource);
            }
            if is_second_way(node.id()) && resources != Resources::MEMORY {
                self.wake_allowlisted();
            }
        }
    }

    /// Wakes the first connections that wait for the allowlisted scopes. They may use the standard
    /// scopes, too. There they may lack another resource than the one that they wait for.
    fn wake_allowlisted(&self) {
        for scope in [ScopeId::AllowlistedTransient, ScopeId::AllowlistedSystem] {
            for resource in Resources::ALL_OF_CONNECTIONS.iter() {
                self.wake_head(scope.clone().into(), resource);
            }
        }
    }

    /// Wakes the first request that waits for a resource of this scope.
    pub fn wake_head(&self, scope: ScopeName, resource: Resource) {
        let place = Place { scope, resource };
        let head = self.queues().of_places.change(&place, Queue::wake_head);
        wake(head.flatten());
    }

    /// Wakes all requests: the limits have changed, or the manager is closed.
    pub fn wake_all(&self) {
        if !self.any() {
            return;
        }
        let mut places = Vec::new();
        let queues = &self.queues().of_places;
        queues.for_each(|place, _| places.push(place.clone()));
        for place in places {
            let wakers = queues.change(&place, Queue::wake_all);
            wakers
                .into_iter()
                .flatten()
                .for_each(|waker| wake(Some(waker)));
        }
    }

    /// Wakes the requests of a leaf or span that was closed or has moved, and of its spans.
    #[cold]
    pub fn wake_those_of(&self, asker: &ScopeName) {
        let queues = self.queues();
        let entries = queues.of_askers.read(&root(asker), BTreeMap::clone);
        for (position, place) in entries.into_iter().flatten() {
            let waker = queues
                .of_places
                .change(&place, |queue| queue.wake(position));
            wake(waker.flatten());
        }
    }

    /// Whether a request at `position` must let others go first.
    pub fn are_ahead(&self, place: &Place, position: Position) -> bool {
        let head = self.queues().of_places.read(place, Queue::head).flatten();
        head.is_some_and(|head| head < position)
    }

    /// A new ticket, later than all others.
    pub fn ticket(&self) -> Ticket {
        // Relaxed: the tickets of two requests that come at once may be in either order.
        Ticket::number(self.queues().tickets.fetch_add(1, Ordering::Relaxed))
    }

    /// Puts a request into the queue of a place. The caller tries the request once more after this.
    ///
    /// # Errors
    ///
    /// How many requests wait there, if `most` do already.
    pub fn enter(
        &self,
        place: &Place,
        nodes: NodesOfScope,
        (position, waiter): (Position, Waiter),
        asker: Option<&ScopeName>,
        most: u64,
    ) -> Result<(), u64> {
        let queues = self.queues();
        // 1. Enter the queue. The nodes say so from now on.
        let mut waiter = Some(waiter);
        let entered = queues.of_places.change_or_insert(
            place.clone(),
            |_| Queue::new(),
            |queue| match queue.len() {
                waiting if waiting >= most => Err(waiting),
                _ => {
                    let waiter = waiter.take().expect("it is called once");
                    queue.insert(place.resource, position, waiter, nodes);
                    Ok(())
                }
            },
        );
        if entered.is_err() {
            // The queue may have been made for this request.
            queues.of_places.remove_if(place, Queue::is_empty);
            drop_outside_of_locks(waiter);
            return entered;
        }
        if let Some(asker) = asker {
            let insert = |entries: &mut BTreeMap<_, _>| {
                entries.insert(position, place.clone());
            };
            queues
                .of_askers
                .change_or_insert(root(asker), |_| BTreeMap::new(), insert);
        }
        // 2. Say that a request waits. SeqCst, with a fence: in one order with the try that the
        //    caller makes after this.
        self.waiting.fetch_add(1, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        Ok(())
    }

    /// Sets the waker of a request that waits. The caller tries the request after this.
    pub fn set_waker(&self, place: &Place, position: Position, waker: Waker) {
        let queues = &self.queues().of_places;
        let before = queues.change(place, |queue| queue.set_waker(position, waker));
        drop_outside_of_locks(before);
        // SeqCst: in one order with the try, as in `enter`.
        fence(Ordering::SeqCst);
    }

    /// Takes a request out of its queue. If it was the first, the turn passes to the next.
    pub fn leave(&self, place: &Place, position: Position, asker: Option<&ScopeName>) {
        let queues = self.queues();
        let left = queues.of_places.change(place, |queue| {
            let was_first = queue.head() == Some(position);
            let waiter = queue.remove(place.resource, position);
            let next = was_first.then(|| queue.wake_head()).flatten();
            (waiter, was_first, next)
        });
        queues.of_places.remove_if(place, Queue::is_empty);
        if let Some(asker) = asker {
            let root = root(asker);
            let remove = |entries: &mut BTreeMap<_, _>| entries.remove(&position);
            queues.of_askers.change(&root, remove);
            queues.of_askers.remove_if(&root, BTreeMap::is_empty);
        }
        // SeqCst: in one order with the other steps on it.
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        if let Some((waiter, was_first, next)) = left {
            drop_outside_of_locks(waiter);
            wake(next);
            // A connection that the allowlist lets in may have let this request go first.
            if was_first && is_second_way(&place.scope.scope) && place.resource != Resource::Memory
            {
                self.wake_allowlisted();
            }
        }
    }

    pub fn count_begun(&self, class: ScopeClass) {
        self.queues().counters[class as usize].begin();
    }

    pub fn count_ended(&self, class: ScopeClass, how: WaitEnd, waited: Duration) {
        self.queues().counters[class as usize].end(how, waited);
    }

    /// The totals of each class, in the order of [`ScopeClass::ALL`].
    pub fn totals(&self) -> [WaitTotals; ScopeClass::ALL.len()] {
        match self.queues.get() {
            Some(queues) => queues.counters.each_ref().map(WaitCounters::get),
            None => [WaitTotals::default(); ScopeClass::ALL.len()],
        }
    }

    /// The requests that wait, by place.
    pub fn list(&self) -> Vec<WaitingAt> {
        let mut list = Vec::new();
        if let Some(queues) = self.queues.get() {
            queues.of_places.for_each(|place, queue| {
                if let Some(since) = queue.waiters().map(|waiter| waiter.since).min() {
                    let amounts = queue.waiters().map(|waiter| waiter.amount);
                    list.push(WaitingAt {
                        place: place.clone(),
                        requests: queue.len(),
                        amount: amounts.fold(0, u64::saturating_add),
                        since,
                    });
                }
            });
        }
        list
    }
}

/// Wakes a task. The waker is code of the user, so it runs outside of every lock.
fn wake(waker: Option<Waker>) {
    waker.into_iter().for_each(wake_outside_of_locks);
}

/// Drops a value with a waker, which is code of the user.
fn drop_outside_of_locks<T>(with_waker: T) {
    call_user_code(|| drop(with_waker));
}

/// Whether connections use this scope that may wait for the allowlisted scopes.
fn is_second_way(scope: &ScopeId) -> bool {
    matches!(scope, ScopeId::System | ScopeId::Transient)
}

/// The name under which the requests of a leaf, of a span, or of spans in it are found: of the leaf,
/// or of the outermost span of a scope that is never closed.
fn root(asker: &ScopeName) -> ScopeName {
    let spans = match asker.scope {
        ScopeId::Connection(_) | ScopeId::Stream(_) => rcmgr_core::SpanIds::NONE,
        _ => asker.spans.outermost(),
    };
    ScopeName {
        scope: asker.scope.clone(),
        spans,
    }
}
