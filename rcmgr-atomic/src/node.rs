//! A node: a scope that others are charged on. Nodes are shared by threads, so no two
//! groups of resources share a cache line, and what is rarely written lies apart from them.
//!
//! How a node is charged is in `charge.rs`.

use std::sync::Arc;

use rcmgr_core::{
    Direction, Error, Limit, LimitExceeded, Priority, Refusals, ScopeClass, ScopeId, ScopeStat,
};

use crate::edition::{Edition, decode};
use crate::gauge::{ConnsGauge, MemoryGauge, Over, StreamsGauge};
use crate::refusals::RefusalCounts;
use crate::slot::Slot;
use crate::sync::{AtomicU64, Ordering};
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
    spans: AtomicU64,
    users: Users,
    refusals: RefusalCounts,
    /// Not zero if there may be credit charged here: see `lending.rs`.
    lent: AtomicU64,
}

impl Node {
    /// A node with a limit for either edition's slot.
    pub fn new(id: ScopeId, parent: Option<Arc<Node>>, limits: [Limit; 2]) -> Self {
        let refusals = RefusalCounts::new();
        // A peer, of which there are many, is prepared when it has a second connection.
        if !matches!(
            id.class(),
            ScopeClass::Peer | ScopeClass::ServicePeer | ScopeClass::ProtocolPeer
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
            spans: AtomicU64::new(0),
            users: Users::none(),
            refusals,
            lent: AtomicU64::new(0),
        }
    }

    // SeqCst, here and below: in one order with the lanes.
    pub fn is_lent(&self) -> bool {
        self.lent.load(Ordering::SeqCst) != 0
    }

    /// After a lane was filled.
    pub fn mark_lent(&self) {
        if !self.is_lent() {
            self.lent.store(1, Ordering::SeqCst);
        }
    }

    /// Before the lanes are drained.
    pub fn take_lent_mark(&self) {
        self.lent.store(0, Ordering::SeqCst);
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

    #[inline]
    pub fn release_memory(&self, size: u64) {
        self.memory.release(size);
    }

    /// Gives back all that a leaf held.
    #[inline]
    pub fn release_leaf(&self, slot: Slot, memory: u64) {
        match slot {
            Slot::Stream(direction) => self.streams.release(direction),
            Slot::Connection(direction, uses_fd) => self.conns.release(direction, uses_fd),
        }
        if memory > 0 {
            self.memory.release(memory);
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

    /// Spans are numbered from 1.
    pub fn next_span(&self) -> u32 {
        (self.spans.fetch_add(1, Ordering::Relaxed) + 1) as u32
    }
}

impl AsRef<Users> for Node {
    fn as_ref(&self) -> &Users {
        &self.users
    }
}
