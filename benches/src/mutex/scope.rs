//! A scope behind its mutex, and how charges go from one to the others.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;
use parking_lot::Mutex;
use rcmgr_core::{
    Error, Limit, LimitExceeded, Limits, PeerId, Priority, Resource, Result, ScopeId, ScopeName,
    ScopeStat,
};

use super::usage::{add, of, slots, threshold};

pub type Map<K, V> = HashMap<K, V, RandomState>;

/// Any scope.
#[derive(Debug)]
pub struct Scope {
    name: ScopeName,
    state: Mutex<State>,
}

/// What the mutex guards.
#[derive(Debug)]
pub struct State {
    pub closed: bool,
    pub limit: Limit,
    /// What the limit is when it is reset.
    pub default: Limit,
    pub used: ScopeStat,
    pub above: Above,
    pub attached: Attached,
    /// How many spans it has had.
    pub spans: u32,
}

/// What a connection or stream is attached to.
#[derive(Debug, Default)]
pub struct Attached {
    pub peer: Option<Arc<Scope>>,
    pub protocol: Option<Arc<Group>>,
    pub service: Option<Arc<Group>>,
}

/// Where it is charged too.
#[derive(Debug)]
pub enum Above {
    /// All scopes above, in the order in which they are asked.
    Edges(Vec<Arc<Scope>>),
    /// A span's owner, which charges those above it.
    Owner(Arc<Scope>),
}

/// A service or protocol, with each peer's share of it.
#[derive(Debug)]
pub struct Group {
    scope: Arc<Scope>,
    shares: Mutex<Map<PeerId, Arc<Scope>>>,
}

impl Group {
    pub fn new(id: ScopeId, limit: Limit, system: &Arc<Scope>) -> Arc<Self> {
        Arc::new(Self {
            scope: Scope::new(id, limit, Above::Edges(vec![system.clone()])),
            shares: Mutex::default(),
        })
    }

    pub fn name(&self) -> &Arc<str> {
        let name = self.scope.name().scope.name();
        name.expect("services and protocols have names")
    }

    pub const fn scope(&self) -> &Arc<Scope> {
        &self.scope
    }

    /// What a peer uses of it.
    pub fn share(&self, peer: PeerId, limits: &Mutex<Arc<Limits>>) -> Arc<Scope> {
        let mut shares = self.shares.lock();
        let new = || {
            let name = self.name();
            let (id, limit) = match &self.scope.name().scope {
                ScopeId::Service(_) => (
                    ScopeId::ServicePeer(name.clone(), peer),
                    limits.lock().service_peer_limit(name),
                ),
                _ => (
                    ScopeId::ProtocolPeer(name.clone(), peer),
                    limits.lock().protocol_peer_limit(name),
                ),
            };
            Scope::new(id, limit, Above::Edges(Vec::new()))
        };
        shares.entry(peer).or_insert_with(new).clone()
    }

    /// Calls with each peer's share.
    pub fn for_each_share(&self, call: impl FnMut(&Arc<Scope>)) {
        self.shares.lock().values().for_each(call);
    }
}

impl Scope {
    pub fn new(name: impl Into<ScopeName>, limit: Limit, above: Above) -> Arc<Self> {
        Arc::new(Self {
            name: name.into(),
            state: Mutex::new(State {
                closed: false,
                limit,
                default: limit,
                used: ScopeStat::ZERO,
                above,
                attached: Attached::default(),
                spans: 0,
            }),
        })
    }

    pub const fn name(&self) -> &ScopeName {
        &self.name
    }

