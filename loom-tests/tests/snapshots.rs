//! One thread reads usage while another thread changes it: a node or an owner is never seen to hold
//! less than the leaf or span that is charged on it.
#![cfg(loom)]

use loom::thread;
use loom_tests::{connection, engine, shared_connection, usage};
use rcmgr_atomic::internals::{Owner, SpanState};
use rcmgr_atomic::{Limits, Priority};

#[test]
fn a_node_is_never_seen_below_a_leaf_that_reserves() {
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
fn a_node_is_never_seen_below_a_leaf_that_releases() {
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
fn an_owner_is_never_seen_below_its_span() {
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
