//! Spans while their owners close, and memory reserved directly on a node.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{conserved, engine, peer, peers, shared_connection, usage, within};
use rcmgr_atomic::internals::{Leaf, NodeUser, Owner, Shared, SpanState};
use rcmgr_atomic::{Limits, Priority};

fn span_of(leaf: &Shared<Leaf>) -> Shared<SpanState> {
    SpanState::begin(Owner::Leaf(leaf.clone().into())).expect("the leaf is open")
}

#[test]
fn a_span_reserves_while_its_owner_closes() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        let span = span_of(&leaf);
        let owner = leaf.clone();
        let thread = thread::spawn(move || owner.close());
        let _ = span.reserve(1, Priority::Always);
        span.close();
        thread.join().unwrap();

        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_span_closes_while_its_owner_closes() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        leaf.reserve(1, Priority::Always).unwrap();
        let span = span_of(&leaf);
        span.reserve(2, Priority::Always).unwrap();
        let owner = leaf.clone();
        let thread = thread::spawn(move || owner.close());
        span.close();
        thread.join().unwrap();

        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_span_reserves_while_it_closes() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        let span = span_of(&leaf);
        let other = span.clone();
        let thread = thread::spawn(move || other.close());
        let _ = span.reserve(1, Priority::Always);
        thread.join().unwrap();

        assert_eq!(leaf.stat().memory, 0);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn two_spans_request_the_last_byte_of_their_owner() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.conn.memory = 1.into();
        let engine = engine(limits);
        let leaf = shared_connection(&engine);
        let one = span_of(&leaf);
        let two = span_of(&leaf);
        let other: Shared<SpanState> = two.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).is_ok());
        let first = one.reserve(1, Priority::Always).is_ok();
        let second = thread.join().unwrap();

        assert!(first != second, "exactly one gets the byte");
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn direct_memory_keeps_a_node_while_two_views_come_and_go() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let view = || NodeUser::new(engine.peer(&peer()), engine.clone());
        let (one, two) = (view(), view());
        one.reserve(1, Priority::Always).unwrap();
        let thread = thread::spawn(move || {
            // The second call may take the byte of the other view.
            one.take(1);
            one.take(1);
        });
        two.reserve(1, Priority::Always).unwrap();
        let found = view();
        assert!(
            Arc::ptr_eq(found.node(), two.node()),
            "a lookup finds the one in use"
        );
        drop((found, two));
        thread.join().unwrap();

        let (_, left) = usage(engine.system());
        assert_eq!(
            peers(&engine) as u64,
            left,
            "the node is there as long as the memory"
        );
        assert_eq!(view().take(u64::MAX), left);
        assert_eq!(peers(&engine), 0);
        assert_eq!(usage(engine.system()), (0, 0));
    });
}

#[test]
fn a_reservation_counts_as_own_memory_while_the_first_span_opens() {
    within(4, || {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.reserve(2, Priority::Always).unwrap());
        let span = span_of(&leaf);
        span.reserve(1, Priority::Always).unwrap();
        thread.join().unwrap();

        assert_eq!(leaf.release_up_to(u64::MAX), Some(2));
        assert_eq!(leaf.stat().memory, 1, "the span's");
        span.close();
        assert_eq!(leaf.stat().memory, 0);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_span_that_closes_takes_nothing_that_its_owner_reserved() {
    within(4, || {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        let span = span_of(&leaf);
        let closing = span.clone();
        let thread = thread::spawn(move || drop(closing.reserve(1, Priority::Always)));
        span.close();
        leaf.release_up_to(u64::MAX);
        leaf.reserve(1, Priority::Always).unwrap();
        thread.join().unwrap();

        assert_eq!(leaf.stat().memory, 1, "granted, and never released");
        assert_eq!(leaf.release_up_to(u64::MAX), Some(1));
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn an_outer_span_closes_while_its_inner_span_reserves() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = shared_connection(&engine);
        let outer = span_of(&leaf);
        let inner = SpanState::begin(Owner::Span(outer.clone())).unwrap();
        let thread = thread::spawn(move || {
            let _ = inner.reserve(2, Priority::Always);
            let _ = inner.release(1);
            inner.close();
        });
        outer.close();
        thread.join().unwrap();

        assert_eq!(leaf.stat().memory, 0);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_span_of_a_node_closes_while_it_reserves() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let node = engine.peer(&peer());
        let span = SpanState::begin(Owner::Node(node, engine.clone())).unwrap();
        let other = span.clone();
        let thread = thread::spawn(move || drop(other.reserve(1, Priority::Always)));
        span.close();
        thread.join().unwrap();

        assert_eq!(peers(&engine), 0);
        assert_eq!(usage(engine.system()), (0, 0));
    });
}

#[test]
fn a_span_of_a_span_begins_while_its_owner_closes() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let outer = SpanState::begin(Owner::Node(engine.peer(&peer()), engine.clone())).unwrap();
        let owner = outer.clone();
        let thread = thread::spawn(move || owner.close());
        let inner = SpanState::begin(Owner::Span(outer.clone()));
        thread.join().unwrap();

        assert_eq!(peers(&engine), usize::from(inner.is_ok()));
        if let Ok(inner) = inner {
            inner.close();
        }
        assert_eq!(peers(&engine), 0);
    });
}
