//! A stream with memory moves to a path whose credit pays for both: no byte is lost or counted twice,
//! whatever happens to its memory meanwhile.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{lenders, lending_engine, set_protocol, stream, within};
use rcmgr_atomic::internals::{Engine, Kind, Leaf};
use rcmgr_atomic::{Limits, Priority, ScopeClass};

/// An inbound stream with so many bytes.
fn with_memory(engine: &Arc<Engine>, bytes: u64) -> Arc<Leaf> {
    let stream = stream(engine).unwrap();
    stream.reserve(bytes, Priority::Always).unwrap();
    stream
}

/// Two streams on a path that has credit for one stream and for its byte.
fn lending(limits: Limits) -> (Arc<Engine>, [Arc<Leaf>; 2]) {
    let engine = lending_engine(limits, 4, 2);
    let two = [(); 2].map(|()| with_memory(&engine, 1));
    two.iter().for_each(|leaf| set_protocol(leaf).unwrap());
    let credit = two[0].path().credit().expect("the path lends");
    assert!(credit.amount(Kind::Memory) >= 1);
    assert!(two[0].path().credit().unwrap().amount(Kind::ALL[1]) >= 1);
    (engine, two)
}

/// Checks the memory that is in use, closes all, and checks that nothing is left.
fn ends(engine: &Engine, leaves: &[&Leaf]) {
    let held: u64 = leaves.iter().map(|leaf| leaf.stat().memory).sum();
    assert_eq!(engine.stat(engine.system()).memory, held);
    leaves.iter().for_each(|leaf| leaf.close());
    engine.for_each_node(&mut |node| {
        assert!(node.charged().is_zero(), "{}", node.id());
        for kind in Kind::ALL {
            assert_eq!(node.credit_bound(kind), 0, "{}", node.id());
        }
    });
    assert_eq!(lenders(engine), 0);
}

#[test]
fn a_stream_reserves_while_credit_pays_for_its_move() {
    within(3, || {
        let (engine, [one, two]) = lending(Limits::unlimited());
        let three = with_memory(&engine, 1);
        let other = three.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).unwrap());
        set_protocol(&three).unwrap();
        thread.join().unwrap();
        assert_eq!(three.stat().memory, 2);
        ends(&engine, &[&one, &two, &three]);
    });
}

#[test]
fn a_stream_without_memory_reserves_while_credit_pays_for_its_move() {
    within(3, || {
        let (engine, [one, two]) = lending(Limits::unlimited());
        let three = stream(&engine).unwrap();
        let other = three.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).unwrap());
        set_protocol(&three).unwrap();
        thread.join().unwrap();
        assert_eq!(three.stat().memory, 1);
        ends(&engine, &[&one, &two, &three]);
    });
}

#[test]
fn a_stream_releases_while_credit_pays_for_its_move() {
    within(3, || {
        let (engine, [one, two]) = lending(Limits::unlimited());
        let three = with_memory(&engine, 1);
        let other = three.clone();
        let thread = thread::spawn(move || other.release(1));
        set_protocol(&three).unwrap();
        thread.join().unwrap();
        assert_eq!(three.stat().memory, 0);
        assert_eq!(engine.over_releases(ScopeClass::Stream), 0);
        ends(&engine, &[&one, &two, &three]);
    });
}

#[test]
fn a_stream_closes_while_credit_pays_for_its_move() {
    within(3, || {
        let (engine, [one, two]) = lending(Limits::unlimited());
        let three = with_memory(&engine, 1);
        let closer = three.clone();
        let thread = thread::spawn(move || closer.close());
        let _ = set_protocol(&three);
        thread.join().unwrap();
        ends(&engine, &[&one, &two]);
    });
}

#[test]
fn limits_change_while_credit_pays_for_a_move() {
    within(3, || {
        let (engine, [one, two]) = lending(Limits::unlimited());
        let three = with_memory(&engine, 1);
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = Limits::unlimited();
            limits.protocol_default.memory = 2.into();
            set.set_limits(limits);
        });
        let moved = set_protocol(&three).is_ok();
        thread.join().unwrap();
        let of_protocol = engine.protocol("p");
        let used = engine.stat(&of_protocol).memory;
        engine.release_node(&of_protocol);
        assert_eq!(used, 2 + u64::from(moved));
        let four = with_memory(&engine, 1);
        assert!(set_protocol(&four).is_err(), "the change was made");
        ends(&engine, &[&one, &two, &three, &four]);
    });
}
