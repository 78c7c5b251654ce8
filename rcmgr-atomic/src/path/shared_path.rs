//! A path: the nodes that a leaf is charged on, in the order in which they are checked.
//!
//! A path is made once and shared by every leaf with the same ancestors. A leaf that learns more
//! about itself (its peer, its protocol, its service) moves from one path to another.
//!
//! Paths form trees. The path of a leaf with a peer and nothing else is found by the id of the peer
//! (`peers.rs`). A path with a protocol or service is a *branch* of the path without it: it is
//! found there, and uses it. So while a leaf is on a branch, a leaf with the same peer, protocol
//! and service finds all its paths, with one lookup by name for each step. Each path has a lock for
//! its branches, as each shard of a map has one for its names.

use std::ptr;
use std::sync::Arc;

use rcmgr_core::{Direction, ScopeClass, ScopeId, UsesFd};

use super::credit::{Credit, Stock};
use super::kind::PathKind;
use super::lend_state::LendState;
use super::links::Links;
use crate::charge::{Charge, Memory, cancel_all};
use crate::counters::{Kind, Slot};
use crate::lifetime::{Collect, EntryUses, ShardUses, Shared, Use};
use crate::limits::LimitsVersion;
use crate::node::{Node, Nodes, is_collected, is_transient, rank};
use crate::sync::{OnceBox, SetOnce};
use crate::waiting::{Ticket, Waiters};
use crate::words::{Resources, StockWord};

/// The home of paths: it collects a path that is not used any longer. The engine implements it.
pub trait Home: Sized {
    /// The last use of the path has ended. Another may begin and end before this returns.
    fn path_unused(path: &Shared<Path<Self>>);

    /// The requests that wait for room.
    fn waiters(&self) -> &Waiters;
}

/// The nodes that a leaf is charged on.
pub struct Path<H: Home> {
    kind: PathKind,
    /// Whether the path lives as long as its holder: then it is in no map, and is not collected
    /// when its last use ends.
    lasting: bool,
    /// Whether it goes through a transient scope. Its branches do not.
    is_transient: bool,
    /// For each class that a path can lack: the position of its node, or [`NOWHERE`].
    at: [u8; CLASSES],
    /// The class of the protocol or service that this path has and `from` lacks.
    named: Option<ScopeClass>,
    nodes: Nodes,
    home: Arc<H>,
    /// The path that it is a branch of.
    from: Option<Shared<Self>>,
    /// For a path of connections to a peer: the path on which streams begin that are opened through
    /// them.
    streams: SetOnce<Shared<Self>>,
    entry_uses: EntryUses,
    links: Links<Self>,
    lend_state: LendState,
    /// Made when the path begins to lend.
    credit: OnceBox<Credit>,
}

/// The number of classes that a path can lack, transient apart.
const CLASSES: usize = 5;
const NOWHERE: u8 = u8::MAX;

impl<H: Home> Path<H> {
    fn new(home: Arc<H>, kind: PathKind, nodes: Nodes, lend_state: LendState) -> Self {
        let mut at = [NOWHERE; CLASSES];
        for (position, node) in nodes.iter().enumerate() {
            if let Some(at) = at.get_mut(usize::from(rank(node.class()))) {
                *at = position as u8;
            }
        }
        Self {
            kind,
            lasting: false,
            is_transient: nodes.iter().any(|node| is_transient(node)),
            at,
            named: None,
            nodes,
            home,
            from: None,
            streams: SetOnce::new(),
            entry_uses: EntryUses::new(),
            links: Links::new(),
            lend_state,
            credit: OnceBox::new(),
        }
    }

    /// A path that is not looked up, and never lends.
    pub fn lasting(home: Arc<H>, kind: PathKind, nodes: Nodes, lend_state: LendState) -> Self {
        Self {
            lasting: true,
            ..Self::new(home, kind, nodes, lend_state)
        }
    }

    /// The path of a leaf with a peer and nothing else. The path is a user of the peer, its first
    /// node.
    pub fn of_peer(home: Arc<H>, kind: PathKind, nodes: Nodes, lend_state: LendState) -> Self {
        Self::new(home, kind, nodes, lend_state)
    }

