//! A path: the nodes that a leaf is charged on, in the order in which they are asked.
//!
//! A path is made once and shared by every leaf with the same ancestors. A leaf that learns more
//! about itself (its peer, its protocol, its service) moves from one path to another.
//!
//! Paths form trees. That of a leaf of which only the peer is known is found by the peer's id
//! (`peers.rs`). A path with a protocol or service is a *branch* of the one without it: it is found
//! there, and a user of it. So while a leaf is on a branch, those that come the same way find every
//! path of that way there, and look up nothing but a name. Branches are looked up and taken out under
//! a lock of their own for each path, as names are under the locks of the maps.

use std::collections::HashMap;
use std::mem;
use std::ptr;
use std::sync::Arc;

use arrayvec::ArrayVec;
use rcmgr_core::ScopeClass;

use crate::charge::{Charge, cancel_all, charge_all};
use crate::credit::{Credit, Kind};
use crate::edition::Edition;
use crate::engine::Engine;
use crate::gauge::Over;
use crate::lending::Standing;
use crate::node::Node;
use crate::shared::{Collect, Shared, Use};
use crate::slot::Slot;
use crate::sync::{Guarded, OnceBox, SetOnce};

/// The most nodes that a leaf is charged on: peer, its share of the protocol and of the service,
/// protocol, service, system.
pub const MAX_NODES: usize = 6;

/// The nodes of a path, in the order in which they are asked.
pub type Nodes = ArrayVec<Arc<Node>, MAX_NODES>;

/// Whose path it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PathKind {
    Connection,
    /// A connection that the allowlist lets in: it ends at a system scope of its own.
    AllowlistedConnection,
    Stream,
    /// A connection that neither the allowlist nor the standard scopes let in, but perhaps for
    /// system: it is only to be closed.
    StrandedConnection,
}

impl PathKind {
    /// How many kinds there are, from the first, of which a peer can have a path.
    pub const OF_PEERS: usize = Self::Stream as usize + 1;
}

/// What a leaf is charged on.
pub struct Path {
    kind: PathKind,
    /// It stays as long as whoever holds it: its users are not counted.
    lasting: bool,
    /// Whether it goes through a transient scope, which its branches do not.
    is_transient: bool,
    /// Where among the nodes there is one of each class that a path can be without.
    at: [u8; CLASSES],
    /// The protocol or service that it has and `from` has not.
    named: Option<ScopeClass>,
    nodes: Nodes,
    engine: Arc<Engine>,
    /// The path that it is a branch of.
    from: Option<Shared<Path>>,
    /// For the path of connections to a peer: where streams begin that are opened through them.
    streams: SetOnce<Shared<Path>>,
    links: Guarded<Links>,
    standing: Standing,
    /// Made when the path begins to lend.
    credit: OnceBox<Credit>,
}

/// What holds the tree of paths together.
struct Links {
    branches: Option<Box<Branches>>,
    /// The paths that this one is a user of until it is collected: what it is a branch of, and where
    /// streams begin.
    used: [Option<Use<Path>>; 2],
}

/// By protocol or service. A remote chooses the names, so hashes are not to be foreseen.
type Branches = HashMap<Arc<str>, Shared<Path>, ahash::RandomState>;

/// How many classes of nodes there are that a path can be without, transient apart.
const CLASSES: usize = 5;
const NOWHERE: u8 = u8::MAX;

/// The order in which nodes are asked.
pub fn rank(class: ScopeClass) -> u8 {
    match class {
        ScopeClass::Peer => 0,
        ScopeClass::ProtocolPeer => 1,
        ScopeClass::ServicePeer => 2,
        ScopeClass::Protocol => 3,
        ScopeClass::Service => 4,
        _ => 5,
    }
}

/// Whether the node is there only for what is not attached yet.
pub fn is_transient(node: &Node) -> bool {
    matches!(
        node.class(),
        ScopeClass::Transient | ScopeClass::AllowlistedTransient
    )
}

impl Path {
    fn new(engine: Arc<Engine>, kind: PathKind, from: Option<Shared<Path>>, nodes: Nodes) -> Self {
        let standing = engine.lending().standing();
        let mut at = [NOWHERE; CLASSES];
        for (place, node) in nodes.iter().enumerate() {
            if let Some(at) = at.get_mut(usize::from(rank(node.class()))) {
                *at = place as u8;
            }
        }
        Self {
            kind,
            lasting: false,
            is_transient: nodes.iter().any(|node| is_transient(node)),
            at,
            named: None,
            nodes,
            engine,
            from,
            streams: SetOnce::new(),
            links: Guarded::new(Links {
                branches: None,
                used: [None, None],
            }),
            standing,
            credit: OnceBox::new(),
        }
    }

