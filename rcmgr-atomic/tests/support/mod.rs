//! A sequential model of what the manager does: plain, obvious, slow. It is the oracle that the
//! engine is held against.
//!
//! A scope is a name and its usage in a map; a reservation checks every scope in order and then
//! adds to all of them. Nothing here is shared with the engine but the vocabulary.

mod addresses;
mod leaf_facts;
mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rcmgr_atomic::{
    Direction, Error, Limit, LimitExceeded, LimitValue, Limits, PeerId, Priority, Refusals,
    Resource, Result, ScopeClass, ScopeId, ScopeName, ScopeStat, SpanIds, UsesFd,
};

pub use addresses::Addresses;
use leaf_facts::{End, LeafFacts};
use request::{Request, check, minus, plus};

fn closed() -> Error {
    let scope = ScopeId::System.into();
    Error::ScopeClosed { scope }
}

/// A scope that an operation is made on: one by name, or the N-th handle.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    Named(ScopeId),
    Handle(usize),
}

/// A connection, a stream or a span.
#[derive(Debug, Clone)]
struct Holder {
    kind: Kind,
    /// All that it holds, its spans' included.
    memory: u64,
    /// What it holds itself.
    own: u64,
    closed: bool,
    own_limit: Option<Limit>,
    spans: u32,
}

#[derive(Debug, Clone)]
enum Kind {
    Leaf(LeafFacts),
    Span { owner: On, id: u32 },
}

/// The whole of it.
#[derive(Debug)]
pub struct Model {
    limits: Limits,
    by_hand: BTreeMap<ScopeId, Limit>,
    usage: BTreeMap<ScopeId, ScopeStat>,
    peaks: BTreeMap<ScopeId, ScopeStat>,
    direct: BTreeMap<ScopeId, u64>,
    node_spans: BTreeMap<ScopeId, u32>,
    services: BTreeSet<ScopeId>,
    holders: Vec<Holder>,
    named: [u64; 2],
    refusals: BTreeMap<ScopeClass, Refusals>,
    over_releases: BTreeMap<ScopeClass, u64>,
    closed: bool,
    addresses: Addresses,
}

impl Model {
    pub fn new(limits: Limits, addresses: Addresses) -> Self {
        Self {
            addresses,
            limits,
            by_hand: BTreeMap::new(),
            usage: BTreeMap::new(),
            peaks: BTreeMap::new(),
            direct: BTreeMap::new(),
            node_spans: BTreeMap::new(),
            services: BTreeSet::new(),
            holders: Vec::new(),
            named: [0; 2],
            refusals: BTreeMap::new(),
            over_releases: BTreeMap::new(),
            closed: false,
        }
    }

    pub fn handles(&self) -> usize {
        self.holders.len()
    }

    // What the scopes are.

