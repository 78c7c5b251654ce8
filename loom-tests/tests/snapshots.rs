//! What one thread sees of another's steps: whoever is charged for something is never seen to hold
//! less than it.
#![cfg(loom)]

use loom::thread;
use loom_tests::{connection, engine, shared_connection, usage};
use rcmgr_atomic::internals::{Owner, SpanState};
use rcmgr_atomic::{Limits, Priority};

#[test]
fn is_a_node_seen_below_its_leaf_when_that_reserves() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).unwrap());
        let held = leaf.stat().memory;
        assert!(usage(engine.system()).1 >= held);
        thread.join().unwrap();
    });
}

#[test]
fn is_a_node_seen_below_its_leaf_when_that_releases() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        leaf.reserve(1, Priority::Always).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || other.release(1));
        let (_, charged) = usage(engine.system());
        assert!(charged >= leaf.stat().memory);
        thread.join().unwrap();
    });
}

#[test]
fn is_an_owner_seen_below_its_span() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        let span = SpanState::begin(Owner::Leaf(leaf.clone().into())).unwrap();
        let other = span.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).unwrap());
        let held = span.stat().memory;
        assert!(leaf.stat().memory >= held);
        thread.join().unwrap();
    });
}
