//! What all scopes of a manager share: the nodes and paths by name, the limits that they are made
//! with, and what is counted for all of a class.

use std::fmt;
use std::ptr;
use std::sync::Arc;

use rcmgr_core::{
    Clock, Direction, Error, Limit, Limits, PeerId, Refusals, Result, ScopeClass, ScopeId,
    ScopeStat,
};

use crate::addresses::Addresses;
use crate::conn_memory::ConnMemoryCounts;
use crate::edition::{Edition, Editions};
use crate::leaf::refused_stream;
use crate::lending::{CreditOptions, Lending};
use crate::node::Node;
use crate::numbers::Numbers;
use crate::over_releases::OverReleases;
use crate::own_limit::LeafLimit;
use crate::path::{Nodes, Path, PathKind, is_transient, rank};
use crate::peers::Peers;
use crate::record::{Record, Recorder};
use crate::refusals::RefusalCounts;
use crate::refused_peers::RefusedPeers;
use crate::registry::Registry;
use crate::shared::{Shared, Use};
use crate::slot::Slot;
use crate::sync::{AtomicBool, Ordering, Published, RareLock, Table};

/// How many nodes are fetched at once where all are looked at: as many as the nearest caches hold.
const AHEAD: usize = 64;

/// What all leaves of a class share.
pub struct LeafClass {
    pub limit: LeafLimit,
    pub refusals: RefusalCounts,
    pub numbers: Numbers,
}

impl LeafClass {
    fn new(limit: &Limit) -> Self {
        let refusals = RefusalCounts::new();
        refusals.spread();
        Self {
            limit: LeafLimit::new(limit),
            refusals,
            numbers: Numbers::new(),
        }
    }
}

/// What all scopes of a manager share.
pub struct Engine {
    system: Arc<Node>,
    transient: Arc<Node>,
    allowlisted_system: Arc<Node>,
    allowlisted_transient: Arc<Node>,
    services: Table<Arc<str>, Arc<Node>>,
    protocols: Registry<Arc<str>, Node>,
    peers: Peers,
    refused_peers: RefusedPeers,
    /// What each peer uses of each service and protocol.
    shares: Registry<ScopeId, Node>,

    addresses: Addresses,
    lending: Lending,
    editions: Editions,
    /// All limits, for either edition's slot.
    limits: [Published<Limits>; 2],
    /// Limits set by hand. Those on peers and protocols outlive the scopes and a change of all
    /// limits. Whoever sets one is a user of the node, so none is made meanwhile that would see it
    /// too early.
    by_hand: Table<ScopeId, Limit>,
    limits_lock: RareLock,
    conn: LeafClass,
    stream: LeafClass,
    conn_memory: ConnMemoryCounts,

    /// Of spans, and of nodes that are gone.
    refusals_past: [RefusalCounts; ScopeClass::ALL.len()],
    /// The most that was ever said of a class.
    refusals_said: [RefusalCounts; ScopeClass::ALL.len()],
    over_releases: OverReleases,
    clock: Arc<dyn Clock>,
    closed: AtomicBool,
    recorder: Option<Arc<dyn Recorder>>,
}

impl Engine {
    pub fn new(
        limits: Limits,
        addresses: Addresses,
        clock: Arc<dyn Clock>,
        credit: CreditOptions,
    ) -> Self {
        let node = |id, parent, limit| Arc::new(Node::new(id, parent, [limit; 2]));
        let system = node(ScopeId::System, None, limits.system);
        let of_system = Some(system.clone());
        let transient = node(ScopeId::Transient, of_system, limits.transient);
        let limit = limits.allowlisted_system;
        let allowlisted_system = node(ScopeId::AllowlistedSystem, None, limit);
        let of_system = Some(allowlisted_system.clone());
        let limit = limits.allowlisted_transient;
        let allowlisted_transient = node(ScopeId::AllowlistedTransient, of_system, limit);
        Self {
            system,
            transient,
            allowlisted_system,
            allowlisted_transient,
            services: Table::new(),
            protocols: Registry::new(),
            peers: Peers::new(),
            refused_peers: RefusedPeers::new(),
            shares: Registry::new(),
            conn: LeafClass::new(&limits.conn),
            stream: LeafClass::new(&limits.stream),
            conn_memory: ConnMemoryCounts::new(),
            addresses,
            lending: Lending::new(credit),
            editions: Editions::new(),
            limits: [Published::new(limits.clone()), Published::new(limits)],
            by_hand: Table::new(),
            limits_lock: RareLock::default(),
            refusals_past: std::array::from_fn(|_| RefusalCounts::new()),
            refusals_said: std::array::from_fn(|_| RefusalCounts::new()),
            over_releases: OverReleases::new(),
            clock,
            closed: AtomicBool::new(false),
            recorder: None,
        }
    }

