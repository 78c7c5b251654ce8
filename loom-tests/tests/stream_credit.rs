//! Credit of streams: each is taken once, by a stream that opens on the path or moves to it, and
//! all credit is given back.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{lenders, lending_engine, loads_may_be_stale, set_protocol, stream, within};
use rcmgr_atomic::internals::{Engine, Kind, Leaf};
use rcmgr_atomic::{Limits, Priority, ScopeClass};

/// The number of streams that a stock is filled with at once.
const BATCH: u64 = 1;

fn engine() -> Arc<Engine> {
    lending_engine(Limits::unlimited(), 0, 2 * BATCH)
}

/// The streams that the system scope is charged with, and those that are in use.
fn streams(engine: &Engine) -> (u64, u64) {
    let system = engine.system();
    (
        system.charged().streams_inbound,
        engine.stat(system).streams_inbound,
    )
}

/// Two streams, on a path that has credit for one more.
fn two(engine: &Arc<Engine>) -> [Arc<Leaf>; 2] {
    let two = [(); 2].map(|()| stream(engine).unwrap());
    assert_eq!(streams(engine), (2 + BATCH, 2));
    two
}

/// Two streams with a protocol. The path with the protocol, and the path without it, have credit
/// for one stream each.
fn two_with_protocol(engine: &Arc<Engine>) -> [Arc<Leaf>; 2] {
    let two = [(); 2].map(|()| stream(engine).unwrap());
    two.iter().for_each(|leaf| set_protocol(leaf).unwrap());
    two
}

/// Closes all, and checks that there is no credit left.
fn nothing_is_left(engine: &Engine, leaves: &[&Leaf]) {
    leaves.iter().for_each(|leaf| leaf.close());
    engine.for_each_node(&mut |node| {
        assert!(node.charged().is_zero(), "{}", node.id());
        assert_eq!(node.credit_bound(Kind::ALL[1]), 0, "{}", node.id());
    });
    assert_eq!(lenders(engine), 0);
}

#[test]
fn two_streams_take_the_same_credit() {
    within(3, || {
        let engine = engine();
        let [one, two] = two(&engine);
        let opener = engine.clone();
        let thread = thread::spawn(move || stream(&opener).unwrap());
        let three = stream(&engine).unwrap();
        let four = thread.join().unwrap();
        assert_eq!(streams(&engine).1, 4);
        nothing_is_left(&engine, &[&one, &two, &three, &four]);
    });
}

#[test]
fn a_stream_closes_while_credit_is_recalled() {
    within(3, || {
        let engine = engine();
        let [one, two] = two(&engine);
        let mut limits = Limits::unlimited();
        limits.system.streams = 3.into();
        engine.set_limits(limits);
        let closer = one.clone();
        let thread = thread::spawn(move || closer.close());
        // The charge leaves no room, the usage does.
        let three = stream(&engine).expect("credit is no reason to refuse");
        thread.join().unwrap();
        assert_eq!(streams(&engine).1, 2);
        // Nor is the credit of the stream that was closed.
        let four = stream(&engine).unwrap();
        assert!(stream(&engine).is_err());
        nothing_is_left(&engine, &[&two, &three, &four]);
    });
}

#[test]
fn a_stream_closes_while_it_moves_with_credit() {
    within(3, || {
        let engine = engine();
        let [one, two] = two_with_protocol(&engine);
        let three = stream(&engine).unwrap();
        let closer = three.clone();
        let thread = thread::spawn(move || closer.close());
        let _ = set_protocol(&three);
        thread.join().unwrap();
        assert_eq!(streams(&engine).1, 2);
        nothing_is_left(&engine, &[&one, &two]);
    });
}

#[test]
fn limits_change_while_a_stream_moves_with_credit() {
    within(3, || {
        let engine = engine();
        let [one, two] = two_with_protocol(&engine);
        let three = stream(&engine).unwrap();
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = Limits::unlimited();
            limits.protocol_default.streams = 2.into();
            set.set_limits(limits);
        });
        let moved = set_protocol(&three).is_ok();
        thread.join().unwrap();
        let of_protocol = engine.protocol("p");
        let used = engine.stat(&of_protocol).streams_inbound;
        engine.release_node(&of_protocol);
        assert_eq!(used, 2 + u64::from(moved));
        let four = stream(&engine).unwrap();
        assert!(set_protocol(&four).is_err(), "the change was made");
        nothing_is_left(&engine, &[&one, &two, &three, &four]);
    });
}

#[test]
fn credit_is_filled_after_a_move_while_a_limit_of_another_resource_is_lowered() {
    within(1, || {
        let engine = engine();
        let [one, two] = two_with_protocol(&engine);
        two.reserve(2, Priority::Always).unwrap();
        // The path with the protocol has no credit left, so the next move charges the nodes, and then
        // fills it.
        let credit = || two.path().credit().unwrap().amount(Kind::ALL[1]);
        let mut more = Vec::new();
        while credit() > 0 {
            let stream = stream(&engine).unwrap();
            set_protocol(&stream).unwrap();
            more.push(stream);
        }
        let three = stream(&engine).unwrap();
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = Limits::unlimited();
            limits.protocol_default.memory = 1.into();
            set.set_limits(limits);
        });
        let _ = set_protocol(&three);
        thread.join().unwrap();
        let four = stream(&engine).unwrap();
        assert!(
            set_protocol(&four).is_err(),
            "the protocol is over its limit"
        );
        let more = more.iter().map(|leaf| &**leaf);
        let all: Vec<&Leaf> = [&*one, &*two, &*three, &*four]
            .into_iter()
            .chain(more)
            .collect();
        nothing_is_left(&engine, &all);
    });
}

