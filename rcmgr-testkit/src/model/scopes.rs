//! The scopes: which there are, their names, limits, usage and peaks.

use std::collections::{BTreeMap, BTreeSet};

use rcmgr_core::{Limit, Limits, ScopeId, ScopeName, ScopeStat};

use super::{HolderKind, Model, Target};

impl Model {
    /// The shared scopes that exist, each with its usage and its peak.
    pub fn scopes(&self) -> BTreeMap<ScopeId, (ScopeStat, ScopeStat)> {
        let mut live: BTreeSet<ScopeId> = self.services.clone();
        live.extend([
            ScopeId::System,
            ScopeId::Transient,
            ScopeId::AllowlistedSystem,
            ScopeId::AllowlistedTransient,
        ]);
        live.extend(self.direct.keys().cloned());
        for holder in self.holders.iter().filter(|holder| !holder.closed) {
            match &holder.kind {
                HolderKind::Leaf(leaf) => live.extend(leaf.path()),
                HolderKind::Span { owner, .. } => live.extend(self.root(owner)),
            }
        }
        live.extend(self.waits.scopes());
        live.into_iter()
            .map(|id| {
                let usage = self.usage.get(&id).copied().unwrap_or_default();
                let peak = self.peaks.get(&id).copied().unwrap_or_default();
                (id, (usage, peak))
            })
            .collect()
    }

    /// Ends an operation: notes the peaks, and forgets all about scopes that no longer exist.
    pub(super) fn settle(&mut self) {
        self.note_peaks();
        let live = self.scopes();
        self.peaks.retain(|id, _| live.contains_key(id));
        self.last_span.retain(|id, _| live.contains_key(id));
        self.waits.settle(|id| live.contains_key(id));
    }

    pub(super) fn note_peaks(&mut self) {
        for (id, usage) in &self.usage {
            let peak = self.peaks.entry(id.clone()).or_default();
            peak.memory = peak.memory.max(usage.memory);
            peak.fd = peak.fd.max(usage.fd);
            peak.streams_inbound = peak.streams_inbound.max(usage.streams_inbound);
            peak.streams_outbound = peak.streams_outbound.max(usage.streams_outbound);
            peak.conns_inbound = peak.conns_inbound.max(usage.conns_inbound);
            peak.conns_outbound = peak.conns_outbound.max(usage.conns_outbound);
        }
    }

    pub(super) fn limit_of(&self, target: &Target) -> Limit {
        self.limit_in(&self.limits, target)
    }

    /// The limit of a scope in a set of limits. Limits that were set on single scopes hold in any.
    pub(super) fn limit_in(&self, limits: &Limits, target: &Target) -> Limit {
        match target {
            Target::Scope(id) => self
                .overrides
                .get(id)
                .copied()
                .unwrap_or_else(|| class_limit(limits, id)),
            Target::Holder(at) => {
                let holder = &self.holders[*at];
                match &holder.kind {
                    HolderKind::Leaf(leaf) => {
                        let class = class_limit(limits, &leaf.id());
                        holder.own_limit.unwrap_or(class)
                    }
                    // A span obeys its owner's limit too.
                    HolderKind::Span { owner, .. } => {
                        let owner = self.limit_in(limits, owner);
                        holder.own_limit.map_or(owner, |own| own.lower(&owner))
                    }
                }
            }
        }
    }

    pub(super) fn set_limit(&mut self, target: &Target, limit: Option<Limit>) {
        match (target, limit) {
            (Target::Holder(at), limit) => self.holders[*at].own_limit = limit,
            (Target::Scope(id), Some(limit)) => drop(self.overrides.insert(id.clone(), limit)),
            (Target::Scope(id), None) => drop(self.overrides.remove(id)),
        }
    }

    pub(super) fn set_limits(&mut self, limits: Limits) {
        let conns = limits.allowlisted_system.conns;
        self.addresses.set_allowlisted_conns(conns);
        self.dry_run.set(&limits);
        self.limits = limits;
        // Only the overrides of peers and protocols stay.
        self.overrides
            .retain(|id, _| matches!(id, ScopeId::Peer(_) | ScopeId::Protocol(_)));
    }

    pub(super) fn stat(&self, target: &Target) -> ScopeStat {
        match target {
            Target::Scope(id) => self.usage.get(id).copied().unwrap_or_default(),
            Target::Holder(at) => {
                let holder = &self.holders[*at];
                if holder.closed {
                    return ScopeStat::ZERO;
                }
                let counts = match &holder.kind {
                    HolderKind::Leaf(leaf) => leaf.counts(),
                    HolderKind::Span { .. } => ScopeStat::ZERO,
                };
                ScopeStat {
                    memory: holder.memory,
                    ..counts
                }
            }
        }
    }

    pub(super) fn name(&self, target: &Target) -> ScopeName {
        match target {
            Target::Scope(id) => id.clone().into(),
            Target::Holder(at) => match &self.holders[*at].kind {
                HolderKind::Leaf(leaf) => leaf.id().into(),
                HolderKind::Span { owner, number } => {
                    let ScopeName { scope, spans } = self.name(owner);
                    let spans = spans.child(*number);
                    ScopeName { scope, spans }
                }
            },
        }
    }

    /// The shared scopes that a reservation is charged on.
    pub(super) fn charged(&self, target: &Target) -> Vec<ScopeId> {
        match target {
            Target::Scope(id) => match id {
                ScopeId::System => vec![ScopeId::System],
                _ => vec![id.clone(), ScopeId::System],
            },
            Target::Holder(at) => match &self.holders[*at].kind {
                HolderKind::Leaf(leaf) => leaf.path(),
                HolderKind::Span { owner, .. } => self.charged(owner),
            },
        }
    }

    /// A span and its owners up to a leaf, innermost first.
    pub(super) fn chain(&self, target: &Target) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut next = target.clone();
        while let Target::Holder(at) = next {
            chain.push(at);
            match &self.holders[at].kind {
                HolderKind::Leaf(_) => break,
                HolderKind::Span { owner, .. } => next = owner.clone(),
            }
        }
        chain
    }

    /// The shared scope that a target is, or is a span of at any depth.
    fn root(&self, target: &Target) -> Option<ScopeId> {
        match target {
            Target::Scope(id) => Some(id.clone()),
            Target::Holder(at) => match &self.holders[*at].kind {
                HolderKind::Leaf(_) => None,
                HolderKind::Span { owner, .. } => self.root(owner),
            },
        }
    }
}

/// What a set of limits says of a scope.
fn class_limit(limits: &Limits, id: &ScopeId) -> Limit {
    match id {
        ScopeId::System => limits.system,
        ScopeId::Transient => limits.transient,
        ScopeId::AllowlistedSystem => limits.allowlisted_system,
        ScopeId::AllowlistedTransient => limits.allowlisted_transient,
        ScopeId::Service(name) => limits.service_limit(name).unwrap_or(Limit::UNLIMITED),
        ScopeId::ServicePeer(name, _) => limits.service_peer_limit(name),
        ScopeId::Protocol(id) => limits.protocol_limit(id),
        ScopeId::ProtocolPeer(id, _) => limits.protocol_peer_limit(id),
        ScopeId::Peer(peer) => limits.peer_limit(peer),
        ScopeId::Connection(_) => limits.conn,
        ScopeId::Stream(_) => limits.stream,
    }
}
