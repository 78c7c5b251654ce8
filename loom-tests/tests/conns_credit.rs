//! Prepaid connections of a node: each is taken once, whether it is opened, moved, closed or
//! recalled meanwhile; none causes a refusal; and no request that waits misses one.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{
    CONNECTION, Task, connection, conserved, lending_engine, nothing_waits, open, peer, peers,
    set_peer, with_queues, within,
};
use rcmgr_atomic::internals::{ConnsWord, Engine, Leaf, Node, PathKind, recall_conns};
use rcmgr_atomic::{Direction, Limits, Result};

/// A limit that is high enough to have credit of two connections in a stock below it.
const LIMIT: u64 = 256;

/// The capacity of a stock. It is filled with one connection at once.
const CAPACITY: u64 = 2;

fn system(limit: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = limit.into();
    limits
}

fn transient(limit: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.transient.conns_inbound = limit.into();
    limits
}

/// An engine with credit of connections. The stocks are there, and drained: loom does not see that a
/// thread that finds them comes after the one that made them.
fn engine(limits: Limits) -> Arc<Engine> {
    let engine = lending_engine(limits, 0, CAPACITY);
    engine.for_each_lasting_node(&mut |node| {
        node.conns.credit().begin();
    });
    engine
}

/// The node of the one peer, with stocks. The caller releases it.
fn peer_with_stocks(engine: &Arc<Engine>) -> Arc<Node> {
    let node = engine.peer(&peer());
    node.conns.credit().begin();
    node
}

fn try_connection(engine: &Arc<Engine>) -> Result<Leaf> {
    open(engine.opened_path(), CONNECTION)
}

/// The connections that a node is charged with, and those in use.
fn conns(engine: &Engine, node: &Node) -> (u64, u64) {
    (
        node.charged().conns_inbound,
        engine.stat(node).conns_inbound,
    )
}

fn inbound(count: u64) -> ConnsWord {
    ConnsWord::of(Direction::Inbound, count, 0)
}

/// Charges a node with many connections at once, within its limit.
fn hold(engine: &Engine, node: &Node, count: u64) {
    let version = engine.versions().get();
    assert!(node.conns.charge_batch(version, inbound(count)));
}

/// Checks that every node holds exactly these leaves, which are on one path, and that nothing is
/// left once they are closed and the credit is recalled.
fn at_rest(engine: &Engine, leaves: &[&Leaf]) {
    conserved(engine, leaves);
    leaves.iter().for_each(|leaf| leaf.close());
    engine.for_each_node(&mut |node| {
        recall_conns(node, engine.waiters());
        assert!(node.charged().is_zero(), "{}", node.id());
        assert_eq!(node.conns.credit().bound(), 0, "{}", node.id());
    });
}

#[test]
fn a_node_has_prepaid_connections() {
    loom::model(|| {
        let engine = engine(system(LIMIT));
        let one = connection(&engine);
        assert_eq!(conns(&engine, engine.system()), (2, 1));
        // The second takes the credit, and the third finds none: the next batch is charged.
        let two = connection(&engine);
        assert_eq!(conns(&engine, engine.system()), (2, 2));
        let three = connection(&engine);
        assert_eq!(conns(&engine, engine.system()), (4, 3));
        at_rest(&engine, &[&one, &two, &three]);
    });
}

#[test]
fn two_connections_take_the_same_credit() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let one = connection(&engine);
        let opener = engine.clone();
        let thread = thread::spawn(move || connection(&opener));
        let two = connection(&engine);
        let three = thread.join().unwrap();
        at_rest(&engine, &[&one, &two, &three]);
    });
}

/// Fails if a drained stock takes a connection back (`ConnsStockWord::more`), or if the refusal of a
/// connection recalls no credit.
#[test]
fn a_connection_closes_while_credit_is_recalled() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let one = connection(&engine);
        hold(&engine, engine.system(), LIMIT - 2);
        let closer = one.clone();
        let thread = thread::spawn(move || closer.close());
        // The charge leaves no room, the usage does.
        let two = try_connection(&engine).expect("credit is no reason to refuse");
        thread.join().unwrap();
        // Nor is the credit of the connection that was closed.
        let three = try_connection(&engine).expect("one was closed");
        assert!(try_connection(&engine).is_err());
        engine.system().conns.give_back(inbound(LIMIT - 2));
        at_rest(&engine, &[&two, &three]);
    });
}

/// Fails if the transient scope does not get the connection back.
#[test]
fn a_connection_moves_while_credit_is_recalled() {
    within(3, || {
        let engine = engine(transient(LIMIT));
        let one = connection(&engine);
        hold(&engine, engine.transient(), LIMIT - 2);
        let mover = one.clone();
        let of_peer = peer_with_stocks(&engine);
        let thread = thread::spawn(move || set_peer(&mover).unwrap());
        let two = try_connection(&engine).expect("credit is no reason to refuse");
        thread.join().unwrap();
        let three = try_connection(&engine).expect("one has moved");
        assert!(try_connection(&engine).is_err());
        engine.transient().conns.give_back(inbound(LIMIT - 2));
        one.close();
        engine.release_node(&of_peer);
        assert_eq!(peers(&engine), 0);
        at_rest(&engine, &[&two, &three]);
    });
}

