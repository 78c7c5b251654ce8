//! A request that waits until there is room: see `waiting/waiters.rs`.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_core::{
    Error, LimitExceeded, LimitValue, QueueFull, Resource, Result, ScopeClass, ScopeId, ScopeName,
    WaitersFirst,
};

use super::record::Record;
use super::state::Engine;
use crate::counters::Slot;
use crate::sync::call_user_code;
use crate::waiting::{NodesOfScope, Place, Position, Ticket, WaitEnd, Waiter};

/// A request that may wait.
pub trait Request {
    type Granted;

    fn engine(&self) -> &Arc<Engine>;

    /// Tries the request.
    ///
    /// # Errors
    ///
    /// The refusal, which is neither counted nor recorded. Then nothing is charged.
    fn attempt(&mut self, ticket: Ticket) -> Result<Self::Granted>;

    /// Checks whether it would be granted if nothing else were in use.
    ///
    /// # Errors
    ///
    /// The refusal, which is neither counted nor recorded.
    fn check_alone(&self) -> Result<()>;

    /// The nodes of this scope that it is charged on.
    fn nodes(&self, scope: &ScopeId) -> NodesOfScope;

    /// The connection, stream or span whose end ends the wait.
    fn asker(&self) -> Option<ScopeName>;

    /// Called before it waits: the asker looks for its requests from now on when it is closed.
    ///
    /// # Errors
    ///
    /// If the asker is closed.
    fn prepare(&self) -> Result<()>;

    fn level(&self) -> u8;

    fn amount(&self) -> u64;

    /// The slot of the leaf that it opens, if it opens one.
    fn slot(&self) -> Option<Slot>;

    /// The record of its refusal.
    fn record(&self) -> Record;
}

/// The state of a request that may wait. Dropping it gives up its place.
#[derive(Debug, Default)]
pub struct Wait(Option<Queued>);

/// A request in a queue.
#[derive(Debug)]
struct Queued {
    engine: Arc<Engine>,
    place: Place,
    position: Position,
    ticket: Ticket,
    asker: Option<ScopeName>,
    since: Duration,
    /// The class of the scope that it waited for first. Its wait is counted there.
    class: ScopeClass,
}

impl Wait {
    pub const fn new() -> Self {
        Self(None)
    }