    /// A path that nobody looks up.
    pub fn lasting(engine: Arc<Engine>, kind: PathKind, nodes: Nodes) -> Self {
        Self {
            lasting: true,
            ..Self::new(engine, kind, None, nodes)
        }
    }

    /// The path of a leaf of which only the peer is known, of which it is a user: the first node.
    pub fn of_peer(engine: Arc<Engine>, kind: PathKind, nodes: Nodes) -> Self {
        Self::new(engine, kind, None, nodes)
    }

    /// The path `from` with a protocol or service, `node`, and the peer's share of it. It is a user
    /// of both of these already.
    pub fn branch_of(from: Use<Self>, node: &Arc<Node>, nodes: Nodes) -> Self {
        let path = Self {
            named: Some(node.class()),
            ..Self::new(from.engine.clone(), from.kind, Some((*from).clone()), nodes)
        };
        path.use_until_collected(from);
        path
    }

    fn use_until_collected(&self, path: Use<Self>) {
        self.links.with(|links| {
            let place = links.used.iter_mut().find(|place| place.is_none());
            *place.expect("there are two of these at most") = Some(path);
        });
    }

    /// Nobody uses it, and nobody finds it any more: what it used it uses no more.
    fn stop_using(&self) {
        // Dropped outside of the lock.
        drop(self.links.with(|links| mem::take(&mut links.used)));
    }

    /// Nobody used the branch a moment ago. Whether that took it out, which is for one caller only.
    fn remove_branch(&self, branch: &Shared<Self>) -> bool {
        let Some(name) = branch.name() else {
            return false;
        };
        let removed = self.links.with(|Links { branches, .. }| {
            let map = branches.as_mut()?;
            // Someone may have found it since, or taken it out, or even made another.
            let unused = |found: &Shared<Self>| found.is(branch) && branch.is_unused();
            let removed = if map.get(name).is_some_and(unused) {
                map.remove(name)
            } else {
                None
            };
            if map.is_empty() {
                *branches = None;
            } else if map.capacity() > 8 * map.len().max(32) {
                map.shrink_to(2 * map.len());
            }
            removed
        });
        removed.is_some()
    }

    /// The name of the protocol or service that a branch has and the path before it has not.
    fn name(&self) -> Option<&Arc<str>> {
        self.name_of(self.named?)
    }

    /// The path that it is a branch of.
    pub fn from(&self) -> Option<&Shared<Self>> {
        self.from.as_ref()
    }

    pub fn is_lasting(&self) -> bool {
        self.lasting
    }