    /// What may be looked at, or changed without charging anything.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    pub fn closed(&self) -> Error {
        Error::ScopeClosed {
            scope: self.name.clone(),
        }
    }

    /// Charges it and everything above it, or nothing.
    pub fn reserve(&self, more: &ScopeStat, priority: Priority) -> Result<()> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.closed());
        }
        state.take(&self.name, more, priority)?;
        let granted = match &state.above {
            Above::Edges(edges) => reserve_all(edges, more, priority),
            Above::Owner(owner) => owner.reserve(more, priority),
        };
        if granted.is_err() {
            state.give(more);
        }
        granted
    }

    /// Takes memory back, from it and everything above it: at most what is there.
    pub fn release(&self, size: u64) {
        let mut state = self.state.lock();
        let memory = size.min(state.used.memory);
        let less = ScopeStat {
            memory,
            ..ScopeStat::ZERO
        };
        state.give_everywhere(&less);
    }

    /// Takes everything back, once.
    pub fn close(&self) {
        let mut state = self.state.lock();
        if !state.closed {
            state.closed = true;
            let all = state.used;
            state.give_everywhere(&all);
        }
    }

    /// Charges it for a scope under it, which charges the others by itself.
    fn take_for_child(&self, more: &ScopeStat, priority: Priority) -> Result<()> {
        self.state.lock().take(&self.name, more, priority)
    }

    fn give_for_child(&self, less: &ScopeStat) {
        self.state.lock().give(less);
    }

    /// Takes from an owner what its span had, and from everything above.
    fn give_for_span(&self, less: &ScopeStat) {
        let mut state = self.state.lock();
        // Once it is closed it has given everything back.
        if !state.closed {
            state.give_everywhere(less);
        }
    }
}

fn reserve_all(edges: &[Arc<Scope>], more: &ScopeStat, priority: Priority) -> Result<()> {
    for (at, edge) in edges.iter().enumerate() {
        if let Err(refused) = edge.take_for_child(more, priority) {
            release_all(&edges[..at], more);
            return Err(refused);
        }
    }
    Ok(())
}

fn release_all(edges: &[Arc<Scope>], less: &ScopeStat) {
    for edge in edges.iter().rev() {
        edge.give_for_child(less);
    }
}

impl State {
    /// Goes on under other scopes: charges those that are new, then gives back to those that are
    /// left. Refused, it stays where it was.
    pub fn advance(&mut self, edges: Vec<Arc<Scope>>) -> Result<()> {
        let Above::Edges(before) = &self.above else {
            return Ok(());
        };
        let lacks = |list: &[Arc<Scope>], scope| !list.iter().any(|one| Arc::ptr_eq(one, scope));
        let entered: Vec<_> = edges
            .iter()
            .filter(|scope| lacks(before, scope))
            .cloned()
            .collect();
        reserve_all(&entered, &self.used, Priority::Always)?;
        for left in before.iter().filter(|scope| lacks(&edges, scope)) {
            left.give_for_child(&self.used);
        }
        self.above = Above::Edges(edges);
        Ok(())
    }

    fn take(&mut self, name: &ScopeName, more: &ScopeStat, priority: Priority) -> Result<()> {
        let refuse = |resource, direction, requested, used, priority| {
            Err(Error::LimitExceeded(LimitExceeded {
                scope: name.clone(),
                resource,
                direction,
                requested,
                used,
                limit: self.limit.get(resource),
                priority,
            }))
        };
        let memory = self.used.memory.saturating_add(more.memory);
        if !threshold(self.limit.memory, priority).allows(memory) {
            let (asked, used) = (more.memory, self.used.memory);
            return refuse(Resource::Memory, None, asked, used, Some(priority));
        }
        // A reservation of memory ends here.
        if more.streams() + more.conns() + more.fd > 0 {
            let mut after = self.used;
            add(&mut after, more);
            for (resource, direction, asked) in slots(more) {
                if asked > 0 && !self.limit.get(resource).allows(of(&after, resource)) {
                    let used = of(&self.used, resource);
                    return refuse(resource, direction, asked, used, None);
                }
            }
        }
        add(&mut self.used, more);
        Ok(())
    }

    fn give(&mut self, less: &ScopeStat) {
        let used = &mut self.used;
        // A program may have released what its spans hold.
        used.memory = used.memory.saturating_sub(less.memory);
        used.streams_inbound -= less.streams_inbound;
        used.streams_outbound -= less.streams_outbound;
        used.conns_inbound -= less.conns_inbound;
        used.conns_outbound -= less.conns_outbound;
        used.fd -= less.fd;
    }

    fn give_everywhere(&mut self, less: &ScopeStat) {
        self.give(less);
        match &self.above {
            Above::Edges(edges) => release_all(edges, less),
            Above::Owner(owner) => owner.give_for_span(less),
        }
    }
}
