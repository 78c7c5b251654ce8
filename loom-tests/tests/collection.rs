//! Collection: a scope is removed as soon as nothing uses it, and never while something uses it.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{connection, conserved, engine, peer, peers, set_peer, stream, usage, within};
use rcmgr_atomic::internals::{Engine, Leaf, Owner, PathKind, SpanState, stream_path};
use rcmgr_atomic::{Direction, Limit, Limits, Priority, ScopeClass};

#[test]
fn a_node_is_collected_while_it_is_looked_up() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let node = engine.peer(&peer());
        let other = engine.clone();
        let thread = thread::spawn(move || other.release_node(&node));
        let found = engine.peer(&peer());
        thread.join().unwrap();

        let again = engine.peer(&peer());
        assert!(Arc::ptr_eq(&found, &again), "a lookup finds the one in use");
        engine.release_node(&again);
        engine.release_node(&found);
        assert_eq!(peers(&engine), 0);
    });
}

#[test]
fn the_last_connection_of_a_peer_closes_while_another_comes() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let (one, two) = (connection(&engine), connection(&engine));
        set_peer(&one).unwrap();
        let other = one.clone();
        let thread = thread::spawn(move || other.close());
        set_peer(&two).unwrap();
        thread.join().unwrap();

        assert_eq!(peers(&engine), 1);
        assert_eq!(usage(&engine.peer(&peer())), (1, 0));
        conserved(&engine, &[&two]);
    });
}

#[test]
fn a_late_reservation_finds_its_path_collected() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        set_peer(&leaf).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || drop(other.reserve(1, Priority::Always)));
        leaf.close();
        thread.join().unwrap();

        assert_eq!(peers(&engine), 0);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_node_is_made_while_limits_change() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let set = engine.clone();
        let mut after = Limits::unlimited();
        after.peer_default.memory = 7.into();
        let thread = thread::spawn(move || set.set_limits(after));
        let node = engine.peer(&peer());
        thread.join().unwrap();

        assert_eq!(engine.limit(&node).memory, 7.into());
        // The next version does not change this limit, and has it, too.
        engine.set_limit(engine.system(), None);
        assert_eq!(engine.limit(&node).memory, 7.into());
        engine.release_node(&node);
        assert_eq!(peers(&engine), 0);
    });
}

#[test]
fn a_path_is_made_again_before_the_last_user_removes_the_old_one() {
    within(2, || {
        let engine = engine(Limits::unlimited());
        let one = stream(&engine).unwrap();
        let thread = thread::spawn(move || one.close());
        stream(&engine).unwrap().close();
        let last = stream(&engine).unwrap();
        thread.join().unwrap();

        let found = engine.peer_path(PathKind::Stream, &peer());
        assert!(found.is(last.path()), "a lookup finds the one in use");
        drop(found);
        last.close();
        assert_eq!(peers(&engine), 0);
    });
}

/// Whether the peer has room for a stream that is opened by its id.
fn has_room(engine: &Arc<Engine>) -> bool {
    stream_path(engine, &peer(), Direction::Inbound).is_ok()
}

/// An engine whose peer may have one stream, and that stream. Two more were refused, so the peer is
/// remembered as one that refused.
fn refused_peer() -> (Arc<Engine>, Arc<Leaf>) {
    let mut limits = Limits::unlimited();
    limits.peer_default.streams_inbound = 1.into();
    let engine = engine(limits);
    let one = stream(&engine).unwrap();
    for _ in 0..2 {
        assert!(!has_room(&engine));
    }
    (engine, one)
}

#[test]
fn a_peer_that_refused_is_collected_while_it_is_asked_again() {
    within(3, || {
        let (engine, one) = refused_peer();
        let thread = thread::spawn(move || one.close());
        has_room(&engine);
        thread.join().unwrap();

        assert_eq!(peers(&engine), 0);
        assert!(has_room(&engine));
        assert_eq!(peers(&engine), 0);
    });
}

#[test]
fn a_peer_that_refused_is_made_again_while_it_is_asked_again() {
    within(2, || {
        let (engine, one) = refused_peer();
        let other = engine.clone();
        let thread = thread::spawn(move || {
            one.close();
            stream(&other).unwrap()
        });
        has_room(&engine);
        let two = thread.join().unwrap();

        assert!(!has_room(&engine));
        two.close();
        assert!(has_room(&engine));
        assert_eq!(peers(&engine), 0);
    });
}

#[test]
fn a_peer_that_refused_gets_another_limit_while_it_is_asked_again() {
    within(2, || {
        let (engine, one) = refused_peer();
        let other = engine.clone();
        let thread = thread::spawn(move || {
            let node = other.peer(&peer());
            other.set_limit(&node, Some(Limit::UNLIMITED));
            other.release_node(&node);
        });
        let refused = u64::from(!has_room(&engine));
        thread.join().unwrap();

        let counted = engine.refusals(ScopeClass::Peer).streams_inbound;
        assert_eq!(counted, 2 + refused, "each refusal is counted once");
        assert!(has_room(&engine));
        one.close();
        assert_eq!(peers(&engine), 0);
    });
}

#[test]
fn a_peer_that_refused_is_collected_while_a_closed_span_of_it_is_asked_for_a_span() {
    within(2, || {
        let mut limits = Limits::unlimited();
        limits.peer_default.streams_inbound = 0.into();
        let engine = engine(limits);
        let owner = Owner::Node(engine.peer(&peer()), engine.clone());
        let span = SpanState::begin(owner).unwrap();
        let path = engine.peer_path(PathKind::Stream, &peer());
        for _ in 0..2 {
            assert!(!has_room(&engine));
        }
        drop(path);
        span.close();
        engine.set_limits(Limits::unlimited());
        let thread = thread::spawn(move || SpanState::begin(Owner::Span(span)).is_ok());
        assert!(has_room(&engine), "there is no limit now");
        assert!(!thread.join().unwrap());
        assert_eq!(peers(&engine), 0);
    });
}