#[test]
fn a_connection_moves_while_it_is_closed() {
    within(3, || {
        let engine = engine(transient(LIMIT));
        let (one, two) = (connection(&engine), connection(&engine));
        let closer = one.clone();
        let of_peer = peer_with_stocks(&engine);
        let thread = thread::spawn(move || closer.close());
        let _ = set_peer(&one);
        thread.join().unwrap();
        one.close();
        engine.release_node(&of_peer);
        assert_eq!(peers(&engine), 0);
        at_rest(&engine, &[&two]);
    });
}

/// Fails if credit is valid under later limits, too (`ConnsStockWord::is_valid_under`), or if the
/// version is not checked after credit was taken.
#[test]
fn limits_change_while_a_connection_is_opened_with_credit() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let one = connection(&engine);
        let set = engine.clone();
        let thread = thread::spawn(move || {
            set.set_limits(system(1));
            try_connection(&set).is_err()
        });
        let two = try_connection(&engine);
        let refused = thread.join().unwrap();
        assert!(refused, "the change was made");
        assert!(try_connection(&engine).is_err());
        match two {
            Ok(two) => at_rest(&engine, &[&one, &two]),
            Err(_) => at_rest(&engine, &[&one]),
        }
    });
}

/// Fails if a stock that was drained keeps what it is filled with, or if a batch that was not kept
/// is not given back.
#[test]
fn a_stock_is_filled_while_it_is_recalled() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let (one, two) = (connection(&engine), connection(&engine));
        let recaller = engine.clone();
        let thread = thread::spawn(move || {
            recall_conns(recaller.system(), recaller.waiters());
        });
        // There is no credit left: this charges the node, and fills the stock.
        let three = connection(&engine);
        thread.join().unwrap();
        at_rest(&engine, &[&one, &two, &three]);
    });
}

/// Fails if two threads open the same stock, or if the one that was too late keeps its batch or its
/// part of the bound.
#[test]
fn a_stock_is_opened_by_two_threads_at_once() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let opener = engine.clone();
        let thread = thread::spawn(move || connection(&opener));
        let one = connection(&engine);
        let two = thread.join().unwrap();
        at_rest(&engine, &[&one, &two]);
    });
}

#[test]
fn credit_is_recalled_by_two_threads_at_once() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let one = connection(&engine);
        let recaller = engine.clone();
        let recall = |engine: &Engine| recall_conns(engine.system(), engine.waiters());
        let thread = thread::spawn(move || recall(&recaller));
        recall(&engine);
        thread.join().unwrap();
        at_rest(&engine, &[&one]);
    });
}

#[test]
fn a_node_is_never_seen_below_its_leaf_while_credit_is_recalled() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let one = connection(&engine);
        let recaller = engine.clone();
        let thread = thread::spawn(move || {
            recall_conns(recaller.system(), recaller.waiters());
        });
        // With the credit in it, if the recall is under way.
        let used = engine.stat(engine.system()).conns_inbound;
        assert!((1..=2).contains(&used), "{used}");
        thread.join().unwrap();
        assert_eq!(engine.stat(engine.system()).conns_inbound, 1);
        at_rest(&engine, &[&one]);
    });
}

#[test]
fn a_node_is_never_seen_below_its_leaves_while_a_stock_is_filled() {
    within(3, || {
        let engine = engine(system(LIMIT));
        let (one, two) = (connection(&engine), connection(&engine));
        let opener = engine.clone();
        let thread = thread::spawn(move || connection(&opener));
        let used = engine.stat(engine.system()).conns_inbound;
        assert!((2..=4).contains(&used), "{used}");
        let three = thread.join().unwrap();
        at_rest(&engine, &[&one, &two, &three]);
    });
}

/// Fails if a node is not checked for requests that wait after a stock was opened
/// (`FillConns::try_fill`).
#[test]
fn a_node_gets_credit_while_a_request_begins_to_wait() {
    within(3, || {
        let engine = with_queues(engine(system(LIMIT)));
        // One node is enough, and a smaller model.
        let path = engine.lasting_path(PathKind::Connection, [engine.system()]);
        let opened = path.clone();
        let thread = thread::spawn(move || open(opened, CONNECTION).unwrap());
        // There is room for one more, but not beside a batch of credit.
        let version = engine.versions().get();
        let is_held = engine
            .system()
            .conns
            .charge_batch(version, inbound(LIMIT - 2));
        let mut task = Task::of_path(path, CONNECTION);
        task.poll();
        let one = thread.join().unwrap();

        let two = task.end().unwrap();
        if is_held {
            engine.system().conns.give_back(inbound(LIMIT - 2));
        }
        nothing_waits(&engine);
        one.close();
        two.close();
        at_rest(&engine, &[]);
    });
}

/// Fails if a request that waits leaves an empty stock open.
#[test]
fn a_connection_becomes_credit_while_a_request_begins_to_wait() {
    within(3, || {
        let engine = with_queues(engine(system(LIMIT)));
        let (one, two) = (connection(&engine), connection(&engine));
        hold(&engine, engine.system(), LIMIT - 2);
        let closer = two.clone();
        let thread = thread::spawn(move || closer.close());
        let mut task = Task::of_path(engine.opened_path(), CONNECTION);
        task.poll();
        thread.join().unwrap();

        let three = task.end().unwrap();
        engine.system().conns.give_back(inbound(LIMIT - 2));
        nothing_waits(&engine);
        at_rest(&engine, &[&one, &three]);
    });
}
