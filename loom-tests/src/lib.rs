//! Loom models of `rcmgr-atomic`, on the real code through its one shim, `sync.rs`.
//!
//! `just loom` runs them; built without `--cfg loom` there is nothing here. Each model is a few
//! threads and one question, which its name asks, and ends by checking conservation: at rest every
//! counter is exactly what is held under it.
//!
//! Where a model is not explored in whole, the bound on preemptions is named beside it.
#![cfg(loom)]

use std::sync::Arc;

use rcmgr_atomic::address::{AddressConfig, Addresses};
use rcmgr_atomic::internals::{
    CreditOptions, Engine, Leaf, Node, Path, PathKind, Shared, Slot, Use, charge_new,
};
use rcmgr_atomic::{
    Direction, LimitValue, Limits, PeerId, ScopeClass, ScopeStat, SystemClock, UsesFd,
};

/// An inbound connection without a file descriptor.
pub const CONNECTION: Slot = Slot::Connection(Direction::Inbound, UsesFd::No);

/// Explores a model with at most this many preemptions: for those that take more than a minute
/// without a bound.
pub fn within(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    // A few threads with many steps each: none of them spins.
    builder.max_branches = 10_000;
    builder.check(model);
}

/// What all scopes of a model share, without credit: every reservation charges every scope.
pub fn engine(limits: Limits) -> Arc<Engine> {
    engine_with(limits, credit(0, 0))
}

/// The same with credit: every path has some after its first two charges, and at most so many bytes
/// and streams.
pub fn lending_engine(limits: Limits, memory: u64, streams: u64) -> Arc<Engine> {
    engine_with(limits, credit(memory, streams))
}

/// The same for memory, with one path that lends at a time.
pub fn one_lender_engine(limits: Limits, memory: u64) -> Arc<Engine> {
    let one = CreditOptions {
        most_lenders: 1,
        ..credit(memory, 0)
    };
    engine_with(limits, one)
}

fn credit(most_memory: u64, most_streams: u64) -> CreditOptions {
    CreditOptions {
        most_memory,
        most_streams,
        warm: 0,
        most_lenders: 8,
    }
}

fn engine_with(limits: Limits, credit: CreditOptions) -> Arc<Engine> {
    let clock = Arc::new(SystemClock::new());
    let no_limits = AddressConfig::none();
    let addresses = Addresses::new(no_limits, LimitValue::Unlimited, clock.clone());
    let addresses = addresses.expect("no limits work");
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

/// A connection of which nothing is known yet: it is charged on transient and system.
pub fn connection(engine: &Arc<Engine>) -> Arc<Leaf> {
    Arc::new(open(engine.opened_path(), CONNECTION).expect("there is room"))
}

/// The same, as a handle holds it, which spans can be opened of.
pub fn shared_connection(engine: &Arc<Engine>) -> Shared<Leaf> {
    Shared::new(open(engine.opened_path(), CONNECTION).expect("there is room"))
}

/// An inbound stream with the one peer.
pub fn stream(engine: &Arc<Engine>) -> rcmgr_atomic::Result<Arc<Leaf>> {
    let path = engine.peer_path(PathKind::Stream, &peer());
    open(path, Slot::Stream(Direction::Inbound)).map(Arc::new)
}

/// Says what a stream speaks.
pub fn set_protocol(leaf: &Leaf) -> rcmgr_atomic::Result<()> {
    let mut mover = leaf.mover()?;
    let path = mover.path();
    mover.advance(path.home().protocol_path(path, "p"))
}

/// Says who is at the other end.
pub fn set_peer(leaf: &Leaf) -> rcmgr_atomic::Result<()> {
    let mut mover = leaf.mover()?;
    let path = mover.path();
    if path.node(ScopeClass::Peer).is_some() {
        return Err(leaf.closed());
    }
    let next = path.home().peer_path(PathKind::Connection, &peer());
    mover.advance(Some(next))
}

/// What is charged in all: connections, and bytes, credit included.
pub fn usage(node: &Node) -> (u64, u64) {
    let stat = node.charged();
    (stat.conns(), stat.memory)
}

/// Checks that every node holds exactly what these leaves, which are on one path, hold.
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
