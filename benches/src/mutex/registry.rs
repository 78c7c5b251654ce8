//! The registry of the named scopes.

use std::sync::Arc;

use rcmgr_core::{Error, Limit, Limits, PeerId, Result, ScopeId};

use super::lock::Mutex;
use super::primitives::{AtomicBool, Ordering, Shared};
use super::scope::{Above, Group, Map, Scope};

/// All scopes except connections, streams and spans.
#[derive(Debug)]
pub struct Registry {
    pub system: Shared<Scope>,
    pub transient: Shared<Scope>,
    pub limits: Mutex<Arc<Limits>>,
    names: Mutex<Names>,
    closed: AtomicBool,
}

/// The named scopes. As in go-libp2p, one mutex guards all of them.
#[derive(Debug, Default)]
struct Names {
    services: Map<Arc<str>, Shared<Group>>,
    protocols: Map<Arc<str>, Shared<Group>>,
    peers: Map<PeerId, Shared<Scope>>,
    /// The number of the latest connection or stream.
    last: u64,
}

impl Registry {
    pub fn new(limits: Limits) -> Self {
        let system = Scope::new(ScopeId::System, limits.system, Above::Edges(Vec::new()));
        let above = Above::Edges(vec![system.clone()]);
        Self {
            transient: Scope::new(ScopeId::Transient, limits.transient, above),
            system,
            limits: Mutex::new(Arc::new(limits)),
            names: Mutex::default(),
            closed: AtomicBool::new(false),
        }
    }

    pub fn check_open(&self) -> Result<()> {
        match self.closed.load(Ordering::Acquire) {
            false => Ok(()),
            true => Err(Error::ScopeClosed {
                scope: ScopeId::System.into(),
            }),
        }
    }

    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub fn next_number(&self) -> u64 {
        let mut names = self.names.lock();
        names.last += 1;
        names.last
    }

    pub fn peer(&self, peer: &PeerId) -> Shared<Scope> {
        let mut names = self.names.lock();
        if let Some(scope) = names.peers.get(peer) {
            return scope.clone();
        }
        let limit = self.limits.lock().peer_limit(peer);
        let above = Above::Edges(vec![self.system.clone()]);
        let scope = Scope::new(ScopeId::Peer(*peer), limit, above);
        names.peers.insert(*peer, scope.clone());
        scope
    }

    pub fn protocol(&self, id: &str) -> Shared<Group> {
        let mut names = self.names.lock();
        if let Some(group) = names.protocols.get(id) {
            return group.clone();
        }
        let name: Arc<str> = id.into();
        let limit = self.limits.lock().protocol_limit(id);
        let group = Group::new(ScopeId::Protocol(name.clone()), limit, &self.system);
        names.protocols.insert(name, group.clone());
        group
    }

    pub fn service(&self, name: &str) -> Shared<Group> {
        let mut names = self.names.lock();
        if let Some(group) = names.services.get(name) {
            return group.clone();
        }
        let limit = self.limits.lock().service_limit(name);
        let limit = limit.unwrap_or(Limit::UNLIMITED);
        let name: Arc<str> = name.into();
        let group = Group::new(ScopeId::Service(name.clone()), limit, &self.system);
        names.services.insert(name, group.clone());
        group
    }

    /// The scopes that a connection or stream with these attachments is charged on. One without
    /// attachments, and a stream without a protocol, is also charged on the transient scope.
    pub fn edges(
        &self,
        peer: Option<&Shared<Scope>>,
        protocol: Option<&Shared<Group>>,
        service: Option<&Shared<Group>>,
    ) -> Vec<Shared<Scope>> {
        let mut edges = Vec::with_capacity(6);
        edges.extend(peer.cloned());
        if let Some(peer) = peer.and_then(|peer| peer.name().scope.peer()) {
            let groups = protocol.into_iter().chain(service);
            edges.extend(groups.map(|group| group.share(peer, &self.limits)));
        }
        let groups = protocol.into_iter().chain(service);
        edges.extend(groups.map(|group| group.scope().clone()));
        edges.push(self.system.clone());
        edges
    }

    /// The scopes of a connection or stream that is transient, with or without a peer.
    pub fn transient_edges(&self, peer: Option<Shared<Scope>>) -> Vec<Shared<Scope>> {
        let both = [self.transient.clone(), self.system.clone()];
        peer.into_iter().chain(both).collect()
    }

    /// Calls `call` for each service, protocol and peer, while it holds the lock of all names.
    pub fn for_each(&self, mut call: impl FnMut(&Shared<Scope>)) {
        let names = self.names.lock();
        let groups = names.services.values().chain(names.protocols.values());
        groups.for_each(|group| call(group.scope()));
        names.peers.values().for_each(call);
    }

    /// Replaces the limits of all scopes.
    pub fn set_limits(&self, limits: Limits) {
        let limits = Arc::new(limits);
        *self.limits.lock() = limits.clone();
        let set = |scope: &Shared<Scope>, limit| {
            scope.with(|state| (state.limit, state.default) = (limit, limit));
        };
        set(&self.system, limits.system);
        set(&self.transient, limits.transient);
        let names = self.names.lock();
        for (name, group) in &names.services {
            let limit = limits.service_limit(name).unwrap_or(Limit::UNLIMITED);
            set(group.scope(), limit);
            group.for_each_share(|share| set(share, limits.service_peer_limit(name)));
        }
        for (id, group) in &names.protocols {
            set(group.scope(), limits.protocol_limit(id));
            group.for_each_share(|share| set(share, limits.protocol_peer_limit(id)));
        }
        for (peer, scope) in &names.peers {
            set(scope, limits.peer_limit(peer));
        }
    }
}
