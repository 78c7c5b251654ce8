//! A node: a scope that others are charged on. Nodes are shared by threads, so no two
//! groups of resources share a cache line, and what is rarely written lies apart from them.
//!
//! How a node is charged is in `charge.rs`.

use std::hint::black_box;
use std::sync::Arc;

use rcmgr_core::{
    Direction, Error, Limit, LimitExceeded, Priority, Refusals, ScopeClass, ScopeId, ScopeStat,
};

use crate::credit::Kind;
use crate::edition::{Edition, decode};
use crate::gauge::{ConnsGauge, MemoryGauge, Over, StreamsGauge};
use crate::numbers::Numbers;
use crate::record::MissedCell;
use crate::refusals::RefusalCounts;
use crate::slot::Slot;
use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::users::Users;

/// A scope that others are charged on.
#[derive(Debug)]
pub struct Node {
    pub(crate) memory: MemoryGauge,
    pub(crate) streams: StreamsGauge,
    pub(crate) conns: ConnsGauge,

    id: ScopeId,
    /// What a direct reservation is charged on besides this node.
    parent: Option<Arc<Node>>,
    /// Memory reserved on this node directly, in bytes.
    pub(crate) direct: AtomicU64,
    spans: Numbers,
    /// How often nothing is to be lent here.
    quiet: AtomicU32,
    users: Users,
    refusals: RefusalCounts,
    /// What of each kind the open stocks of the paths through this node may hold: see `lending.rs`.
    lent: [AtomicU64; Kind::ALL.len()],
}

impl Node {
    /// A node with a limit for either edition's slot.
    pub fn new(id: ScopeId, parent: Option<Arc<Node>>, limits: [Limit; 2]) -> Self {
        let refusals = RefusalCounts::new();
        // Peers and protocols, of which there may be many, are prepared when there is a second user.
        if !matches!(
            id.class(),
            ScopeClass::Peer
                | ScopeClass::Protocol
                | ScopeClass::ServicePeer
                | ScopeClass::ProtocolPeer
        ) {
            refusals.spread();
        }
        Self {
            memory: MemoryGauge::new(limits.map(|limit| limit.memory)),
            streams: StreamsGauge::new(&limits),
            conns: ConnsGauge::new(&limits),
            id,
            parent,
            direct: AtomicU64::new(0),
            spans: Numbers::new(),
            quiet: AtomicU32::new(0),
            users: Users::none(),
            refusals,
            lent: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// The most credit of a kind that there can be on this node.
    pub fn lent(&self, kind: Kind) -> u64 {
        // SeqCst, here and below: in one order with the stocks.
        self.lent[kind.index()].load(Ordering::SeqCst)
    }

    /// Before a stock is opened for as much.
    pub fn lend(&self, kind: Kind, most: u64) {
        self.lent[kind.index()].fetch_add(most, Ordering::SeqCst);
    }

    /// After a stock is closed and given back.
    pub fn lend_no_more(&self, kind: Kind, most: u64) {
        self.lent[kind.index()].fetch_sub(most, Ordering::SeqCst);
    }

    /// Nothing is to be lent here the next so many times that it is asked.
    pub fn be_quiet(&self, times: u32) {
        // Relaxed, here and below: it is only to be seldom.
        self.quiet.store(times, Ordering::Relaxed);
    }

    /// Whether nothing is to be lent here now.
    pub fn is_quiet(&self) -> bool {
        let quiet = self.quiet.load(Ordering::Relaxed);
        if quiet > 0 {
            self.quiet.store(quiet - 1, Ordering::Relaxed);
        }
        quiet > 0
    }

    /// What is charged of a kind, credit included.
    pub fn used(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Memory => self.memory.used(),
            Kind::Streams(direction) => self.streams.used().get(direction),
        }
    }

    /// Gives back what was used, or could have been.
    pub fn release(&self, kind: Kind, amount: u64) {
        match kind {
            Kind::Memory => self.memory.release(amount),
            Kind::Streams(direction) => self.streams.release(direction, amount),
        }
    }

    /// Reads a word of each part, for nothing but that it is near when it is looked at next.
    ///
    /// Nodes lie anywhere in memory. When one is looked at after the other, the processor waits for
    /// each, and for some of its parts by themselves; what is asked for here it need not wait for
    /// before it goes on to ask for the next.
    pub fn fetch(self: &Arc<Self>) {
        black_box([
            Arc::strong_count(self) as u64,
            self.memory.used(),
            self.streams.used().0,
            self.conns.peak_fd(),
            self.refusals.is_spread().into(),
            self.class() as u64,
            self.lent(Kind::Memory),
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

    /// This node and those that a direct reservation on it is charged on, in the order in which
    /// they are asked.
    pub fn lineage(&self) -> impl Iterator<Item = &Node> + Clone {
        std::iter::successors(Some(self), |node| node.parent.as_deref())
    }

    pub fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    pub(crate) fn missed(&self) -> &MissedCell {
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

    /// Counts a refusal, and names it.
    #[cold]
    pub fn refuse(
        &self,
        over: Over,
        direction: Option<Direction>,
        requested: u64,
        priority: Option<Priority>,
    ) -> Error {
        self.refusals.count(over.resource, direction);
        LimitExceeded {
            scope: self.id.clone().into(),
            resource: over.resource,
            direction,
            requested,
            used: over.used,
            limit: over.limit,
            priority,
        }
        .into()
    }

    /// Several threads may be refused at a time from now on.
    pub fn spread_refusals(&self) {
        self.refusals.spread();
    }

    /// What is charged, credit included.
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

    pub fn limit(&self, edition: Edition) -> Limit {
        let mut limit = Limit::UNLIMITED;
        limit.memory = decode(self.memory.limit(edition));
        self.streams.read_limit(edition, &mut limit);
        self.conns.read_limit(edition, &mut limit);
        limit
    }

    /// Only one writer at a time, from within [`Editions::change`](crate::edition::Editions).
    pub fn set_limit(&self, edition: Edition, limit: &Limit) {
        self.memory.set_limit(edition, limit.memory);
        self.streams.set_limit(edition, limit);
        self.conns.set_limit(edition, limit);
    }

    /// The numbers of its spans.
    pub fn span_numbers(&self) -> &Numbers {
        &self.spans
    }
}

impl AsRef<Users> for Node {
    fn as_ref(&self) -> &Users {
        &self.users
    }
}
