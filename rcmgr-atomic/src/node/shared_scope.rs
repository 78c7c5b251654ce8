//! A node: a scope that leaves are charged on. Threads share nodes, so no two gauges share a cache
//! line, and fields that are rarely written lie apart from them.

use std::hint::black_box;
use std::sync::Arc;

use arrayvec::ArrayVec;
use rcmgr_core::{
    Direction, Error, Limit, LimitExceeded, Priority, Refusals, Resource, ScopeClass, ScopeId,
    ScopeStat,
};

use super::cache_line::CacheLine;
use super::dry_run::NodeDryRun;
use super::gauge::{ConnsGauge, MemoryGauge, StreamsGauge};
use super::users::Users;
use crate::counters::{Kind, MissedCell, Numbers, RefusalCounts, Slot};
use crate::limits::{LimitReached, LimitsVersion, decode};
use crate::sync::{AtomicU32, AtomicU64, Ordering, name_memory};
use crate::words::{Resources, WaitedWord};

/// The largest number of nodes that a leaf is charged on: the peer, its share of the protocol and
/// of the service, the protocol, the service, system.
pub const MAX_NODES: usize = 6;

/// The nodes of a path, in the order in which they are checked.
pub type Nodes = ArrayVec<Arc<Node>, MAX_NODES>;

/// The limit of a node.
#[derive(Debug, Clone, Copy)]
pub struct NodeLimit {
    pub enforced: Limit,
    /// The limit in the dry run, if there is one.
    pub dry_run: Option<Limit>,
}

/// A scope that leaves are charged on.
#[derive(Debug)]
pub struct Node {
    pub memory: CacheLine<MemoryGauge>,
    pub streams: CacheLine<StreamsGauge>,
    pub conns: CacheLine<ConnsGauge>,

    id: ScopeId,
    /// The node that a direct reservation is charged on besides this one.
    parent: Option<Arc<Node>>,
    /// Memory reserved on this node directly, in bytes.
    pub direct: AtomicU64,
    spans: Numbers,
    /// While this is above zero, each request to lend on this node is turned down and lowers it by
    /// one.
    back_off: AtomicU32,
    /// What requests wait for here: a [`WaitedWord`].
    waited: AtomicU32,
    users: Users,
    refusals: RefusalCounts,
    pub dry_run: NodeDryRun,
    /// An upper bound of the credit of each kind on this node: the capacity of the open stocks of
    /// the paths through it.
    credit_bound: [AtomicU64; Kind::ALL.len()],
}

