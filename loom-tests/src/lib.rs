//! Loom models of `rcmgr-atomic`. They run the real code: its shim, `sync.rs`, gives it the atomics
//! and locks of loom.
//!
//! `just loom` runs them. Without `--cfg loom` this crate is empty. Each model has a few threads,
//! and its name says which operations meet. Most models end with a check of conservation: when all
//! threads have ended, each counter is exactly the sum of what its leaves hold.
//!
//! A model that is too large to explore in full has a bound on the number of preemptions: see
//! `within`.
#![cfg(loom)]
#![allow(missing_debug_implementations)]

mod task;

use std::sync::Arc;

pub use task::{Opened, Room, Task};

use rcmgr_atomic::address::{AddressLimits, Addresses};
use rcmgr_atomic::internals::{
    CreditOptions, Engine, Leaf, Node, Path, PathKind, Shared, Slot, Use, charge_new,
};
use rcmgr_atomic::{
    Direction, LimitValue, Limits, PeerId, ScopeClass, ScopeStat, SystemClock, UsesFd,
};

/// An inbound connection without a file descriptor.
pub const CONNECTION: Slot = Slot::Connection(Direction::Inbound, UsesFd::No);

/// Explores a model with at most this many preemptions: for models that take more than a minute
/// without a bound. `LOOM_MAX_PREEMPTIONS` can only lower the bound.
pub fn within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    let most = builder.preemption_bound.unwrap_or(preemptions);
    builder.preemption_bound = Some(most.min(preemptions));
    // The threads have many steps, and none of them spins.
    builder.max_branches = 10_000;
    builder.check(model);
}

/// Whether a load may see a value that has been replaced. loom takes SeqCst accesses for AcqRel ones. So
/// a model that needs the one order of all SeqCst accesses does nothing then: it would see what no machine
/// shows.
pub fn loads_may_be_stale() -> bool {
    std::env::var_os("RCMGR_LOOM_STALE_LOADS").is_some()
}

/// An engine without credit: every reservation charges every scope of its path.
pub fn engine(limits: Limits) -> Arc<Engine> {
    engine_with(limits, credit(0, 0))
}

/// An engine with credit: a path has some after its first two charges, at most this many bytes and
/// streams.
pub fn lending_engine(limits: Limits, memory: u64, streams: u64) -> Arc<Engine> {
    engine_with(limits, credit(memory, streams))
}

/// An engine with credit of memory, where one path lends at a time.
pub fn one_lender_engine(limits: Limits, memory: u64) -> Arc<Engine> {
    let one = CreditOptions {
        most_lenders: 1,
        ..credit(memory, 0)
    };
    engine_with(limits, one)
}

/// Makes the queues of an engine, so that a model explores each look at them. (Without queues, the
/// engine does not look.)
pub fn with_queues(engine: Arc<Engine>) -> Arc<Engine> {
    let _ = engine.waiters().ticket();
    engine
}

/// Checks that no request waits, and that no node says so.
pub fn nothing_waits(engine: &Engine) {
    assert!(engine.waiters().list().is_empty());
    assert!(!engine.waiters().any());
    engine.for_each_node(&mut |node| {
        assert!(node.waited().resources().is_empty(), "{}", node.id());
    });
}

fn credit(most_memory: u64, most_slots: u64) -> CreditOptions {
    CreditOptions {
        most_memory,
        most_slots,
        warm: 0,
        most_lenders: 8,
    }
}

fn engine_with(limits: Limits, credit: CreditOptions) -> Arc<Engine> {
    let clock = Arc::new(SystemClock::new());
    let none = AddressLimits::default();
    let addresses = Addresses::new(none, LimitValue::Unlimited, clock.clone());
    Arc::new(Engine::new(limits, addresses, clock, credit))
}

/// The one peer of the models.
pub fn peer() -> PeerId {
    "a".parse().expect("a peer id")
}

/// Opens a leaf, as the handles do.
pub fn open(path: Use<Path>, slot: Slot) -> rcmgr_atomic::Result<Leaf> {
    charge_new(&path, slot)?;
    Ok(Leaf::charged(path, slot))
}

/// A connection without a peer: it is charged on transient and system.
pub fn connection(engine: &Arc<Engine>) -> Arc<Leaf> {
    Arc::new(open(engine.opened_path(), CONNECTION).expect("there is room"))
}

/// The same, in the reference count of a handle, so that spans of it can be opened.
pub fn shared_connection(engine: &Arc<Engine>) -> Shared<Leaf> {
    Shared::new(open(engine.opened_path(), CONNECTION).expect("there is room"))
}

/// An inbound stream with the one peer.
pub fn stream(engine: &Arc<Engine>) -> rcmgr_atomic::Result<Arc<Leaf>> {
    let path = engine.peer_path(PathKind::Stream, &peer());
    open(path, Slot::Stream(Direction::Inbound)).map(Arc::new)
}

/// Sets the protocol of a stream.
pub fn set_protocol(leaf: &Leaf) -> rcmgr_atomic::Result<()> {
    let mut mover = leaf.mover()?;
    let path = mover.path();
    mover.advance(path.shared_home().protocol_path(mover.from(), "p"))
}

/// Sets the peer of a connection.
pub fn set_peer(leaf: &Leaf) -> rcmgr_atomic::Result<()> {
    let mut mover = leaf.mover()?;
    let path = mover.path();
    if path.node(ScopeClass::Peer).is_some() {
        return Err(leaf.closed());
    }
    let next = path.shared_home().peer_path(PathKind::Connection, &peer());
    mover.advance(Some(next))
}

/// The charge of a node, credit included: connections, and bytes of memory.
pub fn usage(node: &Node) -> (u64, u64) {
    let stat = node.charged();
    (stat.conns(), stat.memory)
}

/// Checks that every node holds exactly the sum of these leaves, which are on one path.
pub fn conserved(engine: &Engine, leaves: &[&Leaf]) {
    let mut held = (0, 0);
    for leaf in leaves {
        let ScopeStat {
            conns_inbound,
            memory,
            ..
        } = leaf.stat();
        held = (held.0 + conns_inbound, held.1 + memory);
    }
    let mut nodes = 0;
    engine.for_each_node(&mut |node| {
        let on_the_path = leaves
            .iter()
            .any(|leaf| leaf.path().iter().any(|other| other.id() == node.id()));
        let expected = if on_the_path { held } else { (0, 0) };
        let used = engine.stat(node);
        assert_eq!((used.conns(), used.memory), expected, "{}", node.id());
        nodes += 1;
    });
    assert!(nodes >= 2, "system and transient are always there");
}

/// How many peers are known.
pub fn peers(engine: &Engine) -> usize {
    let mut count = 0;
    engine.for_each_peer(&mut |_| count += 1);
    count
}

/// How many paths lend.
pub fn lenders(engine: &Engine) -> usize {
    let lenders = engine.lending().lenders();
    lenders
        .iter()
        .filter(|path| path.lend_state().lends())
        .count()
}
