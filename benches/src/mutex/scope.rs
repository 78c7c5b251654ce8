//! A scope behind its mutex, and the charges that it makes on the scopes above.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;

use ahash::RandomState;
use rcmgr_core::{
    Error, Limit, LimitExceeded, Limits, PeerId, Priority, Resource, Result, ScopeId, ScopeName,
    ScopeStat,
};

use super::lock::Mutex;
use super::primitives::{Shared, name_memory};
use super::usage::{add, slots, threshold};

pub type Map<K, V> = HashMap<K, V, RandomState>;

/// Any scope.
#[derive(Debug)]
pub struct Scope {
    name: ScopeName,
    /// The name as text. As in go-libp2p, each scope has it from the start, for its refusals.
    text: String,
    state: Mutex<State>,
}

/// The state that the mutex guards.
#[derive(Debug)]
pub struct State {
    pub closed: bool,
    pub limit: Limit,
    /// The limit after a reset.
    pub default: Limit,
    pub used: ScopeStat,
    pub above: Above,
    pub attached: Attached,
    /// The number of spans that were begun.
    pub spans: u32,
}

/// The attachments of a connection or stream.
#[derive(Debug, Default)]
pub struct Attached {
    pub peer: Option<Shared<Scope>>,
    pub protocol: Option<Shared<Group>>,
    pub service: Option<Shared<Group>>,
}

/// The scopes above, which are charged too.
#[derive(Debug)]
pub enum Above {
    /// All scopes above, in the order in which they are charged.
    Edges(Vec<Shared<Scope>>),
    /// The owner of a span. It charges the scopes above it.
    Owner(Shared<Scope>),
}

/// A refusal with its text. As in go-libp2p, each scope that it passes puts its name before the text,
/// whether anybody reads it or not.
#[derive(Debug)]
pub struct Refused {
    error: Error,
    text: String,
}

impl Refused {
    /// Puts the name of a scope before the text.
    fn through(self, scope: &Scope) -> Self {
        let text = format!("{}: {}", scope.text, self.text);
        Self { text, ..self }
    }
}

impl From<Error> for Refused {
    #[cold]
    fn from(error: Error) -> Self {
        // As short as in go-libp2p: the numbers are in the error.
        let text = match &error {
            Error::LimitExceeded(refused) => {
                format!(
                    "cannot reserve {}: resource limit exceeded",
                    refused.resource
                )
            }
            _ => "resource scope closed".to_owned(),
        };
        Self { error, text }
    }
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        // The compiler must not leave out the text.
        black_box(&refused.text);
        refused.error
    }
}

/// A service or protocol, with the share of each peer.
#[derive(Debug)]
pub struct Group {
    scope: Shared<Scope>,
    shares: Mutex<Map<PeerId, Shared<Scope>>>,
}

impl Group {
    pub fn new(id: ScopeId, limit: Limit, system: &Shared<Scope>) -> Shared<Self> {
        let group = Shared::new(Self {
            scope: Scope::new(id, limit, Above::Edges(vec![system.clone()])),
            shares: Mutex::default(),
        });
        name_memory(&group, || format!("shares of {}", group.scope.name.class()));
        group
    }

    pub fn name(&self) -> &Arc<str> {
        let name = self.scope.name().scope.name();
        name.expect("services and protocols have names")
    }

    pub const fn scope(&self) -> &Shared<Scope> {
        &self.scope
    }

    /// The share of a peer; creates it if needed.
    pub fn share(&self, peer: PeerId, limits: &Mutex<Arc<Limits>>) -> Shared<Scope> {
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

    /// Calls `call` for the share of each peer.
    pub fn for_each_share(&self, call: impl FnMut(&Shared<Scope>)) {
        self.shares.lock().values().for_each(call);
    }
}

impl Scope {
    pub fn new(name: impl Into<ScopeName>, limit: Limit, above: Above) -> Shared<Self> {
        let name = name.into();
        let scope = Shared::new(Self {
            text: name.to_string(),
            name,
            state: Mutex::new(State {
                closed: false,
                limit,
                default: limit,
                used: ScopeStat::ZERO,
                above,
                attached: Attached::default(),
                spans: 0,
            }),
        });
        name_memory(&scope, || scope.name.class().to_string());
        scope
    }

    pub const fn name(&self) -> &ScopeName {
        &self.name
    }