    fn limit_of(&self, id: &ScopeId) -> Limit {
        if let Some(limit) = self.by_hand.get(id) {
            return *limit;
        }
        let limits = &self.limits;
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

    pub fn limit(&self, on: &On) -> Limit {
        match on {
            On::Named(id) => self.limit_of(id),
            On::Handle(at) => {
                let holder = &self.holders[*at];
                match &holder.kind {
                    Kind::Leaf(leaf) => {
                        let class = self.limit_of(&leaf.id());
                        holder.own_limit.unwrap_or(class)
                    }
                    // A span obeys its owner's limit, too.
                    Kind::Span { owner, .. } => {
                        let owner = self.limit(owner);
                        holder.own_limit.map_or(owner, |own| own.lower(&owner))
                    }
                }
            }
        }
    }

    /// The limit of memory that counts: a span obeys its owner's too.
    fn memory_limit(&self, on: &On) -> LimitValue {
        self.limit(on).memory
    }

    pub fn stat(&self, on: &On) -> ScopeStat {
        match on {
            On::Named(id) => self.usage.get(id).copied().unwrap_or_default(),
            On::Handle(at) => {
                let holder = &self.holders[*at];
                if holder.closed {
                    return ScopeStat::ZERO;
                }
                let slot = match &holder.kind {
                    Kind::Leaf(leaf) => leaf.slot(),
                    Kind::Span { .. } => ScopeStat::ZERO,
                };
                ScopeStat {
                    memory: holder.memory,
                    ..slot
                }
            }
        }
    }

    pub fn name(&self, on: &On) -> ScopeName {
        match on {
            On::Named(id) => id.clone().into(),
            On::Handle(at) => match &self.holders[*at].kind {
                Kind::Leaf(leaf) => leaf.id().into(),
                Kind::Span { owner, id } => {
                    let ScopeName { scope, spans } = self.name(owner);
                    let spans: SpanIds = spans.child(*id);
                    ScopeName { scope, spans }
                }
            },
        }
    }

    /// The scopes that there are, but for leaves and spans, with usage and peak.
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
                Kind::Leaf(leaf) => live.extend(leaf.path()),
                Kind::Span { owner, .. } => live.extend(self.root(owner)),
            }
        }
        live.into_iter()
            .map(|id| {
                let usage = self.usage.get(&id).copied().unwrap_or_default();
                let peak = self.peaks.get(&id).copied().unwrap_or_default();
                (id, (usage, peak))
            })
            .collect()
    }

    /// How many connections have a permit in their subnet.
    pub fn permits(&self) -> u64 {
        self.addresses.permits.values().sum()
    }

    pub fn refusals(&self, class: ScopeClass) -> Refusals {
        self.refusals.get(&class).copied().unwrap_or_default()
    }

    pub fn over_releases(&self, class: ScopeClass) -> u64 {
        self.over_releases.get(&class).copied().unwrap_or_default()
    }

    /// Notes the peaks, and forgets what is known of scopes that are gone.
    fn settle(&mut self) {
        for (id, usage) in &self.usage {
            let peak = self.peaks.entry(id.clone()).or_default();
            peak.memory = peak.memory.max(usage.memory);
            peak.fd = peak.fd.max(usage.fd);
            peak.streams_inbound = peak.streams_inbound.max(usage.streams_inbound);
            peak.streams_outbound = peak.streams_outbound.max(usage.streams_outbound);
            peak.conns_inbound = peak.conns_inbound.max(usage.conns_inbound);
            peak.conns_outbound = peak.conns_outbound.max(usage.conns_outbound);
        }
        let live = self.scopes();
        self.peaks.retain(|id, _| live.contains_key(id));
        self.node_spans.retain(|id, _| live.contains_key(id));
    }

    // Charging.

    fn refuse(
        &mut self,
        on: &On,
        limit: LimitValue,
        request: &Request,
        (resource, used, requested): (Resource, u64, u64),
    ) -> Error {
        let scope = self.name(on);
        let direction = if requested == 0 || matches!(resource, Resource::Memory) {
            None
        } else if request.stat.streams_outbound + request.stat.conns_outbound > 0 {
            Some(Direction::Outbound)
        } else {
            Some(Direction::Inbound)
        };
        let refusals = self.refusals.entry(scope.class()).or_default();
        let outbound = direction == Some(Direction::Outbound);
        *match resource {
            Resource::Memory => &mut refusals.memory,
            Resource::Fd => &mut refusals.fd,
            Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
                if outbound {
                    &mut refusals.streams_outbound
                } else {
                    &mut refusals.streams_inbound
                }
            }
            Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound => {
                if outbound {
                    &mut refusals.conns_outbound
                } else {
                    &mut refusals.conns_inbound
                }
            }
        } += 1;
        LimitExceeded {
            scope,
            resource,
            direction,
            requested,
            used,
            limit,
            priority: (resource == Resource::Memory).then_some(request.priority),
        }
        .into()
    }

    /// Charges all scopes or none.
    fn charge(&mut self, ids: &[ScopeId], request: Request) -> Result<()> {
        for id in ids {
            let (limit, used) = (self.limit_of(id), self.stat(&On::Named(id.clone())));
            if let Err(over) = check(&limit, &used, &request) {
                let limit = limit.get(over.0);
                return Err(self.refuse(&On::Named(id.clone()), limit, &request, over));
            }
        }
        for id in ids {
            let used = self.usage.entry(id.clone()).or_default();
            *used = plus(*used, request.stat);
        }
        Ok(())
    }

    fn give_back(&mut self, ids: &[ScopeId], stat: ScopeStat) {
        for id in ids {
            let used = self.usage.get_mut(id).expect("what is held was charged");
            *used = minus(*used, stat);
        }
    }

    // Operations.

    pub fn open_connection(
        &mut self,
        direction: Direction,
        uses_fd: UsesFd,
        ip: Option<IpAddr>,
    ) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        let has_place = match ip {
            Some(ip) => self.addresses.take_place(ip)?,
            None => false,
        };
        let leaf = LeafFacts {
            number: 0,
            direction,
            uses_fd: Some(uses_fd),
            peer: None,
            protocol: None,
            service: None,
            end: End::Standard,
            ip,
            has_place,
        };
        let opened = self.open(leaf.clone());
        let Some(ip) = ip.filter(|_| opened.is_err()) else {
            return opened;
        };
        if has_place {
            self.addresses.give_place_back(ip);
        }
        if !self.addresses.is_allowlisted(ip) {
            return opened;
        }
        self.open(LeafFacts {
            end: End::Allowlisted,
            has_place: false,
            ..leaf
        })
    }

    /// Opens a stream, perhaps with a protocol, and perhaps with a service.
    pub fn open_stream(
        &mut self,
        peer: PeerId,
        direction: Direction,
        protocol: Option<&str>,
        service: Option<&str>,
    ) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        let opened = self.open(LeafFacts {
            number: 0,
            direction,
            uses_fd: None,
            peer: Some(peer),
            protocol: protocol.map(Into::into),
            service: service.map(Into::into),
            end: End::Standard,
            ip: None,
            has_place: false,
        });
        // A service that was asked is there from then on. Before it, the stream and the peer are.
        let asked = match &opened {
            Err(Error::LimitExceeded(refused)) => {
                !matches!(refused.scope.scope, ScopeId::Stream(_) | ScopeId::Peer(_))
            }
            _ => true,
        };
        if asked {
            self.services
                .extend(service.map(|name| ScopeId::Service(name.into())));
        }
        opened
    }

    /// The same, through a connection.
    pub fn open_stream_through(
        &mut self,
        at: usize,
        direction: Direction,
        protocol: Option<&str>,
        service: Option<&str>,
    ) -> Result<()> {
        if self.closed {
            return Err(closed());
        }
        let scope = self.name(&On::Handle(at));
        let connection = self.leaf(at).expect("a connection");
        if self.holders[at].closed || matches!(connection.end, End::Stranded { .. }) {
            return Err(Error::ScopeClosed { scope });
        }
        let Some(peer) = connection.peer else {
            return Err(Error::NoPeer { scope });
        };
        self.open_stream(peer, direction, protocol, service)
    }

    fn open(&mut self, mut leaf: LeafFacts) -> Result<()> {
        // Leaves are numbered as they are first named: by their own refusal, or by whoever asks each
        // one that is open.
        let named = usize::from(leaf.is_stream());
        leaf.number = self.named[named] + 1;
        let request = Request {
            stat: leaf.slot(),
            moved: false,
            priority: Priority::Always,
            memory: false,
        };
        let path = leaf.path();
        let limit = self.limit_of(&leaf.id());
        self.holders.push(Holder {
            kind: Kind::Leaf(leaf),
            memory: 0,
            own: 0,
            closed: false,
            own_limit: None,
            spans: 0,
        });
        let own = match check(&limit, &ScopeStat::ZERO, &request) {
            Ok(()) => Ok(()),
            Err(over) => {
                let on = On::Handle(self.holders.len() - 1);
                Err(self.refuse(&on, limit.get(over.0), &request, over))
            }
        };
        let refused_itself = own.is_err();
        let opened = own.and_then(|()| self.charge(&path, request));
        if opened.is_ok() || refused_itself {
            self.named[named] += 1;
        }
        if opened.is_err() {
            self.holders.pop();
        }
        self.settle();
        opened
    }

    fn leaf(&self, at: usize) -> Option<&LeafFacts> {
        match &self.holders[at].kind {
            Kind::Leaf(leaf) => Some(leaf),
            Kind::Span { .. } => None,
        }
    }

    /// Whether it is open, and its owners too.
    pub fn is_open(&self, at: usize) -> bool {
        let chain = self.chain(&On::Handle(at));
        chain.into_iter().all(|at| !self.holders[at].closed)
    }

    pub fn set_peer(&mut self, at: usize, peer: PeerId) -> Result<()> {
        let leaf = self.leaf(at).expect("a connection");
        let on_the_allowlist = leaf.end == End::Allowlisted && leaf.peer.is_none();
        let may_stay = |ip| self.addresses.is_allowlisted_for(&peer, ip);
        if on_the_allowlist && !self.holders[at].closed && !leaf.ip.is_some_and(may_stay) {
            self.leave_allowlist(at)?;
        }
        self.attach(at, ScopeClass::Peer, |leaf| {
            let taken = leaf.peer.replace(peer);
            taken.is_some()
        })
    }

    /// To the standard scopes, system first; left on those that took it in if one refuses.
    fn leave_allowlist(&mut self, at: usize) -> Result<()> {
        let leaf = self.leaf(at).expect("a connection").clone();
        let before = leaf.path();
        let standard = LeafFacts {
            end: End::Standard,
            ..leaf.clone()
        };
        let is_new = |id: &ScopeId| !before.contains(id);
        let mut gained: Vec<_> = standard.path().into_iter().filter(is_new).collect();
        gained.reverse();
        let stat = self.stat(&On::Handle(at));
        let request = Request {
            stat,
            moved: true,
            priority: Priority::Always,
            memory: true,
        };
        let charged = self.charge(&gained, request);
        let end = match &charged {
            Ok(()) => End::Standard,
            Err(refused) => {
                let on_system = refused.scope() == Some(&ScopeId::Transient.into());
                if on_system {
                    self.charge(&[ScopeId::System], request)
                        .expect("it had room a moment ago");
                }
                End::Stranded { on_system }
            }
        };
        let service = leaf.service.clone().filter(|_| charged.is_ok());
        let after = LeafFacts {
            end,
            service,
            ..leaf
        };
        let kept = after.path();
        let lost: Vec<_> = before.into_iter().filter(|id| !kept.contains(id)).collect();
        self.give_back(&lost, stat);
        self.holders[at].kind = Kind::Leaf(after);
        self.settle();
        charged
    }

    pub fn set_protocol(&mut self, at: usize, protocol: &str) -> Result<()> {
        self.attach(at, ScopeClass::Protocol, |leaf| {
            leaf.protocol.replace(protocol.into()).is_some()
        })
    }

    pub fn set_service(&mut self, at: usize, service: &str) -> Result<()> {
        let result = self.attach(at, ScopeClass::Service, |leaf| {
            leaf.service.replace(service.into()).is_some()
        });
        // A service that was asked is there from then on.
        let asked = matches!(result, Ok(()) | Err(Error::LimitExceeded(_)));
        if asked {
            self.services.insert(ScopeId::Service(service.into()));
        }
        self.settle();
        result
    }

    fn attach(
        &mut self,
        at: usize,
        to: ScopeClass,
        set: impl FnOnce(&mut LeafFacts) -> bool,
    ) -> Result<()> {
        let scope = self.name(&On::Handle(at));
        let holder = &self.holders[at];
        if holder.closed {
            return Err(Error::ScopeClosed { scope });
        }
        let before = self.leaf(at).expect("a leaf").clone();
        let mut after = before.clone();
        if matches!(before.end, End::Stranded { .. }) {
            return Err(Error::ScopeClosed { scope });
        }
        if set(&mut after) {
            return Err(Error::AlreadyAttached { scope, to });
        }
        if to == ScopeClass::Service && before.is_stream() && before.protocol.is_none() {
            return Err(Error::NoProtocol { scope });
        }
        let (old, new) = (before.path(), after.path());
        // First what it is attached to, then the peer's share of it.
        let mut gained: Vec<_> = new.iter().filter(|id| !old.contains(id)).cloned().collect();
        gained.sort_by_key(|id| matches!(id, ScopeId::ServicePeer(..) | ScopeId::ProtocolPeer(..)));
        let lost: Vec<_> = old.iter().filter(|id| !new.contains(id)).cloned().collect();
        let stat = self.stat(&On::Handle(at));
        let request = Request {
            stat,
            moved: true,
            priority: Priority::Always,
            memory: true,
        };
        self.charge(&gained, request)?;
        self.give_back(&lost, stat);
        self.holders[at].kind = Kind::Leaf(after);
        self.settle();
        Ok(())
    }

    /// The scopes by name that a reservation on a scope is charged on.
    fn charged(&self, on: &On) -> Vec<ScopeId> {
        match on {
            On::Named(id @ (ScopeId::System | ScopeId::AllowlistedSystem)) => vec![id.clone()],
            On::Named(id @ ScopeId::AllowlistedTransient) => {
                vec![id.clone(), ScopeId::AllowlistedSystem]
            }
            On::Named(id) => vec![id.clone(), ScopeId::System],
            On::Handle(at) => match &self.holders[*at].kind {
                Kind::Leaf(leaf) => leaf.path(),
                Kind::Span { owner, .. } => self.charged(owner),
            },
        }
    }

    /// A span and its owners, up to a leaf, innermost first.
    fn chain(&self, on: &On) -> Vec<usize> {
        let mut chain = Vec::new();
        let mut next = on.clone();
        while let On::Handle(at) = next {
            chain.push(at);
            match &self.holders[at].kind {
                Kind::Leaf(_) => break,
                Kind::Span { owner, .. } => next = owner.clone(),
            }
        }
        chain
    }

    /// The scope by name that it is, or is a span of at any depth.
    fn root(&self, on: &On) -> Option<ScopeId> {
        match on {
            On::Named(id) => Some(id.clone()),
            On::Handle(at) => match &self.holders[*at].kind {
                Kind::Leaf(_) => None,
                Kind::Span { owner, .. } => self.root(owner),
            },
        }
    }

    pub fn reserve(&mut self, on: &On, size: u64, priority: Priority) -> Result<()> {
        let request = Request {
            stat: ScopeStat {
                memory: size,
                ..ScopeStat::ZERO
            },
            moved: false,
            priority,
            memory: true,
        };
        let chain = self.chain(on);
        for &at in &chain {
            let is_stranded = |leaf: &LeafFacts| matches!(leaf.end, End::Stranded { .. });
            if self.holders[at].closed || self.leaf(at).is_some_and(is_stranded) {
                let scope = self.name(on);
                return Err(Error::ScopeClosed { scope });
            }
            let here = On::Handle(at);
            let limit = Limit {
                memory: self.memory_limit(&here),
                ..Limit::UNLIMITED
            };
            if let Err(over) = check(&limit, &self.stat(&here), &request) {
                return Err(self.refuse(&here, limit.memory, &request, over));
            }
        }
        let charged = self.charged(on);
        self.charge(&charged, request)?;
        for at in chain {
            self.holders[at].memory += size;
        }
        match on {
            On::Handle(at) => self.holders[*at].own += size,
            On::Named(id) if size > 0 => *self.direct.entry(id.clone()).or_default() += size,
            On::Named(_) => {}
        }
        self.settle();
        Ok(())
    }

    pub fn release(&mut self, on: &On, size: u64) {
        if let Some(taken) = self.release_own(on, size)
            && taken < size
        {
            let class = self.name(on).class();
            *self.over_releases.entry(class).or_default() += 1;
        }
        self.settle();
    }

    pub fn release_all(&mut self, on: &On) {
        self.release_own(on, u64::MAX);
        self.settle();
    }

    /// Gives back at most `size` of what a scope itself holds. How much it was; `None` if closed.
    fn release_own(&mut self, on: &On, size: u64) -> Option<u64> {
        match on {
            On::Named(id) => {
                let held = self.direct.get(id).copied().unwrap_or_default();
                let taken = size.min(held);
                if taken == held {
                    self.direct.remove(id);
                } else {
                    self.direct.insert(id.clone(), held - taken);
                }
                let charged = self.charged(on);
                self.give_back_memory(&charged, taken);
                Some(taken)
            }
            On::Handle(at) => {
                let holder = &mut self.holders[*at];
                if holder.closed {
                    return None;
                }
                let taken = size.min(holder.own);
                holder.own -= taken;
                self.take(on, taken);
                Some(taken)
            }
        }
    }

    /// Takes what is known to be held out of a scope, and passes it on to its owner. A scope that
    /// is closed has given all back.
    fn take(&mut self, on: &On, size: u64) {
        match on {
            On::Named(_) => {
                let charged = self.charged(on);
                self.give_back_memory(&charged, size);
            }
            On::Handle(at) => {
                let holder = &mut self.holders[*at];
                if holder.closed {
                    return;
                }
                holder.memory -= size;
                match holder.kind.clone() {
                    Kind::Leaf(leaf) => self.give_back_memory(&leaf.path(), size),
                    Kind::Span { owner, .. } => self.take(&owner, size),
                }
            }
        }
    }

    fn give_back_memory(&mut self, ids: &[ScopeId], memory: u64) {
        if memory > 0 {
            let stat = ScopeStat {
                memory,
                ..ScopeStat::ZERO
            };
            self.give_back(ids, stat);
        }
    }

    pub fn begin_span(&mut self, on: &On) -> Result<()> {
        let id = match on {
            On::Named(id) => {
                let count = self.node_spans.entry(id.clone()).or_default();
                *count += 1;
                *count
            }
            On::Handle(at) => {
                if self.holders[*at].closed {
                    let scope = self.name(on);
                    return Err(Error::ScopeClosed { scope });
                }
                self.holders[*at].spans += 1;
                self.holders[*at].spans
            }
        };
        self.holders.push(Holder {
            kind: Kind::Span {
                owner: on.clone(),
                id,
            },
            memory: 0,
            own: 0,
            closed: false,
            own_limit: None,
            spans: 0,
        });
        self.settle();
        Ok(())
    }

    pub fn done(&mut self, at: usize) {
        let stat = self.stat(&On::Handle(at));
        let holder = &mut self.holders[at];
        if holder.closed {
            return;
        }
        holder.closed = true;
        match holder.kind.clone() {
            Kind::Leaf(leaf) => {
                self.give_back(&leaf.path(), stat);
                if let Some(ip) = leaf.ip.filter(|_| leaf.has_place) {
                    self.addresses.give_place_back(ip);
                }
            }
            Kind::Span { owner, .. } => self.take(&owner, stat.memory),
        }
        self.settle();
    }

    pub fn set_limit(&mut self, on: &On, limit: Option<Limit>) {
        match on {
            On::Handle(at) => self.holders[*at].own_limit = limit,
            On::Named(id) => {
                match limit {
                    Some(limit) => drop(self.by_hand.insert(id.clone(), limit)),
                    None => drop(self.by_hand.remove(id)),
                }
                if matches!(id, ScopeId::Service(_)) {
                    self.services.insert(id.clone());
                }
            }
        }
        self.settle();
    }

    pub fn set_limits(&mut self, limits: Limits) {
        self.addresses
            .set_allowlisted_conns(limits.allowlisted_system.conns);
        self.limits = limits;
        // What was set by hand stays on peers and protocols alone.
        self.by_hand
            .retain(|id, _| matches!(id, ScopeId::Peer(_) | ScopeId::Protocol(_)));
    }

    /// A view was taken: a service is there from then on.
    pub fn viewed(&mut self, id: &ScopeId) {
        if matches!(id, ScopeId::Service(_)) {
            self.services.insert(id.clone());
        }
        self.settle();
    }

    pub fn close(&mut self) {
        self.closed = true;
    }
}