/// Lowers the limits, and returns the inbound streams that a node of `leaf` of this class has then.
fn lower(engine: &Engine, leaf: &Leaf, class: ScopeClass, limits: Limits) -> u64 {
    engine.set_limits(limits);
    engine
        .stat(leaf.path().node(class).unwrap())
        .streams_inbound
}

/// A thread that lowers a limit, and then reads the usage, sees all streams that opened under the old
/// limit.
#[test]
fn no_stream_opens_with_credit_under_the_old_limits_after_a_change_was_seen() {
    if loads_may_be_stale() {
        return;
    }
    within(3, || {
        let engine = engine();
        let [one, two] = two(&engine);
        let (set, leaf) = (engine.clone(), one.clone());
        let thread = thread::spawn(move || {
            let mut limits = Limits::unlimited();
            limits.peer_default.streams_inbound = 2.into();
            lower(&set, &leaf, ScopeClass::Peer, limits)
        });
        let three = stream(&engine);
        let seen = thread.join().unwrap();
        assert!(streams(&engine).1 <= seen, "{seen} were seen");
        let three = three.as_deref().ok();
        let all: Vec<&Leaf> = [&*one, &*two].into_iter().chain(three).collect();
        nothing_is_left(&engine, &all);
    });
}

/// The same for streams that move.
#[test]
fn no_stream_moves_with_credit_under_the_old_limits_after_a_change_was_seen() {
    if loads_may_be_stale() {
        return;
    }
    within(3, || {
        let engine = engine();
        let [one, two] = two_with_protocol(&engine);
        let three = stream(&engine).unwrap();
        let (set, leaf) = (engine.clone(), one.clone());
        let thread = thread::spawn(move || {
            let mut limits = Limits::unlimited();
            limits.protocol_default.streams_inbound = 2.into();
            lower(&set, &leaf, ScopeClass::Protocol, limits)
        });
        let has_moved = set_protocol(&three).is_ok();
        let seen = thread.join().unwrap();
        assert!(2 + u64::from(has_moved) <= seen, "{seen} were seen");
        nothing_is_left(&engine, &[&one, &two, &three]);
    });
}

#[test]
fn two_streams_move_with_the_same_credit() {
    within(2, || {
        let engine = engine();
        let [one, two] = two_with_protocol(&engine);
        let [three, four] = [(); 2].map(|()| stream(&engine).unwrap());
        let mover = three.clone();
        let thread = thread::spawn(move || set_protocol(&mover).unwrap());
        set_protocol(&four).unwrap();
        thread.join().unwrap();
        assert_eq!(streams(&engine).1, 4);
        nothing_is_left(&engine, &[&one, &two, &three, &four]);
    });
}

#[test]
fn a_move_is_checked_against_one_whole_set_of_limits() {
    within(3, || {
        let mut limits = Limits::unlimited();
        limits.protocol_default.memory = 0.into();
        let engine = lending_engine(limits, 0, 2 * BATCH);
        let [one, two] = two_with_protocol(&engine);
        let three = stream(&engine).unwrap();
        three.reserve(1, Priority::Always).unwrap();
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = Limits::unlimited();
            limits.protocol_default.streams = 2.into();
            set.set_limits(limits);
        });
        // Before the change, the protocol has no room for its byte; after it, none for its stream.
        let moved = set_protocol(&three).is_ok();
        thread.join().unwrap();
        assert!(!moved);
        nothing_is_left(&engine, &[&one, &two, &three]);
    });
}

#[test]
fn two_paths_are_collected_at_once() {
    within(3, || {
        let engine = engine();
        let [one, two] = [(); 2].map(|()| stream(&engine).unwrap());
        set_protocol(&two).unwrap();
        let three = stream(&engine).unwrap();
        set_protocol(&three).unwrap();
        two.close();
        let last = Arc::downgrade(&engine);
        let thread = thread::spawn(move || drop(one));
        drop((two, three));
        thread.join().unwrap();
        drop(engine);
        // Every path refers to the engine.
        assert!(last.upgrade().is_none(), "no path is left");
    });
}

#[test]
fn a_path_of_a_peer_becomes_hot_while_its_streams_close() {
    within(3, || {
        let engine = engine();
        let holders = Arc::strong_count(&engine);
        let [one, two] = two(&engine);
        let opener = engine.clone();
        let thread = thread::spawn(move || {
            stream(&opener).unwrap().close();
            one.close();
        });
        // It may meet the other thread in the table. Then the next one looks at the hot paths first.
        let three = stream(&engine).unwrap();
        two.close();
        let four = stream(&engine).unwrap();
        thread.join().unwrap();
        nothing_is_left(&engine, &[&three, &four]);
        drop([two, three, four]);
        assert_eq!(Arc::strong_count(&engine), holders, "no path is left");
    });
}
