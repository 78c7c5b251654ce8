//! What nothing uses is gone at once, and never while something uses it.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{connection, conserved, engine, peer, peers, set_peer, stream, usage, within};
use rcmgr_atomic::internals::PathKind;
use rcmgr_atomic::{Limits, Priority};

#[test]
fn collection_of_a_node_against_its_lookup() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let node = engine.peer(&peer());
        let other = engine.clone();
        let thread = thread::spawn(move || other.release_node(&node));
        let found = engine.peer(&peer());
        thread.join().unwrap();

        let again = engine.peer(&peer());
        assert!(Arc::ptr_eq(&found, &again), "who is used stays findable");
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
fn a_late_reservation_finds_the_path_gone() {
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
fn a_node_that_is_made_while_limits_change() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let set = engine.clone();
        let mut after = Limits::unlimited();
        after.peer_default.memory = 7.into();
        let thread = thread::spawn(move || set.set_limits(after));
        let node = engine.peer(&peer());
        thread.join().unwrap();

        assert_eq!(engine.limit(&node).memory, 7.into());
        // The next edition, which changes nothing about it, has it too.
        engine.set_limit(engine.system(), None);
        assert_eq!(engine.limit(&node).memory, 7.into());
        engine.release_node(&node);
        assert_eq!(peers(&engine), 0);
    });
}

#[test]
fn a_path_is_made_anew_before_the_last_user_of_the_old_one_takes_that_out() {
    within(2, || {
        let engine = engine(Limits::unlimited());
        let one = stream(&engine).unwrap();
        let thread = thread::spawn(move || one.close());
        stream(&engine).unwrap().close();
        let last = stream(&engine).unwrap();
        thread.join().unwrap();

        let found = engine.peer_path(PathKind::Stream, &peer());
        assert!(found.is(last.path()), "who is used stays findable");
        drop(found);
        last.close();
        assert_eq!(peers(&engine), 0);
    });
}
