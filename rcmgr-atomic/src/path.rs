//! A path: the nodes that a leaf is charged on, in the order in which they are asked.
//!
//! A path is made once and shared by every leaf with the same ancestors. A leaf that learns more
//! about itself (its peer, its protocol, its service) moves from one path to another.

use std::sync::{Arc, OnceLock};

use arrayvec::ArrayVec;
use rcmgr_core::ScopeClass;

use crate::charge::{Charge, cancel_all, charge_all};
use crate::credit::{Credit, Kind};
use crate::edition::Edition;
use crate::engine::Engine;
use crate::gauge::Over;
use crate::lending::Standing;
use crate::node::Node;
use crate::slot::Slot;
use crate::users::Users;

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
    /// A connection that neither the allowlist nor the standard scopes let in, but perhaps for
    /// system: it is only to be closed.
    StrandedConnection,
    Stream,
}

/// Which path it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PathKey {
    pub kind: PathKind,
    /// The serials of the peer, protocol and service; zero where there is none.
    pub serials: [u64; 3],
}

/// What a leaf is charged on.
pub struct Path {
    kind: PathKind,
    nodes: Nodes,
    engine: Arc<Engine>,
    /// `None` for a path that stays as long as the manager.
    key: Option<PathKey>,
    users: Users,
    standing: Standing,
    /// Made when the path begins to lend.
    credit: OnceLock<Box<Credit>>,
}

impl Path {
    pub fn new(engine: Arc<Engine>, kind: PathKind, key: Option<PathKey>, nodes: Nodes) -> Self {
        let standing = engine.lending().standing();
        Self {
            kind,
            nodes,
            engine,
            key,
            users: Users::none(),
            standing,
            credit: OnceLock::new(),
        }
    }

    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    pub fn key(&self) -> Option<&PathKey> {
        self.key.as_ref()
    }

    /// The node of a class, if the path goes through one.
    pub fn node(&self, class: ScopeClass) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.class() == class)
    }

    #[inline]
    pub fn kind(&self) -> PathKind {
        self.kind
    }

    pub fn iter(&self) -> impl Iterator<Item = &Node> + Clone {
        self.nodes.iter().map(|node| &**node)
    }

    /// Takes the charge out of the path's credit, or charges all nodes, or none.
    #[inline]
    pub fn charge<C: Charge>(
        self: &Arc<Self>,
        edition: Edition,
        charge: C,
    ) -> Result<(), (&Node, Over)> {
        if self.take_credit(edition, charge) {
            return Ok(());
        }
        self.charge_nodes(edition, charge)
    }

    // Not inlined: the way that takes credit is short without it.
    #[inline(never)]
    fn charge_nodes<C: Charge>(
        self: &Arc<Self>,
        edition: Edition,
        charge: C,
    ) -> Result<(), (&Node, Over)> {
        charge_all(self.iter(), edition, charge)?;
        if let Some((kind, amount)) = charge.credit() {
            self.engine
                .lending()
                .after_charge(self, edition, kind, amount);
        }
        Ok(())
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

    /// Takes back what was used: as credit, or from the nodes.
    #[inline]
    pub fn release(&self, kind: Kind, amount: u64) {
        let put = |credit: &Credit| credit.stock(kind).put(amount);
        if !self.credit().is_some_and(put) {
            self.iter().for_each(|node| node.release(kind, amount));
        }
    }

    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    #[inline]
    pub fn credit(&self) -> Option<&Credit> {
        self.credit.get().map(|credit| &**credit)
    }

    pub fn credit_or_new(&self) -> &Credit {
        self.credit.get_or_init(|| Box::new(Credit::new()))
    }

    /// Gives back all that a leaf held.
    #[inline]
    pub fn release_leaf(&self, slot: Slot, memory: u64) {
        match slot.kind() {
            Some(kind) => self.release(kind, 1),
            None => self.iter().for_each(|node| node.release_leaf(slot, 0)),
        }
        if memory > 0 {
            self.release(Kind::Memory, memory);
        }
    }

    /// The nodes that this path has and `other` has not, in the order in which a leaf that moves is
    /// charged: first the peer, protocol or service itself, then the peer's share of it; the system
    /// scope before all.
    pub fn beyond<'a>(&'a self, other: &'a Path) -> impl Iterator<Item = &'a Node> + Clone {
        let nodes = self
            .nodes
            .iter()
            .filter(|node| !other.nodes.iter().any(|theirs| Arc::ptr_eq(theirs, node)))
            .map(|node| &**node);
        let rank = |node: &Node| match node.class() {
            ScopeClass::System => 0,
            ScopeClass::ServicePeer | ScopeClass::ProtocolPeer => 2,
            _ => 1,
        };
        (0..3).flat_map(move |at| nodes.clone().filter(move |node| rank(node) == at))
    }
}

impl AsRef<Users> for Path {
    fn as_ref(&self) -> &Users {
        &self.users
    }
}