    /// The nodes that it is a user of: those that the path before it has not.
    pub fn own_nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        let is_new = |node: &Arc<Node>| match &self.from {
            Some(from) => !from.nodes.iter().any(|other| Arc::ptr_eq(other, node)),
            None => true,
        };
        self.nodes.iter().filter(move |node| is_new(node))
    }

    /// Where streams begin that are opened through connections on this path, if there were any.
    pub fn streams(&self) -> Option<&Shared<Self>> {
        self.streams.get()
    }

    /// Says where streams begin, if that was not said yet. The caller is a user.
    pub fn set_streams(&self, streams: Use<Self>) {
        if self.streams.set((*streams).clone()).is_ok() {
            self.use_until_collected(streams);
        }
    }

    /// The peer's node.
    #[inline]
    pub fn peer(&self) -> Option<&Arc<Node>> {
        self.node(ScopeClass::Peer)
    }

    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// The peer's, protocol's or service's node, or one of the peer's shares, if the path goes
    /// through one.
    #[inline]
    pub fn node(&self, class: ScopeClass) -> Option<&Arc<Node>> {
        let at = *self.at.get(usize::from(rank(class)))?;
        self.nodes.get(usize::from(at))
    }

    /// The name of the protocol or service, if the path goes through one.
    pub fn name_of(&self, class: ScopeClass) -> Option<&Arc<str>> {
        self.node(class)?.id().name()
    }

    #[inline]
    pub fn kind(&self) -> PathKind {
        self.kind
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.iter().map(|node| &**node)
    }

    /// Takes the charge out of the path's credit: that is charged on all nodes already.
    #[inline]
    pub fn take_credit(&self, edition: Edition, charge: impl Charge) -> bool {
        let take = |(kind, amount)| Some(self.credit()?.stock(kind).take(edition, amount));
        charge.credit().and_then(take).unwrap_or(false)
    }

    #[inline]
    pub fn cancel(&self, charge: impl Charge) {
        cancel_all(self.iter(), charge);
    }

    /// Takes back what was used: as credit, or from the nodes, with `before` called first. Where
    /// operations are recorded there is no credit.
    #[inline]
    pub fn release(&self, kind: Kind, amount: u64, before: impl FnOnce()) {
        let put = |credit: &Credit| credit.stock(kind).put(amount);
        if !self.credit().is_some_and(put) {
            before();
            self.iter().for_each(|node| node.release(kind, amount));
        }
    }

    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    #[inline]
    pub fn credit(&self) -> Option<&Credit> {
        self.credit.get()
    }

    pub fn credit_or_new(&self) -> &Credit {
        self.credit.get_or_init(|| Box::new(Credit::new()))
    }

    /// Gives back all that a leaf held.
    #[inline]
    pub fn release_leaf(&self, slot: Slot, memory: u64) {
        match slot.kind() {
            Some(kind) => self.release(kind, 1, || {}),
            None => self.iter().for_each(|node| node.release_slot(slot)),
        }
        if memory > 0 {
            self.release(Kind::Memory, memory, || {});
        }
    }

    /// The nodes that this path has and `other` has not, in the order in which a leaf that moves is
    /// charged: first the peer, protocol or service itself, then the peer's share of it; the system
    /// scope before all.
    ///
    /// They are lent to `f`: to hand them out would be to copy what was just written.
    #[inline(always)]
    pub fn with_beyond<'a, R>(&'a self, other: &Self, f: impl FnOnce(&[&'a Node]) -> R) -> R {
        let mut nodes = ArrayVec::<&Node, MAX_NODES>::new();
        if let (Some(named), true) = (self.named, self.is_branch_of(other)) {
            // A branch has its protocol or service, and the peer's share of it.
            let share = match named {
                ScopeClass::Protocol => ScopeClass::ProtocolPeer,
                _ => ScopeClass::ServicePeer,
            };
            for class in [named, share] {
                if let Some(node) = self.node(class) {
                    nodes.push(&**node);
                }
            }
        } else {
            nodes.extend(self.without(other));
            nodes.sort_by_key(|node| match node.class() {
                ScopeClass::System => 0,
                ScopeClass::ServicePeer | ScopeClass::ProtocolPeer => 2,
                _ => 1,
            });
        }
        f(&nodes)
    }

    /// Gives back what a leaf held that moves to `next`, where it does not hold it still; its slot,
    /// too, if there is one to give.
    pub fn release_moved(&self, next: &Self, slot: Option<Slot>, memory: u64) {
        let nothing = slot.is_none() && memory == 0;
        if nothing || (next.is_branch_of(self) && !self.is_transient) {
            return; // A branch has all nodes of the path before it.
        }
        for node in self.without(next) {
            if let Some(slot) = slot {
                node.release_slot(slot);
            }
            if memory > 0 {
                node.release_memory(memory);
            }
        }
    }

    fn is_branch_of(&self, other: &Self) -> bool {
        let from = self.from.as_ref();
        from.is_some_and(|from| ptr::eq(&raw const **from, other))
    }

    /// The nodes that this path has and `other` has not.
    pub fn without<'a>(&'a self, other: &Self) -> impl Iterator<Item = &'a Node> {
        let is_kept = |node: &Arc<Node>| other.nodes.iter().any(|other| Arc::ptr_eq(other, node));
        let lost = self.nodes.iter().filter(move |node| !is_kept(node));
        lost.map(|node| &**node)
    }
}

impl Shared<Path> {
    /// The branch with a protocol or service of this name, made if absent. `None` if it is not there
    /// and this path has no user any more.
    pub fn branch(&self, name: &str, make: impl FnOnce(Use<Path>) -> Path) -> Option<Use<Path>> {
        self.links.with(|Links { branches, .. }| {
            if let Some(found) = branches.as_ref().and_then(|branches| branches.get(name)) {
                // While it can't be taken out.
                return Some(found.join());
            }
            // A branch is a user. Who is none any more makes none, so a path that was collected
            // never has one again.
            let branch = Shared::new(make(self.try_join()?));
            let user = branch.join();
            let name = branch.name().map_or_else(|| name.into(), Arc::clone);
            branches.get_or_insert_default().insert(name, branch);
            Some(user)
        })
    }

    /// Takes the charge out of the path's credit, or charges all nodes, or none.
    #[inline]
    pub fn charge<C: Charge>(&self, edition: Edition, charge: C) -> Result<(), (&Node, Over)> {
        if self.take_credit(edition, charge) {
            return Ok(());
        }
        charge_all(self.iter(), edition, charge)?;
        if let Some((kind, amount)) = charge.credit() {
            self.engine
                .lending()
                .after_charge(self, edition, kind, amount);
        }
        Ok(())
    }
}

impl Collect for Path {
    fn unused(this: &Shared<Self>) {
        let engine = this.engine();
        let removed = match this.from() {
            _ if this.is_lasting() => false,
            Some(from) => from.remove_branch(this),
            None => engine.peers().remove_path(this),
        };
        if removed {
            engine.lending().collected(this);
            this.own_nodes().for_each(|node| engine.release_node(node));
            this.stop_using();
        }
    }
}