    /// The path `from` with a protocol or service, `node`, and the share of the peer in it. It is a
    /// user of both nodes already.
    pub fn branch_of(from: Use<Self>, node: &Node, nodes: Nodes, lend_state: LendState) -> Self {
        debug_assert!(from.is_in_word(), "leaves hand over uses in the word");
        let path = Self {
            named: Some(node.class()),
            from: Some((*from).clone()),
            ..Self::new(from.home.clone(), from.kind, nodes, lend_state)
        };
        path.links.use_until_collected(from);
        path
    }

    /// The path in its place in memory, where its words stay.
    pub fn into_shared(self) -> Shared<Self> {
        let path = Shared::new(self);
        path.name_memory(|| match path.nodes.first() {
            Some(node) => format!("path from {}", node.class()),
            None => "path".to_owned(),
        });
        path
    }

    /// Drops its uses of other paths. The caller has taken it out of the map or branch where it was
    /// found.
    pub fn stop_using(&self) {
        self.links.stop_using();
    }

    /// The name of the protocol or service that a branch has and the path before it lacks.
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

    /// Whether it goes through a transient scope.
    pub fn is_transient(&self) -> bool {
        self.is_transient
    }

    /// The class of the protocol or service that a branch has and the path before it lacks.
    pub fn named(&self) -> Option<ScopeClass> {
        self.named
    }

    /// The nodes that it is a user of: those that the path before it lacks, without nodes that are
    /// never collected.
    pub fn own_nodes(&self) -> impl Iterator<Item = &Arc<Node>> {
        let is_new = |node: &Arc<Node>| match &self.from {
            Some(from) => !from.nodes.iter().any(|other| Arc::ptr_eq(other, node)),
            None => true,
        };
        let nodes = self.nodes.iter();
        nodes.filter(move |node| is_collected(node.class()) && is_new(node))
    }

    /// The path on which streams begin that are opened through connections on this path, once there
    /// was one.
    pub fn streams(&self) -> Option<&Shared<Self>> {
        self.streams.get()
    }

    /// Sets the path on which streams begin, if it is not set yet. The caller is a user of this
    /// path.
    pub fn set_streams(&self, streams: Use<Self>) {
        if self.streams.set((*streams).clone()).is_ok() {
            self.links.use_until_collected(streams);
        }
    }

    /// The node of the peer.
    #[inline]
    pub fn peer(&self) -> Option<&Arc<Node>> {
        self.node(ScopeClass::Peer)
    }

    pub fn nodes(&self) -> &[Arc<Node>] {
        &self.nodes
    }

    /// The nodes of this scope.
    pub fn nodes_of(&self, scope: &ScopeId) -> impl Iterator<Item = &Arc<Node>> {
        self.nodes.iter().filter(move |node| node.id() == scope)
    }

    /// The engine of the path. This returns no `Arc`: each use of one would read the address again, and
    /// the processor waits for that read after an atomic step.
    #[inline]
    pub fn home(&self) -> &H {
        &self.home
    }

    /// The same, to be shared.
    pub fn shared_home(&self) -> &Arc<H> {
        &self.home
    }

    /// The node of this class: of the peer, the protocol, the service, or a share of the peer.
    #[inline]
    pub fn node(&self, class: ScopeClass) -> Option<&Arc<Node>> {
        self.nodes.get(self.place_of(class)?)
    }