    /// Tries the request, and lets it wait if there is no room for it now.
    pub fn poll<R: Request>(
        &mut self,
        request: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Result<R::Granted>> {
        let polled = self.poll_place(request, cx);
        if let Poll::Ready(result) = &polled {
            self.end(match result {
                Ok(_) => WaitEnd::Granted,
                Err(_) => WaitEnd::Refused,
            });
        }
        polled
    }

    fn poll_place<R: Request>(
        &mut self,
        request: &mut R,
        cx: &mut Context<'_>,
    ) -> Poll<Result<R::Granted>> {
        // 1. The waker comes first: if room is made after the attempt, this task is woken.
        if let Some(Queued {
            engine,
            place,
            position,
            ..
        }) = &self.0
        {
            let waker = cx.waker().clone();
            engine.waiters().set_waker(place, *position, waker);
        }
        loop {
            // The manager is closed, perhaps since the last attempt. This comes after the request
            // has entered a queue: either this thread sees the close, or that wakes the request.
            if self.0.is_some() {
                request.engine().check_open()?;
            }
            // 2. Try the whole request, whichever scope refused it before.
            let ticket = self.0.as_ref().map_or(Ticket::NEW, |queued| queued.ticket);
            let refused = match request.attempt(ticket) {
                Ok(granted) => return Poll::Ready(Ok(granted)),
                Err(refused) => refused,
            };
            // 3. Only the lack of room can change.
            let place = match refused {
                Error::LimitExceeded(LimitExceeded {
                    scope, resource, ..
                })
                | Error::WaitersFirst(WaitersFirst {
                    scope, resource, ..
                }) => Place { scope, resource },
                refused => return Poll::Ready(Err(refused)),
            };
            check_alone(request)?;
            // A span may lack room itself after its owner was closed.
            request.prepare()?;
            // 4. It waits at the scope that refused.
            if self.0.as_ref().is_some_and(|queued| queued.place == place) {
                return Poll::Pending;
            }
            self.move_to(request, place, cx)?;
        }
    }

    /// Puts the request into the queue of another place. It keeps its ticket.
    fn move_to<R: Request>(&mut self, request: &R, place: Place, cx: &Context<'_>) -> Result<()> {
        let engine = request.engine();
        // 1. The nodes of the scope. If it is not charged there any longer, the attempt that was
        //    refused means nothing.
        let is_node = place.scope.spans.depth() == 0
            && !matches!(
                place.scope.scope,
                ScopeId::Connection(_) | ScopeId::Stream(_)
            );
        let mut nodes = match is_node {
            true => request.nodes(&place.scope.scope),
            false => NodesOfScope::new(),
        };
        if is_node && nodes.is_empty() {
            return Ok(());
        }
        // The part for unproven connections has no limit of memory. If it said that requests wait for
        // memory, it would turn requests away before the scope as a whole is asked.
        if place.resource == Resource::Memory {
            nodes.retain(|node| !engine.unproven().is(node));
        }
        // The waker is code of the user: a panic of it comes before the first change.
        let waker = Some(cx.waker().clone());
        // 2. Leave the queue where it was. The turn passes to the next there.
        let before = self.0.take().inspect(Queued::leave);
        // 3. A request that waits already is not turned away by a full queue.
        let (ticket, since, most) = match &before {
            Some(queued) => (queued.ticket, queued.since, u64::MAX),
            None => (
                engine.waiters().ticket(),
                engine.now(),
                engine.most_waiters(),
            ),
        };
        let position = Position::new(request.level(), ticket);
        let asker = request.asker();
        let waiter = Waiter {
            waker,
            amount: request.amount(),
            since,
        };
        let waiters = engine.waiters();
        let entered = waiters.enter(&place, nodes, (position, waiter), asker.as_ref(), most);
        if let Err(waiting) = entered {
            let full = Error::QueueFull(QueueFull {
                scope: place.scope,
                resource: place.resource,
                requested: request.amount(),
                waiting,
            });
            count_final(request, &full);
            return Err(full);
        }
        let class = before.map_or_else(
            || {
                let class = place.scope.class();
                waiters.count_begun(class);
                class
            },
            |queued| queued.class,
        );
        self.0 = Some(Queued {
            engine: engine.clone(),
            place,
            position,
            ticket,
            asker,
            since,
            class,
        });
        Ok(())
    }

    /// Takes the request out of its queue, if it is in one.
    fn end(&mut self, how: WaitEnd) {
        if let Some(queued) = self.0.take() {
            queued.leave();
            let engine = &queued.engine;
            let waited = engine.now().saturating_sub(queued.since);
            engine.waiters().count_ended(queued.class, how, waited);
        }
    }
}

impl Queued {
    fn leave(&self) {
        let waiters = self.engine.waiters();
        waiters.leave(&self.place, self.position, self.asker.as_ref());
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.end(WaitEnd::GivenUp);
    }
}

/// Checks whether there would be room for a request if nothing else were charged.
///
/// # Errors
///
/// The refusal, which is counted and recorded.
pub fn check_alone<R: Request>(request: &R) -> Result<()> {
    request
        .check_alone()
        .inspect_err(|refused| count_final(request, refused))
}

/// Counts and records the refusal of a request that cannot wait, or not any longer.
#[cold]
pub fn count_final<R: Request>(request: &R, refused: &Error) {
    let engine = request.engine();
    let (scope, resource) = match refused {
        Error::LimitExceeded(refused) => (&refused.scope, refused.resource),
        Error::QueueFull(refused) => (&refused.scope, refused.resource),
        _ => return,
    };
    let slot = request.slot();
    match (scope.class(), request.nodes(&scope.scope).first()) {
        (ScopeClass::Span, _) => {
            let refusals = engine.class_refusals().past(ScopeClass::Span);
            refusals.count(resource, slot);
        }
        (ScopeClass::Connection, _) => engine.conn.refusals.count(resource, slot),
        (ScopeClass::Stream, _) => engine.stream.refusals.count(resource, slot),
        (_, Some(node)) => node.count_refusal(resource, slot),
        (_, None) => {}
    }
    engine.record_refusal(refused, || request.record());
}

impl Engine {
    /// The time, by the clock of the manager.
    pub fn now(&self) -> Duration {
        let mut now = Duration::ZERO;
        call_user_code(|| now = self.clock().now());
        now
    }

    /// How many requests may wait for a resource of a scope.
    fn most_waiters(&self) -> u64 {
        let most = self
            .versions
            .read(|version| self.limits[version.slot()].with(|limits| limits.waiters));
        match most {
            LimitValue::Limited(most) => most,
            LimitValue::Unlimited => u64::MAX,
        }
    }
}