    /// Calls `look` with the locked state. It may read and change it, but must not charge.
    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.state.lock())
    }

    pub fn closed(&self) -> Error {
        Error::ScopeClosed {
            scope: self.name.clone(),
        }
    }

    /// Charges this scope and all scopes above, or none of them.
    pub fn reserve(&self, more: &ScopeStat, priority: Priority) -> Result<(), Refused> {
        let mut state = self.state.lock();
        if state.closed {
            return Err(self.closed().into());
        }
        let own = state.take(&self.name, more, priority);
        own.map_err(|error| Refused::from(error).through(self))?;
        let granted = match &state.above {
            Above::Edges(edges) => reserve_all(edges, more, priority),
            Above::Owner(owner) => owner.reserve(more, priority),
        };
        granted.map_err(|refused| {
            state.give(more);
            refused.through(self)
        })
    }

    /// Releases memory of this scope and of all scopes above, at most as much as this scope holds.
    pub fn release(&self, size: u64) {
        let mut state = self.state.lock();
        let memory = size.min(state.used.memory);
        let less = ScopeStat {
            memory,
            ..ScopeStat::ZERO
        };
        state.give_everywhere(&less);
    }

    /// Closes the scope and releases all its charges. Later calls do nothing.
    pub fn close(&self) {
        let mut state = self.state.lock();
        if !state.closed {
            state.closed = true;
            let all = state.used;
            state.give_everywhere(&all);
        }
    }

    /// Charges only this scope. The scope below charges the others.
    fn take_for_child(&self, more: &ScopeStat, priority: Priority) -> Result<(), Refused> {
        let taken = self.state.lock().take(&self.name, more, priority);
        taken.map_err(|error| Refused::from(error).through(self))
    }

    fn give_for_child(&self, less: &ScopeStat) {
        self.state.lock().give(less);
    }

    /// Releases the charges of a span of this scope, here and on all scopes above.
    fn give_for_span(&self, less: &ScopeStat) {
        let mut state = self.state.lock();
        // A closed owner has already released everything.
        if !state.closed {
            state.give_everywhere(less);
        }
    }
}

fn reserve_all(
    edges: &[Shared<Scope>],
    more: &ScopeStat,
    priority: Priority,
) -> Result<(), Refused> {
    for (at, edge) in edges.iter().enumerate() {
        if let Err(refused) = edge.take_for_child(more, priority) {
            release_all(&edges[..at], more);
            return Err(refused);
        }
    }
    Ok(())
}

fn release_all(edges: &[Shared<Scope>], less: &ScopeStat) {
    for edge in edges.iter().rev() {
        edge.give_for_child(less);
    }
}

impl State {
    /// Replaces the scopes above: charges the new ones, then releases the old ones. If a new one
    /// refuses, nothing changes.
    pub fn advance(&mut self, edges: Vec<Shared<Scope>>) -> Result<()> {
        let Above::Edges(before) = &self.above else {
            return Ok(());
        };
        let lacks =
            |list: &[Shared<Scope>], scope| !list.iter().any(|one| Shared::ptr_eq(one, scope));
        let entered: Vec<_> = edges
            .iter()
            .filter(|scope| lacks(before, scope))
            .cloned()
            .collect();
        // Charge first: a refusal then has nothing to undo.
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
        // Memory has a threshold by priority.
        let memory = self.used.memory.saturating_add(more.memory);
        if !threshold(self.limit.memory, priority).allows(memory) {
            let (asked, used) = (more.memory, self.used.memory);
            return refuse(Resource::Memory, None, asked, used, Some(priority));
        }
        // A reservation of memory needs no further check.
        if more.streams() + more.conns() + more.fd > 0 {
            let mut after = self.used;
            add(&mut after, more);
            for (resource, direction, asked) in slots(more) {
                if asked > 0 && !self.limit.get(resource).allows(after.get(resource)) {
                    let used = self.used.get(resource);
                    return refuse(resource, direction, asked, used, None);
                }
            }
        }
        add(&mut self.used, more);
        Ok(())
    }

    fn give(&mut self, less: &ScopeStat) {
        let used = &mut self.used;
        // The program may have released memory that its spans hold.
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

#[cfg(test)]
mod tests {
    use rcmgr_core::LimitValue;

    use super::*;

    #[test]
    fn a_refusal_has_the_names_of_the_scopes_that_it_passed() {
        let full = Limit::all(LimitValue::Limited(0));
        let system = Scope::new(ScopeId::System, full, Above::Edges(Vec::new()));
        let above = Above::Edges(vec![system]);
        let stream = Scope::new(ScopeId::Stream(7), Limit::UNLIMITED, above);
        let one = ScopeStat {
            memory: 1,
            ..ScopeStat::ZERO
        };
        let refused = stream.reserve(&one, Priority::Always).unwrap_err();
        let names = format!("{}: system: ", ScopeId::Stream(7));
        assert!(refused.text.starts_with(&names), "{}", refused.text);
        assert_eq!(stream.with(|state| state.used), ScopeStat::ZERO);
    }
}
