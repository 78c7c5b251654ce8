//! The requests that wait, as a list.

use std::collections::{BTreeMap, BTreeSet};

use rcmgr_core::{
    Direction, Error, PeerId, Priority, Resource, ScopeClass, ScopeId, ScopeName, UsesFd,
};

use super::request::Position;
use super::target::Target;

/// The requests that may wait, and how waits have ended.
#[derive(Debug, Clone, Default)]
pub struct Waits {
    /// All requests that were ever made. `None` for one that has ended.
    pub all: Vec<Option<Wait>>,
    pub last_ticket: u64,
    pub totals: BTreeMap<ScopeClass, Ends>,
    /// For which resources a connection entered the queue of the allowlisted transient scope that
    /// only an allowlist of peers lets in, since that queue was empty.
    pub unproven: BTreeSet<Resource>,
    /// The scopes that were collected while requests of closed leaves were in their queues. A scope
    /// that is made anew knows of no queue until a request enters it.
    pub unknown: BTreeSet<ScopeName>,
}

/// How many waits began, and how they ended: granted, refused, given up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ends {
    /// How many requests began to wait.
    pub begun: u64,
    /// How many were granted.
    pub granted: u64,
    /// How many ended with an error.
    pub refused: u64,
    /// How many were dropped.
    pub given_up: u64,
}

/// A request that may wait.
#[derive(Debug, Clone)]
pub struct Wait {
    pub wanted: Wanted,
    pub queued: Option<Queued>,
}

/// What it asks for.
#[derive(Debug, Clone)]
pub enum Wanted {
    Memory(Target, u64, Priority),
    Connection {
        slot: usize,
        direction: Direction,
        uses_fd: UsesFd,
        ip: Option<std::net::IpAddr>,
        /// Whether it has a permit in the subnet of its address. `None` if it has not tried.
        permit: Option<bool>,
    },
    Stream {
        slot: usize,
        peer: PeerId,
        direction: Direction,
        through: Option<usize>,
    },
    /// It fails when it is polled.
    Failed(Error),
}

/// The place of a request in a queue.
#[derive(Debug, Clone)]
pub struct Queued {
    pub scope: ScopeName,
    pub resource: Resource,
    pub position: Position,
    pub ticket: u64,
    pub amount: u64,
    /// The class of the scope that it waited for first.
    pub class: ScopeClass,
}

impl Queued {
    pub fn is_at(&self, scope: &ScopeName, resource: Resource) -> bool {
        self.scope == *scope && self.resource == resource
    }
}

impl Waits {
    pub fn queued(&self) -> impl Iterator<Item = &Queued> {
        let all = self.all.iter().flatten();
        all.filter_map(|wait| wait.queued.as_ref())
    }

    /// The first position in a queue.
    pub fn head(&self, scope: &ScopeName, resource: Resource) -> Option<Position> {
        let there = self.queued().filter(|queued| queued.is_at(scope, resource));
        there.map(|queued| queued.position).min()
    }

    /// The scopes that requests keep alive.
    pub fn scopes(&self) -> impl Iterator<Item = ScopeId> {
        let all = self.all.iter().flatten();
        all.filter_map(|wait| match &wait.wanted {
            Wanted::Memory(Target::Scope(id), ..) => Some(id.clone()),
            Wanted::Stream { peer, .. } => Some(ScopeId::Peer(*peer)),
            _ => None,
        })
    }

    /// Ends an operation: notes which scopes were collected.
    pub fn settle(&mut self, is_live: impl Fn(&ScopeId) -> bool) {
        let collected = |scope: &&ScopeName| {
            is_collected(scope.class()) && scope.spans.depth() == 0 && !is_live(&scope.scope)
        };
        let all = self.queued().map(|queued| &queued.scope);
        let collected: Vec<_> = all.filter(collected).cloned().collect();
        self.unknown.extend(collected);
    }

    /// Takes a request out of its queue.
    pub fn leave(&mut self, id: usize) -> Option<Queued> {
        let queued = self.all[id].as_mut()?.queued.take();
        let transient = ScopeName::from(ScopeId::AllowlistedTransient);
        let mut unproven = std::mem::take(&mut self.unproven);
        unproven.retain(|&resource| self.head(&transient, resource).is_some());
        self.unproven = unproven;
        queued
    }

    /// Ends a request. `count` is called with the totals where its wait is counted.
    pub fn end(&mut self, id: usize, count: impl FnOnce(&mut Ends)) {
        if let Some(queued) = self.leave(id) {
            count(self.totals.entry(queued.class).or_default());
        }
        self.all[id] = None;
    }
}

/// Whether scopes of this class are collected when nothing uses them.
const fn is_collected(class: ScopeClass) -> bool {
    matches!(
        class,
        ScopeClass::Peer
            | ScopeClass::Protocol
            | ScopeClass::ServicePeer
            | ScopeClass::ProtocolPeer
    )
}