    /// The position of the node of a class that a path can lack, out of range if this one lacks it.
    /// `None` for other classes.
    #[inline]
    pub(super) fn place_of(&self, class: ScopeClass) -> Option<usize> {
        self.at.get(usize::from(rank(class))).map(|&at| at.into())
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

    /// Whether this path is a branch of `other`.
    pub fn is_branch_of(&self, other: &Self) -> bool {
        let from = self.from.as_ref();
        from.is_some_and(|from| ptr::eq(&raw const **from, other))
    }

    /// Whether this path is a branch of `other`, or a branch of such a branch.
    #[inline]
    pub fn begins_on(&self, other: &Self) -> bool {
        self.is_branch_of(other) || self.from().is_some_and(|from| from.is_branch_of(other))
    }

    /// Pays for the charge with credit of the path, which is charged on all nodes already. Returns
    /// whether there was enough, and whether each node is within the part of its limit that the
    /// charge may use.
    #[inline]
    pub fn take_credit(&self, version: LimitsVersion, charge: impl Charge) -> bool {
        if let Some(Slot::Connection(direction, uses_fd)) = charge.slot() {
            return self.take_conns(version, direction, uses_fd);
        }
        let (Some((kind, amount)), Some(credit)) = (charge.credit(), self.credit()) else {
            return false;
        };
        let stock = credit.stock(kind);
        stock.take(version, amount) && self.may_use(stock, version, amount, charge.level())
    }

    /// Whether each node had credit for a connection a moment ago.
    #[inline(always)]
    fn has_conns(&self, version: LimitsVersion, direction: Direction, uses_fd: UsesFd) -> bool {
        let mut nodes = self.iter();
        nodes.all(|node| node.conns.has_credit(version, direction, uses_fd))
    }

    /// Pays for a connection with credit of all nodes. Returns whether each of them had some.
    #[inline(always)]
    pub fn take_conns(
        &self,
        version: LimitsVersion,
        direction: Direction,
        uses_fd: UsesFd,
    ) -> bool {
        // Where connections are refused, often only one node has no credit. Then nothing is taken in vain.
        // (Credit that is put back wakes requests that wait. A request that took some in vain each time
        // would wake itself for ever. If another thread takes it after this look, it wakes itself once.)
        if !self.has_conns(version, direction, uses_fd) {
            return false;
        }
        for (at, node) in self.iter().enumerate() {
            if !node.conns.take_credit(version, direction, uses_fd) {
                if at > 0 {
                    self.put_back_conns(at, direction, uses_fd);
                }
                return false;
            }
        }
        // A path without nodes has no credit.
        !self.nodes.is_empty()
    }

    /// Puts credit back that was taken from the first nodes.
    #[cold]
    #[inline(never)]
    fn put_back_conns(&self, nodes: usize, direction: Direction, uses_fd: UsesFd) {
        let taken = self.iter().take(nodes);
        for node in taken.clone() {
            node.conns.release(direction, uses_fd);
        }
        let resources = Resources::of_connection(direction, uses_fd);
        self.home.waiters().released(taken, resources);
    }

    /// As [`take_credit`](Self::take_credit), for a charge of memory, from this stock, if its word is `guess`.
    #[inline]
    pub fn take_guessed(
        &self,
        (stock, guess): (&Stock, StockWord),
        version: LimitsVersion,
        charge: Memory,
    ) -> bool {
        let (amount, level) = (charge.size, charge.level);
        stock.take_guessed(guess, version, amount) && self.may_use(stock, version, amount, level)
    }

    /// Whether a charge of this level may use credit that was just taken. Otherwise puts it back.
    #[inline]
    fn may_use(&self, stock: &Stock, version: LimitsVersion, amount: u64, level: u8) -> bool {
        // All credit is within the limits, so a charge that may use the whole limit is paid for. Only
        // charges of memory may have a lower level.
        level == u8::MAX || self.is_within_or_put_back(stock, version, amount, level)
    }

    /// Whether the memory of each node is within the part of its limit that this level may use.
    /// Otherwise puts the credit back that was taken.
    // Not part of its callers: they stay small enough to become parts of their own callers.
    #[inline(never)]
    fn is_within_or_put_back(
        &self,
        stock: &Stock,
        version: LimitsVersion,
        amount: u64,
        level: u8,
    ) -> bool {
        // 1. The credit was taken before, so the usage of each node includes it. In the other order,
        //    another thread could fill the stock in between, with credit above that part.
        if self
            .iter()
            .all(|node| node.memory.is_within(version, level))
        {
            return true;
        }
        // 2. The usage is above that part, or it is only with the credit: the nodes decide.
        let (size, ticket) = (amount, Ticket::NOW);
        let charge = Memory {
            size,
            level,
            ticket,
        };
        self.put_back(stock, charge);
        false
    }

    /// Puts credit back that was taken for a charge of memory. If the stock takes nothing, the charge is
    /// cancelled on the nodes.
    pub fn put_back(&self, stock: &Stock, charge: Memory) {
        if !stock.put(charge.size) {
            self.cancel(charge);
        }
    }

    #[inline]
    pub fn cancel(&self, charge: impl Charge) {
        cancel_all(self.iter(), charge, self.home.waiters());
    }

    /// Takes back an amount that was granted: it becomes credit of the path, or else is released on
    /// the nodes. `before_nodes` is called before the release on the nodes, to record it. (With a
    /// recorder there is no credit.)
    #[inline(always)]
    pub fn release(&self, kind: Kind, amount: u64, before_nodes: impl FnOnce()) {
        let stock = self.credit().map(|credit| credit.stock(kind));
        if !stock.is_some_and(|stock| stock.put(amount)) {
            before_nodes();
            self.iter().for_each(|node| node.release(kind, amount));
            self.made_room(|| kind.resources());
        }
    }

    /// The stock of the shard of this number, if the path has credit.
    #[inline(always)]
    pub fn stock_in(&self, shard: usize, kind: Kind) -> Option<&Stock> {
        self.credit()?.stock_in(shard, kind)
    }

    /// Gives back all that a leaf held.
    #[inline]
    pub fn release_leaf(&self, slot: Slot, memory: u64) {
        match slot.kind() {
            Some(kind) => self.release(kind, 1, || {}),
            None => {
                self.iter().for_each(|node| node.release_slot(slot));
                self.made_room(|| slot.limits());
            }
        }
        if memory > 0 {
            self.release(Kind::Memory, memory, || {});
        }
    }

    /// Called after the nodes got something back: wakes requests that wait for it.
    #[inline(always)]
    pub fn made_room(&self, resources: impl FnOnce() -> Resources) {
        let waiters = self.home.waiters();
        if waiters.any() {
            waiters.wake_first(self.iter(), resources());
        }
    }

    pub fn lend_state(&self) -> &LendState {
        &self.lend_state
    }

    #[inline]
    pub fn credit(&self) -> Option<&Credit> {
        self.credit.get()
    }

    pub fn credit_or_new(&self) -> &Credit {
        self.credit.get_or_init(|| Box::new(Credit::new()))
    }
}

impl<H: Home> Shared<Path<H>> {
    /// The branch with a protocol or service of this name, made if absent. `None` if it is absent
    /// and this path has no use.
    ///
    /// If `leaves`, the caller may hand a use of this path over to the branch.
    #[inline(always)]
    pub fn branch(
        &self,
        name: &str,
        leaves: bool,
        make: impl Fn(Use<Path<H>>) -> Path<H>,
    ) -> Option<Use<Path<H>>> {
        self.links.branch_or_insert(name, leaves, || {
            // Only a path in use may grow a branch, which is a user of it. So a collected path
            // never has a branch again.
            let branch = make(self.try_join_in_word()?).into_shared();
            let name = branch.name().map_or_else(|| name.into(), Arc::clone);
            Some((name, branch))
        })
    }

    /// Removes a branch that had no use a moment ago. Returns whether that removed it: true for one
    /// caller only.
    pub fn remove_branch(&self, branch: &Self) -> bool {
        let name = branch.name();
        name.is_some_and(|name| self.links.remove_branch(name, branch))
    }
}

impl<H: Home> Collect for Path<H> {
    fn unused(this: &Shared<Self>) {
        H::path_unused(this);
    }

    #[inline]
    fn entry_uses(&self) -> &EntryUses {
        &self.entry_uses
    }

    fn before(&self) -> Option<&Shared<Self>> {
        self.from()
    }

    #[inline]
    fn shard_of_this_thread(&self) -> Option<(usize, &ShardUses)> {
        self.credit().map(Credit::uses_of_this_thread)
    }

    #[inline]
    fn shard(&self, number: usize) -> Option<&ShardUses> {
        self.credit()?.uses(number)
    }
}
