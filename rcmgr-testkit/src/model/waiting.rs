//! How requests wait.

use std::task::Poll;

use rcmgr_core::{
    Error, Limit, LimitExceeded, LimitValue, QueueFull, Resource, Result, ScopeClass, ScopeId,
    ScopeName, ScopeStat, WaitersFirst, canonical_ip,
};

use super::leaf::Leaf;
use super::memory::for_memory;
use super::opening::{for_leaf, new_connection, new_stream};
use super::request::{Over, Request, Turn, check, count_refusal};
use super::unproven::half;
use super::waits::{Ends, Queued, Wait, Wanted};
use super::{Model, Target, manager_closed};
use crate::{Remote, Wish};

impl Model {
    /// Makes a request that may wait. Its number; `None` if it names no handle.
    pub fn begin_wait(&mut self, wish: &Wish) -> Option<usize> {
        let wanted = match wish {
            Wish::Memory(on, size, priority) => Wanted::Memory(self.target(on)?, *size, *priority),
            Wish::Connection {
                slot,
                direction,
                uses_fd,
                endpoint,
            } => Wanted::Connection {
                slot: *slot,
                direction: *direction,
                uses_fd: *uses_fd,
                ip: endpoint.ip().map(canonical_ip),
                permit: None,
            },
            Wish::Stream {
                slot,
                remote,
                direction,
            } => {
                let (peer, through) = match remote {
                    Remote::Peer(peer) => (Ok(*peer), None),
                    Remote::Connection(through) => {
                        let through = self.next_leaf(*through, Leaf::is_connection)?;
                        (self.peer_of_streams(through), Some(through))
                    }
                };
                match peer {
                    Ok(peer) => Wanted::Stream {
                        slot: *slot,
                        peer,
                        direction: *direction,
                        through,
                    },
                    Err(why) => Wanted::Failed(why),
                }
            }
        };
        let queued = None;
        self.waits.all.push(Some(Wait { wanted, queued }));
        self.settle();
        Some(self.waits.all.len() - 1)
    }