    /// The same, and what it does is recorded.
    pub fn with_recorder(self, recorder: Option<Arc<dyn Recorder>>) -> Self {
        Self { recorder, ..self }
    }

    #[inline]
    pub fn recorder(&self) -> Option<&dyn Recorder> {
        self.recorder.as_deref()
    }

    pub fn leaf_class(&self, slot: Slot) -> &LeafClass {
        match slot {
            Slot::Connection(..) => &self.conn,
            Slot::Stream(_) => &self.stream,
        }
    }

    /// Connections by how much memory they hold.
    pub fn conn_memory(&self) -> &ConnMemoryCounts {
        &self.conn_memory
    }

    /// What is asked of an address before the scopes are.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    pub fn lending(&self) -> &Lending {
        &self.lending
    }

    /// What is used of a node, credit left out.
    pub fn stat(&self, node: &Node) -> ScopeStat {
        self.lending.stat(node)
    }

    pub fn editions(&self) -> &Editions {
        &self.editions
    }

    pub fn system(&self) -> &Arc<Node> {
        &self.system
    }

    pub fn transient(&self) -> &Arc<Node> {
        &self.transient
    }

    pub fn allowlisted_system(&self) -> &Arc<Node> {
        &self.allowlisted_system
    }

    pub fn allowlisted_transient(&self) -> &Arc<Node> {
        &self.allowlisted_transient
    }

    /// The service's node, which lives as long as the engine.
    pub fn service(&self, name: &str) -> Arc<Node> {
        self.services.read(name, Arc::clone).unwrap_or_else(|| {
            let make = |name: &Arc<str>| Arc::new(self.make(ScopeId::Service(name.clone()), true));
            self.services
                .change_or_insert(name.into(), make, |node| node.clone())
        })
    }

    /// The protocol's node, with the caller as a user.
    pub fn protocol(&self, id: &str) -> Arc<Node> {
        self.protocols.acquire(
            id,
            || id.into(),
            |id| self.make(ScopeId::Protocol(id.clone()), true),
        )
    }

    /// The peer's node, with the caller as a user.
    pub fn peer(&self, id: &PeerId) -> Arc<Node> {
        self.peers.acquire(id, || self.make_peer(id))
    }

    fn make_peer(&self, id: &PeerId) -> Node {
        self.make(ScopeId::Peer(*id), true)
    }

    /// What a peer uses of a service or protocol, with the caller as a user.
    fn share(&self, of: &Node, peer: &Node) -> Arc<Node> {
        let id = match (of.id(), peer.id()) {
            (ScopeId::Service(name), ScopeId::Peer(peer)) => {
                ScopeId::ServicePeer(name.clone(), *peer)
            }
            (ScopeId::Protocol(id), ScopeId::Peer(peer)) => {
                ScopeId::ProtocolPeer(id.clone(), *peer)
            }
            (of, peer) => unreachable!("{peer} has no share of {of}"),
        };
        self.shares
            .acquire(&id, || id.clone(), |id| self.make(id.clone(), false))
    }

    /// A node as the limits are. It is called under the lock of the shard that the node goes into:
    /// a change of limits that it does not see yet comes by later and finds the node.
    fn make(&self, id: ScopeId, under_system: bool) -> Node {
        let parent = under_system.then(|| self.system.clone());
        let limits = Edition::FOR_EACH_SLOT.map(|edition| self.limit_of(&id, edition));
        Node::new(id, parent, limits)
    }

    /// The path of a leaf of which only the peer is known.
    pub fn peer_path(self: &Arc<Self>, kind: PathKind, peer: &PeerId) -> Use<Path> {
        let make = |node: &Arc<Node>| {
            let mut nodes = Nodes::new();
            nodes.push(node.clone());
            nodes.extend((kind == PathKind::Stream).then(|| self.transient.clone()));
            nodes.push(match kind {
                PathKind::AllowlistedConnection => self.allowlisted_system.clone(),
                _ => self.system.clone(),
            });
            Path::of_peer(self.clone(), kind, nodes)
        };
        self.peers
            .acquire_path(kind, peer, || self.make_peer(peer), make)
    }

    /// The path of a stream of which only the peer is known; or the refusal of such a stream, where
    /// it can be told without being a user.
    pub fn stream_path(self: &Arc<Self>, peer: &PeerId, direction: Direction) -> Result<Use<Path>> {
        self.ask_refused_peer(peer, direction)?;
        let kind = PathKind::Stream;
        let found = self.peers.look_at_path(kind, peer, |path| {
            let Some((node, refused)) = refused_stream(self, path.iter(), direction, || true)
            else {
                return Ok(path.join());
            };
            if let Some(peer) = path.peer().filter(|peer| ptr::eq(&raw const ***peer, node)) {
                self.refused_peers.note(peer);
            }
            Err(refused)
        });
        found.unwrap_or_else(|| Ok(self.peer_path(kind, peer)))
    }

    /// Whether a new stream is refused by a peer that refused this thread's last ones.
    ///
    /// # Errors
    ///
    /// That refusal.
    #[inline(always)]
    pub fn ask_refused_peer(&self, peer: &PeerId, direction: Direction) -> Result<()> {
        let refused = self.refused_peers.ask_again(peer, |node| {
            // Asked last: as long as it has a user, it is the one that is in the map.
            let is_there = || !node.users().is_none();
            refused_stream(self, [node], direction, is_there).map(|(_, refused)| refused)
        });
        refused.map_or(Ok(()), Err)
    }

    /// The path of a leaf that is on `from` as soon as its protocol is known: `None` only where the
    /// caller was a user of `from` and is that no more.
    pub fn protocol_path(self: &Arc<Self>, from: &Shared<Path>, id: &str) -> Option<Use<Path>> {
        from.branch(id, |from| self.make_branch(from, self.protocol(id)))
    }

    /// The path of a leaf that is on `from` as soon as its service is known: `None` only where the
    /// caller was a user of `from` and is that no more.
    pub fn service_path(self: &Arc<Self>, from: &Shared<Path>, name: &str) -> Option<Use<Path>> {
        from.branch(name, |from| self.make_branch(from, self.service(name)))
    }

    /// Where a stream begins that is opened through a connection on this path: `None` if the path
    /// has no peer. Who holds a user of the path knows that there is a user of this one, too.
    pub fn streams_of<'a>(self: &Arc<Self>, path: &'a Shared<Path>) -> Option<&'a Shared<Path>> {
        let peer = path.peer()?.id().peer()?;
        // That of the peer alone, which a connection with a service keeps.
        let path = path
            .from()
            .filter(|from| !from.is_lasting())
            .unwrap_or(path);
        // As a user: the path is not collected before it is known that it is a user of this.
        if path.streams().is_none()
            && let Some(path) = path.try_join()
        {
            path.set_streams(self.peer_path(PathKind::Stream, &peer));
        }
        path.streams()
    }

    /// The path of a stream that begins on `from`, as soon as these are known. The caller is a user
    /// of `from`.
    pub fn path_beyond(
        self: &Arc<Self>,
        from: &Shared<Path>,
        protocol: &str,
        service: Option<&str>,
    ) -> Option<Use<Path>> {
        let with_protocol = self.protocol_path(from, protocol)?;
        match service {
            None => Some(with_protocol),
            Some(service) => self.service_path(&with_protocol, service),
        }
    }

    /// The path `from` with a protocol or service, of which it is a user, and with the peer's share
    /// of that.
    fn make_branch(self: &Arc<Self>, from: Use<Path>, node: Arc<Node>) -> Path {
        let share = from.peer().map(|peer| self.share(&node, peer));
        // With a protocol or service nothing is transient any more.
        let kept = from.nodes().iter().filter(|node| !is_transient(node));
        let mut nodes: Nodes = kept.cloned().chain(share).collect();
        nodes.push(node.clone());
        nodes.sort_by_key(|node| rank(node.class()));
        if node.users().are_several() {
            // As for peers: see `Connection::set_peer`.
            node.spread_refusals();
        }
        Path::branch_of(from, &node, nodes)
    }

    /// The path of a connection of which nothing is known yet.
    pub fn opened_path(self: &Arc<Self>) -> Use<Path> {
        self.lasting_path(PathKind::Connection, [&self.transient, &self.system])
    }

    /// The path of a connection of which is known only that the allowlist lets it in.
    pub fn allowlisted_opened_path(self: &Arc<Self>) -> Use<Path> {
        let nodes = [&self.allowlisted_transient, &self.allowlisted_system];
        self.lasting_path(PathKind::AllowlistedConnection, nodes)
    }

    /// A path through nodes that are never collected.
    pub fn lasting_path<'a>(
        self: &Arc<Self>,
        kind: PathKind,
        nodes: impl IntoIterator<Item = &'a Arc<Node>>,
    ) -> Use<Path> {
        let nodes = nodes.into_iter().cloned().collect();
        Shared::new(Path::lasting(self.clone(), kind, nodes)).join()
    }

    /// Peers, with the paths of leaves of which only the peer is known.
    pub fn peers(&self) -> &Peers {
        &self.peers
    }

    /// One more user of a node of which there is one already.
    pub fn retain_node(&self, node: &Node) {
        // The others are on every path: counting their users would only wear out their lines.
        if is_collected(node.class()) {
            node.users().add();
        }
    }

    /// The same for who only knows that there was one a moment ago: `false` if there is none.
    pub fn try_retain_node(&self, node: &Node) -> bool {
        !is_collected(node.class()) || node.users().try_add()
    }

    /// The caller uses the node no more. System, transient and services stay all the same.
    pub fn release_node(&self, node: &Arc<Node>) {
        let removed = match node.id() {
            ScopeId::Peer(_) => self.peers.release(node),
            ScopeId::Protocol(id) => self.protocols.release(&**id, node),
            id @ (ScopeId::ServicePeer(..) | ScopeId::ProtocolPeer(..)) => {
                self.shares.release(id, node)
            }
            _ => false,
        };
        if removed {
            self.record(|| Record::collected(node));
            // What it refused is remembered for its class. (A reservation on a leaf that was
            // closed meanwhile may be refused here even now; that refusal is not counted.)
            self.refusals_past(node.class()).add(node.refusals());
        }
    }

    pub fn refusals_past(&self, class: ScopeClass) -> &RefusalCounts {
        &self.refusals_past[class as usize]
    }

    /// Every refusal by a scope of this class, also by scopes that are gone. It never goes back: a
    /// scope that goes is for a moment neither here nor there, and what was said before stands.
    pub fn refusals(&self, class: ScopeClass) -> Refusals {
        self.count_refusals([class], &mut |_| {})[0]
    }

    /// Those of several classes, in one look at each node, which `f` then looks at, too, if one of the
    /// classes is of nodes.
    pub fn count_refusals<const N: usize>(
        &self,
        classes: [ScopeClass; N],
        f: &mut dyn FnMut(&Node),
    ) -> [Refusals; N] {
        // What is past is read first: a scope that goes meanwhile is not counted twice.
        let past = classes.map(|class| self.refusals_past(class).get());
        let mut live = [Refusals::default(); N];
        let mut nodes = false;
        for (live, class) in live.iter_mut().zip(classes) {
            match class {
                ScopeClass::Connection => *live = self.conn.refusals.get(),
                ScopeClass::Stream => *live = self.stream.refusals.get(),
                ScopeClass::Span => {}
                _ => nodes = true,
            }
        }
        if nodes {
            self.look_at_each(&mut |node| {
                let at = classes.iter().position(|&class| class == node.class());
                if let Some(at) = at {
                    live[at] += node.refusals();
                }
                f(node);
            });
        }
        std::array::from_fn(|at| {
            self.refusals_said[classes[at] as usize].raise(past[at] + live[at])
        })
    }

    /// Every node that is there now, while nothing is locked: for what takes longer than a glance.
    pub fn look_at_each(&self, f: &mut dyn FnMut(&Node)) {
        let mut nodes = Vec::new();
        self.for_each_node(&mut |node| nodes.push(node.clone()));
        while !nodes.is_empty() {
            let from = nodes.len().saturating_sub(AHEAD);
            nodes[from..].iter().for_each(Node::fetch);
            nodes.drain(from..).for_each(|node| f(&node));
        }
    }

    /// Every node that is there now, while a part of the names is locked.
    pub fn for_each_node(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        f(&self.system);
        f(&self.transient);
        f(&self.allowlisted_system);
        f(&self.allowlisted_transient);
        self.for_each_service(f);
        self.for_each_protocol(f);
        self.for_each_peer(f);
        self.shares.for_each(|_, node| f(node));
    }

    pub fn for_each_service(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.services.for_each(|_, node| f(node));
    }

    pub fn for_each_protocol(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.protocols.for_each(|_, node| f(node));
    }

    pub fn for_each_peer(&self, f: &mut dyn FnMut(&Arc<Node>)) {
        self.peers.for_each(f);
    }

    pub fn limits(&self) -> Arc<Limits> {
        self.editions
            .read(|edition| self.limits[edition.slot()].get())
    }

    /// Whether a service of this name has a limit of its own or by default.
    pub fn has_service_limit(&self, name: &str) -> bool {
        let id = ScopeId::Service(name.into());
        self.by_hand.read(&id, |_| ()).is_some() || self.limits().service_limit(name).is_some()
    }

    /// The limit of a node as it is.
    pub fn limit(&self, node: &Node) -> Limit {
        self.editions.read(|edition| node.limit(edition))
    }

    /// What the limit of a node is to be.
    fn limit_of(&self, id: &ScopeId, edition: Edition) -> Limit {
        if let Some(limit) = self.by_hand.read(id, |limit| *limit) {
            return limit;
        }
        self.limits[edition.slot()].with(|limits| match id {
            ScopeId::System => limits.system,
            ScopeId::Transient => limits.transient,
            ScopeId::AllowlistedSystem => limits.allowlisted_system,
            ScopeId::AllowlistedTransient => limits.allowlisted_transient,
            ScopeId::Service(name) => limits.service_limit(name).unwrap_or(Limit::UNLIMITED),
            ScopeId::ServicePeer(name, _) => limits.service_peer_limit(name),
            ScopeId::Protocol(id) => limits.protocol_limit(id),
            ScopeId::ProtocolPeer(id, _) => limits.protocol_peer_limit(id),
            ScopeId::Peer(id) => limits.peer_limit(id),
            ScopeId::Connection(_) => limits.conn,
            ScopeId::Stream(_) => limits.stream,
        })
    }

    /// Makes a new edition of the limits, in which what `write` writes is different.
    pub fn change_limits(&self, write: impl Fn(Edition)) {
        let _one_at_a_time = self.limits_lock.hold();
        let edition = self.editions.change(write);
        self.lending.limits_changed(edition);
    }

    pub fn set_limits(&self, limits: Limits) {
        self.change_limits(|edition| {
            self.conn.limit.set(edition, &limits.conn);
            self.stream.limit.set(edition, &limits.stream);
            self.by_hand
                .retain(|id| matches!(id, ScopeId::Peer(_) | ScopeId::Protocol(_)));
            // First for the nodes that are made from now on, then for those that are there.
            self.limits[edition.slot()].set(limits.clone());
            self.look_at_each(&mut |node| {
                node.set_limit(edition, &self.limit_of(node.id(), edition));
            });
            self.addresses
                .set_allowlisted_conns(limits.allowlisted_system.conns);
        });
    }

    /// Sets the limit of one node by hand, or takes it back.
    pub fn set_limit(&self, node: &Node, limit: Option<Limit>) {
        let id = node.id();
        self.change_limits(|edition| {
            match limit {
                Some(limit) => self.by_hand.insert(id.clone(), limit),
                None => drop(self.by_hand.remove_if(id, |_| true)),
            }
            let limit = limit.unwrap_or_else(|| self.limit_of(id, edition));
            node.set_limit(edition, &limit);
        });
    }

    pub fn count_over_release(&self, scope: &rcmgr_core::ScopeName, asked: u64, held: u64) {
        self.over_releases.count(scope, asked, held, &*self.clock);
    }

    pub fn over_releases(&self, class: ScopeClass) -> u64 {
        self.over_releases.of(class)
    }

    pub fn close(&self) {
        // A flag by itself: what was open goes on, so nothing has to be seen behind it.
        self.closed.store(true, Ordering::Relaxed);
    }

    /// # Errors
    ///
    /// After `close`.
    pub fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::ScopeClosed {
                scope: ScopeId::System.into(),
            });
        }
        Ok(())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// Whether scopes of this class go when nothing uses them.
fn is_collected(class: ScopeClass) -> bool {
    matches!(
        class,
        ScopeClass::Peer
            | ScopeClass::Protocol
            | ScopeClass::ServicePeer
            | ScopeClass::ProtocolPeer
    )
}