impl Node {
    /// A node with limits for either slot.
    pub fn new(id: ScopeId, parent: Option<Arc<Node>>, limits: &[NodeLimit; 2]) -> Self {
        let dry_run = NodeDryRun::none();
        for (limit, version) in limits.iter().zip(LimitsVersion::FOR_EACH_SLOT) {
            dry_run.set_limit(version, limit.dry_run.as_ref());
        }
        let limits = limits.map(|limit| limit.enforced);
        let refusals = RefusalCounts::new();
        // There may be many nodes of the collected classes: they are prepared for several threads
        // when there is a second user.
        if !is_collected(id.class()) {
            refusals.spread();
        }
        Self {
            memory: CacheLine(MemoryGauge::new(limits.map(|limit| limit.memory))),
            streams: CacheLine(StreamsGauge::new(&limits)),
            conns: CacheLine(ConnsGauge::new(&limits)),
            id,
            parent,
            direct: AtomicU64::new(0),
            spans: Numbers::new(),
            back_off: AtomicU32::new(0),
            waited: AtomicU32::new(WaitedWord::NOTHING.0),
            users: Users::none(),
            refusals,
            dry_run,
            credit_bound: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The node in its place in memory, where its words stay.
    pub fn into_shared(self) -> Arc<Self> {
        let node = Arc::new(self);
        name_memory(&*node, || node.id.class().to_string());
        node
    }

    /// An upper bound of the credit of a kind on this node.
    pub fn credit_bound(&self, kind: Kind) -> u64 {
        // SeqCst, here and below: in one order with the words of the stocks.
        self.credit_bound[kind.index()].load(Ordering::SeqCst)
    }

    /// Called before a stock of this capacity is opened.
    pub fn raise_credit_bound(&self, kind: Kind, capacity: u64) {
        self.credit_bound[kind.index()].fetch_add(capacity, Ordering::SeqCst);
    }

    /// Called after a stock of this capacity was closed and its credit given back.
    pub fn lower_credit_bound(&self, kind: Kind, capacity: u64) {
        self.credit_bound[kind.index()].fetch_sub(capacity, Ordering::SeqCst);
    }

    /// Turns down the next `times` requests to lend on this node.
    pub fn set_back_off(&self, times: u32) {
        // Relaxed, here and below: a throttle may be approximate.
        self.back_off.store(times, Ordering::Relaxed);
    }

    /// Whether a request to lend on this node is turned down.
    pub fn backs_off(&self) -> bool {
        let times = self.back_off.load(Ordering::Relaxed);
        if times > 0 {
            self.back_off.store(times - 1, Ordering::Relaxed);
        }
        times > 0
    }

    /// What requests wait for here.
    #[inline]
    pub fn waited(&self) -> WaitedWord {
        // SeqCst, here and below: in one order with the steps that make room. See
        // `waiting/waiters.rs`.
        WaitedWord(self.waited.load(Ordering::SeqCst))
    }

    /// Says whether requests wait for a resource: the priority level of the first, or `None`. The
    /// caller holds the lock of their queue.
    pub fn set_waited(&self, resource: Resource, first: Option<u8>) {
        let mut word = self.waited();
        // Queues of other resources may change the word meanwhile.
        while let Err(now) = self.waited.compare_exchange(
            word.0,
            word.with(resource, first).0,
            Ordering::SeqCst,
            Ordering::SeqCst,
        ) {
            word = WaitedWord(now);
        }
    }

    /// Whether requests wait for one of these resources. Then no credit of them is lent.
    pub fn is_waited_for(&self, resources: Resources) -> bool {
        !self.waited().resources().intersection(resources).is_empty()
    }

    /// Whether leaves may move to the node: it is not over its limit of memory, of streams or of
    /// connections, both directions together. (A lowered limit may be below what is in use.) If it is so
    /// once under a version, it stays so under that version: each later charge is checked.
    pub fn may_gain_leaves(&self, version: LimitsVersion) -> bool {
        // The usage is read SeqCst. So a charge under an earlier version, which found that still current,
        // is seen here.
        self.memory.is_within(version, u8::MAX)
            && self.streams.check_total(version).is_ok()
            && self.conns.check_total(version).is_ok()
    }

    /// The charge of a kind, credit included.
    pub fn used(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Memory => self.memory.used(),
            Kind::Streams(direction) => self.streams.used().get(direction),
        }
    }

    /// Gives back an amount that was granted, or was credit.
    pub fn release(&self, kind: Kind, amount: u64) {
        match kind {
            Kind::Memory => self.memory.release(amount),
            Kind::Streams(direction) => self.streams.release(direction, amount),
        }
    }

    /// Reads a word of each part of the node, so that the processor fetches all parts at once.
    ///
    /// Nodes lie anywhere in memory. A loop that visits them one by one would wait for each part of
    /// each node. The reads here do not depend on each other, so the processor need not wait
    /// between them.
    pub fn fetch(self: &Arc<Self>) {
        black_box([
            Arc::strong_count(self) as u64,
            self.memory.used(),
            self.streams.used().0,
            self.conns.peak_fd(),
            self.refusals.is_spread().into(),
            self.class() as u64,
            self.credit_bound(Kind::Memory),
        ]);
    }

    pub fn users(&self) -> &Users {
        &self.users
    }

    pub fn id(&self) -> &ScopeId {
        &self.id
    }

    pub fn class(&self) -> ScopeClass {
        self.id.class()
    }

    /// This node, then the nodes that a direct reservation on it is charged on too, in the order in
    /// which they are checked.
    pub fn lineage(&self) -> impl Iterator<Item = &Node> + Clone {
        std::iter::successors(Some(self), |node| node.parent.as_deref())
    }

    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    pub fn missed(&self) -> &MissedCell {
        self.memory.missed()
    }

    #[inline]
    pub fn release_memory(&self, size: u64) {
        self.memory.release(size);
    }

    /// Gives back the slot that a leaf held.
    #[inline]
    pub fn release_slot(&self, slot: Slot) {
        match slot {
            Slot::Stream(direction) => self.streams.release(direction, 1),
            Slot::Connection(direction, uses_fd) => self.conns.release(direction, uses_fd),
        }
    }

    /// Counts a refusal.
    pub fn count_refusal(&self, resource: Resource, slot: Option<Slot>) {
        self.refusals.count(resource, slot);
    }

    /// The error of a refusal.
    #[cold]
    pub fn limit_exceeded(
        &self,
        over: LimitReached,
        slot: Option<Slot>,
        requested: u64,
        priority: Option<Priority>,
    ) -> Error {
        LimitExceeded {
            scope: self.id.clone().into(),
            resource: over.resource,
            direction: slot.map(Slot::direction),
            requested,
            used: over.used,
            limit: over.limit,
            priority,
        }
        .into()
    }

    /// Whether several threads that are refused at once count in different places.
    #[inline]
    pub fn are_refusals_spread(&self) -> bool {
        self.refusals.is_spread()
    }

    /// Prepares for several threads that are refused at once. There may be many nodes like this one.
    #[inline]
    pub fn spread_refusals(&self) {
        self.refusals.spread_a_little();
    }

    /// All charges, credit included.
    pub fn charged(&self) -> ScopeStat {
        let (streams, conns) = (self.streams.used(), self.conns.used());
        ScopeStat {
            streams_inbound: streams.get(Direction::Inbound),
            streams_outbound: streams.get(Direction::Outbound),
            conns_inbound: conns.get(Direction::Inbound),
            conns_outbound: conns.get(Direction::Outbound),
            fd: conns.fd(),
            memory: self.memory.used(),
        }
    }

    pub fn peak(&self) -> ScopeStat {
        ScopeStat {
            streams_inbound: self.streams.peak(Direction::Inbound),
            streams_outbound: self.streams.peak(Direction::Outbound),
            conns_inbound: self.conns.peak(Direction::Inbound),
            conns_outbound: self.conns.peak(Direction::Outbound),
            fd: self.conns.peak_fd(),
            memory: self.memory.peak(),
        }
    }

    pub fn refusals(&self) -> Refusals {
        self.refusals.get()
    }

    pub fn limit(&self, version: LimitsVersion) -> Limit {
        let mut limit = Limit::UNLIMITED;
        limit.memory = decode(self.memory.limit(version));
        self.streams.read_limit(version, &mut limit);
        self.conns.read_limit(version, &mut limit);
        limit
    }

    /// Only one thread at a time may call this, from within
    /// [`CurrentVersion::change`](crate::limits::CurrentVersion::change).
    pub fn set_limit(&self, version: LimitsVersion, limit: &NodeLimit) {
        self.dry_run.set_limit(version, limit.dry_run.as_ref());
        let limit = &limit.enforced;
        self.memory.set_limit(version, limit.memory);
        self.streams.set_limit(version, limit);
        self.conns.set_limit(version, limit);
    }

    /// The numbers of its spans.
    pub fn span_numbers(&self) -> &Numbers {
        &self.spans
    }
}

/// Whether scopes of this class are collected when nothing uses them.
pub fn is_collected(class: ScopeClass) -> bool {
    matches!(
        class,
        ScopeClass::Peer
            | ScopeClass::Protocol
            | ScopeClass::ServicePeer
            | ScopeClass::ProtocolPeer
    )
}

/// Whether the node is one of the two transient scopes, for leaves that are not attached yet.
pub fn is_transient(node: &Node) -> bool {
    matches!(
        node.class(),
        ScopeClass::Transient | ScopeClass::AllowlistedTransient
    )
}

/// The position of a class in the order in which nodes are checked.
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