    /// Polls a request. With a grant it has ended, and with an error.
    ///
    /// # Panics
    ///
    /// If it has ended already.
    pub fn poll_wait(&mut self, id: usize) -> Poll<Result<()>> {
        let polled = self.try_wait(id);
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Ok(_)) => self.end_wait(id, |ends| ends.granted += 1),
            Poll::Ready(Err(_)) => self.end_wait(id, |ends| ends.refused += 1),
        }
        let polled = polled.map_ok(|granted| {
            if let Some((slot, holder)) = granted {
                self.put(slot, holder);
            }
        });
        self.settle();
        polled
    }

    /// Drops a request that has not ended.
    pub fn drop_wait(&mut self, id: usize) {
        self.end_wait(id, |ends| ends.given_up += 1);
        self.settle();
    }

    /// The requests that wait: scope, resource, how many, how much they ask for.
    pub fn waiting(&self) -> Vec<(ScopeName, Resource, u64, u64)> {
        let mut waiting = Vec::<(ScopeName, Resource, u64, u64)>::new();
        for queued in self.waits.queued() {
            let mut there = waiting.iter_mut();
            let at = there.find(|(scope, resource, ..)| queued.is_at(scope, *resource));
            match at {
                Some((_, _, requests, amount)) => {
                    *requests += 1;
                    *amount = amount.saturating_add(queued.amount);
                }
                None => {
                    waiting.push((queued.scope.clone(), queued.resource, 1, queued.amount));
                }
            }
        }
        waiting.sort();
        waiting
    }

    /// How waits that began at a scope of this class have ended.
    pub fn wait_totals(&self, class: ScopeClass) -> Ends {
        self.waits.totals.get(&class).copied().unwrap_or_default()
    }

    /// The requests whose task must have been woken: a poll would end them, or there is room for
    /// them where they wait and nothing goes first there.
    pub fn must_be_woken(&self) -> Vec<usize> {
        let ids = 0..self.waits.all.len();
        ids.filter(|&id| self.makes_progress(id)).collect()
    }

    fn makes_progress(&self, id: usize) -> bool {
        let Some(Wait {
            wanted,
            queued: Some(queued),
        }) = &self.waits.all[id]
        else {
            return false;
        };
        if !self.refuses_at(wanted, queued) {
            return true;
        }
        // The second way of a connection that the allowlist lets in: only the first is woken.
        let is_first = self.waits.head(&queued.scope, queued.resource) == Some(queued.position);
        let has_other_way = queued.scope.class() == ScopeClass::AllowlistedTransient
            || queued.scope.class() == ScopeClass::AllowlistedSystem;
        if has_other_way && !is_first && !self.closed {
            return false;
        }
        self.clone().try_wait(id).is_ready()
    }

    fn end_wait(&mut self, id: usize, count: impl FnOnce(&mut Ends)) {
        let wait = self.waits.all[id].as_ref().expect("it has not ended");
        if let Wanted::Connection {
            ip: Some(ip),
            permit: Some(true),
            ..
        } = wait.wanted
        {
            self.addresses.give_back(ip);
        }
        self.waits.end(id, count);
    }

    /// Tries a request. With a grant: the slot of a new handle, and its holder.
    fn try_wait(&mut self, id: usize) -> Poll<Result<Option<(usize, usize)>>> {
        let wait = |model: &Self| model.waits.all[id].clone().expect("it has not ended");
        loop {
            let Wait { wanted, queued } = wait(self);
            if queued.is_some() && self.closed {
                return Poll::Ready(Err(manager_closed()));
            }
            let ticket = queued.as_ref().map(|queued| queued.ticket);
            let turn = ticket.map_or(Turn::New, Turn::Ticket);
            let (scope, resource) = match self.attempt(id, &wanted, turn) {
                Ok(granted) => return Poll::Ready(Ok(granted)),
                Err(
                    Error::LimitExceeded(LimitExceeded {
                        scope, resource, ..
                    })
                    | Error::WaitersFirst(WaitersFirst {
                        scope, resource, ..
                    }),
                ) => (scope, resource),
                Err(refused) => return Poll::Ready(Err(refused)),
            };
            let alone = self.check_alone(&wanted);
            if let Err((error, over)) = alone {
                self.count_final(&error, &wanted, &over);
                return Poll::Ready(Err(error));
            }
            if let Wanted::Memory(target, ..) = &wanted
                && self.chain(target).iter().any(|&at| self.holders[at].closed)
            {
                let scope = self.name(target);
                return Poll::Ready(Err(Error::ScopeClosed { scope }));
            }
            if queued
                .as_ref()
                .is_some_and(|queued| queued.is_at(&scope, resource))
            {
                return Poll::Pending;
            }
            if let Err(full) = self.move_wait(id, &wanted, scope, resource) {
                return Poll::Ready(Err(full));
            }
        }
    }

    /// Puts a request into the queue of another place. It keeps its ticket.
    fn move_wait(
        &mut self,
        id: usize,
        wanted: &Wanted,
        scope: ScopeName,
        resource: Resource,
    ) -> Result<()> {
        let request = self.request(wanted, Turn::New);
        let before = self.waits.leave(id);
        if before.is_none() {
            let there = self.waits.queued();
            let waiting = there
                .filter(|queued| queued.is_at(&scope, resource))
                .count() as u64;
            if let LimitValue::Limited(most) = self.limits.waiters
                && waiting >= most
            {
                let full = Error::QueueFull(QueueFull {
                    scope,
                    resource,
                    requested: request.amount(),
                    waiting,
                });
                let over = Over {
                    resource,
                    used: 0,
                    requested: 1,
                };
                self.count_final(&full, wanted, &over);
                return Err(full);
            }
            self.waits.last_ticket += 1;
            self.waits.totals.entry(scope.class()).or_default().begun += 1;
        }
        let last_ticket = self.waits.last_ticket;
        let ticket = before.as_ref().map_or(last_ticket, |queued| queued.ticket);
        let class = before.map_or(scope.class(), |queued| queued.class);
        let mut leaves = self.new_leaves(wanted).into_iter();
        if scope.class() == ScopeClass::AllowlistedTransient && leaves.any(|leaf| leaf.is_unproven)
        {
            self.waits.unproven.insert(resource);
        }
        self.waits.unknown.remove(&scope);
        let position = self.request(wanted, Turn::Ticket(ticket)).position();
        let wait = self.waits.all[id].as_mut().expect("it has not ended");
        wait.queued = Some(Queued {
            scope,
            resource,
            position,
            ticket,
            amount: request.amount(),
            class,
        });
        Ok(())
    }

    fn attempt(
        &mut self,
        id: usize,
        wanted: &Wanted,
        turn: Turn,
    ) -> Result<Option<(usize, usize)>> {
        match wanted {
            Wanted::Memory(target, ..) => {
                let request = self.request(wanted, turn);
                self.reserve_in_turn(target, &request)?;
                Ok(None)
            }
            Wanted::Connection {
                slot, ip, permit, ..
            } => {
                if self.closed {
                    return Err(manager_closed());
                }
                let has_permit = match (permit, ip) {
                    (Some(has_permit), _) => *has_permit,
                    (None, Some(ip)) => self.addresses.take_permit(*ip)?,
                    (None, None) => false,
                };
                self.set_permit(id, has_permit);
                let mut leaves = self.new_leaves(wanted).into_iter();
                let standard = leaves.next().expect("there is the standard path");
                let opened = self.open(
                    Leaf {
                        has_permit,
                        ..standard
                    },
                    turn,
                );
                if opened.is_ok() {
                    // The connection has the permit now.
                    self.set_permit(id, false);
                    return opened.map(|holder| Some((*slot, holder)));
                }
                let opened = leaves.next().map_or(opened, |leaf| self.open(leaf, turn));
                opened.map(|holder| Some((*slot, holder)))
            }
            Wanted::Stream {
                slot,
                peer,
                direction,
                through,
            } => {
                if self.closed {
                    return Err(manager_closed());
                }
                if let Some(connection) = through.filter(|&at| self.holders[at].closed) {
                    let scope = self.name(&Target::Holder(connection));
                    return Err(Error::ScopeClosed { scope });
                }
                let opened = self.open(new_stream(*peer, *direction), turn);
                opened.map(|holder| Some((*slot, holder)))
            }
            Wanted::Failed(why) => Err(why.clone()),
        }
    }

    fn set_permit(&mut self, id: usize, has_permit: bool) {
        if let Some(wait) = &mut self.waits.all[id]
            && let Wanted::Connection { permit, .. } = &mut wait.wanted
        {
            *permit = Some(has_permit);
        }
    }

    /// The leaves that would be opened, one for each way.
    pub(super) fn new_leaves(&self, wanted: &Wanted) -> Vec<Leaf> {
        match wanted {
            Wanted::Connection {
                direction,
                uses_fd,
                ip,
                ..
            } => {
                let standard = new_connection(*direction, *uses_fd, *ip);
                let allowlisted = self.on_allowlisted(&standard);
                std::iter::once(standard).chain(allowlisted).collect()
            }
            Wanted::Stream {
                peer, direction, ..
            } => vec![new_stream(*peer, *direction)],
            Wanted::Memory(..) | Wanted::Failed(_) => Vec::new(),
        }
    }

    pub(super) fn request(&self, wanted: &Wanted, turn: Turn) -> Request {
        match (wanted, self.new_leaves(wanted).first()) {
            (Wanted::Memory(_, size, priority), _) => for_memory(*size, *priority, turn),
            (_, Some(leaf)) => for_leaf(leaf, turn),
            (_, None) => unreachable!("it fails before it asks"),
        }
    }

    /// Whether another request goes first at a scope.
    pub(super) fn check_turn(&mut self, target: &Target, request: &Request) -> Result<()> {
        let scope = self.name(target);
        let is_behind = |&resource: &Resource| self.is_behind(&scope, resource, request);
        let behind = request.resources().find(is_behind);
        behind.map_or(Ok(()), |resource| {
            Err(self.refuse_for_waiters(scope, resource, request))
        })
    }

    /// The same at the part of the allowlisted transient scope for those whose peer is not proven.
    pub(super) fn check_unproven_turn(
        &mut self,
        is_unproven: bool,
        request: &Request,
    ) -> Result<()> {
        let scope = ScopeName::from(ScopeId::AllowlistedTransient);
        let is_behind = |resource: &Resource| {
            self.waits.unproven.contains(resource) && self.is_behind(&scope, *resource, request)
        };
        match request.resources().find(is_behind).filter(|_| is_unproven) {
            Some(resource) => Err(self.refuse_for_waiters(scope, resource, request)),
            None => Ok(()),
        }
    }

    fn is_behind(&self, scope: &ScopeName, resource: Resource, request: &Request) -> bool {
        let head = self.waits.head(scope, resource);
        let is_behind = head.is_some_and(|head| head < request.position());
        is_behind && request.turn != Turn::First && !self.waits.unknown.contains(scope)
    }

    fn refuse_for_waiters(
        &mut self,
        scope: ScopeName,
        resource: Resource,
        request: &Request,
    ) -> Error {
        if request.turn.is_final() {
            let refusals = self.refusals.entry(scope.class()).or_default();
            let over = Over {
                resource,
                used: 0,
                requested: 1,
            };
            count_refusal(refusals, request, &over);
        }
        WaitersFirst {
            scope,
            resource,
            requested: request.amount(),
        }
        .into()
    }

    fn count_final(&mut self, error: &Error, wanted: &Wanted, over: &Over) {
        let class = error.scope().expect("a scope refused").class();
        let request = self.request(wanted, Turn::New);
        let refusals = self.refusals.entry(class).or_default();
        count_refusal(refusals, &request, over);
    }

    /// Whether the scope where a request waits refuses it still, for the resource that it waits for.
    fn refuses_at(&self, wanted: &Wanted, queued: &Queued) -> bool {
        let Queued {
            scope,
            resource,
            ticket,
            ..
        } = queued;
        let request = self.request(wanted, Turn::Ticket(*ticket));
        if self.is_behind(scope, *resource, &request) {
            return true;
        }
        let refuses = |limit: Limit, used: ScopeStat| {
            check(&only(*resource, limit.get(*resource)), &used, &request).is_err()
        };
        if let Wanted::Memory(target, ..) = wanted {
            let shared = self.charged(target).into_iter().map(Target::Scope);
            let chain = self.chain(target).into_iter().map(Target::Holder);
            let mut all = chain.chain(shared);
            let there = all.find(|target| self.name(target) == *scope);
            return there.is_some_and(|at| refuses(self.limit_of(&at), self.stat(&at)));
        }
        let leaves = self.new_leaves(wanted);
        let mut paths = leaves.iter().flat_map(Leaf::path);
        let is_there = paths.any(|id| ScopeName::from(id) == *scope);
        let is_unproven = leaves.iter().any(|leaf| leaf.is_unproven);
        let of_part = scope.class() == ScopeClass::AllowlistedTransient
            && is_unproven
            && refuses(half(&self.limits), self.unproven_usage());
        let target = Target::Scope(scope.scope.clone());
        of_part || is_there && refuses(self.limit_of(&target), self.stat(&target))
    }
}

/// A limit of one resource.
pub fn only(resource: Resource, value: LimitValue) -> Limit {
    let mut limit = Limit::UNLIMITED;
    *limit.get_mut(resource) = value;
    limit
}
