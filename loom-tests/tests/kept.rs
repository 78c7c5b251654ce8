//! Kept scopes: a use of a path that belongs to no leaf, as `KeptScopes` has one. The last use, of a
//! leaf or kept, removes the path and gives its credit back.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{engine, lenders, lending_engine, peers, set_protocol, stream, within};
use rcmgr_atomic::internals::{Engine, FromPath, Kind, Leaf, Path, Use};
use rcmgr_atomic::{Limits, ScopeClass};

/// A use of the path that the leaf is on.
fn keep(leaf: &Leaf) -> Option<Use<Path>> {
    leaf.path().try_join()
}

/// The path of a stream with a protocol, kept. The stream is closed.
fn kept(engine: &Arc<Engine>) -> Use<Path> {
    let stream = stream(engine).unwrap();
    set_protocol(&stream).unwrap();
    let kept = keep(&stream).expect("it is open");
    stream.close();
    kept
}

fn protocols(engine: &Engine) -> usize {
    let mut count = 0;
    engine.for_each_node(&mut |node| count += usize::from(node.class() == ScopeClass::Protocol));
    count
}

fn nothing_is_left(engine: &Engine) {
    engine.for_each_node(&mut |node| {
        assert!(node.charged().is_zero(), "{}", node.id());
        for kind in Kind::ALL {
            assert_eq!(node.credit_bound(kind), 0, "{}", node.id());
        }
    });
    assert_eq!(
        (peers(engine), protocols(engine), lenders(engine)),
        (0, 0, 0)
    );
}

#[test]
fn a_kept_path_is_dropped_while_a_stream_moves_to_it() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let kept = kept(&engine);
        let next = stream(&engine).unwrap();
        let thread = thread::spawn(move || drop(kept));
        set_protocol(&next).unwrap();
        thread.join().unwrap();

        let path = next.path();
        let found = engine
            .protocol_path(FromPath::user(path.from().unwrap()), "p")
            .unwrap();
        assert!(path.is(&found), "a lookup finds the one in use");
        drop(found);
        for node in path.iter() {
            assert_eq!(node.charged().streams(), 1, "{}", node.id());
        }
        next.close();
        nothing_is_left(&engine);
    });
}

#[test]
fn a_path_is_kept_while_its_last_stream_closes() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let last = stream(&engine).unwrap();
        set_protocol(&last).unwrap();
        let closer = last.clone();
        let thread = thread::spawn(move || closer.close());
        let kept = keep(&last);
        thread.join().unwrap();

        let is_kept = usize::from(kept.is_some());
        assert_eq!((peers(&engine), protocols(&engine)), (is_kept, is_kept));
        drop(kept);
        nothing_is_left(&engine);
    });
}

#[test]
fn a_path_is_kept_for_the_next_stream_while_the_kept_one_before_is_dropped() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let before = kept(&engine);
        let next = stream(&engine).unwrap();
        let thread = thread::spawn(move || drop(before));
        set_protocol(&next).unwrap();
        let kept = keep(&next).expect("it is open");
        next.close();
        thread.join().unwrap();

        assert_eq!((peers(&engine), protocols(&engine)), (1, 1));
        drop(kept);
        nothing_is_left(&engine);
    });
}

/// An engine with a limit of streams, and a kept path that has credit for a stream.
fn kept_with_credit() -> (Arc<Engine>, Use<Path>) {
    let engine = lending_engine(Limits::unlimited(), 0, 2);
    let kept = kept(&engine);
    for _ in 0..2 {
        let stream = stream(&engine).unwrap();
        set_protocol(&stream).unwrap();
    }
    let credit = kept.credit().map(|credit| credit.amount(Kind::ALL[1]));
    assert!(credit > Some(0), "{credit:?}");
    let stat = engine.stat(engine.system());
    assert!(stat.is_zero(), "credit is no usage: {stat}");
    (engine, kept)
}

#[test]
fn a_kept_path_with_credit_is_dropped_while_the_credit_is_recalled() {
    within(2, || {
        let (engine, kept) = kept_with_credit();
        let mut limits = Limits::unlimited();
        limits.system.streams = 1.into();
        engine.set_limits(limits);
        let thread = thread::spawn(move || drop(kept));
        // The usage leaves room. A refusal means that the credit was in flight from the stock to the
        // nodes.
        let one = stream(&engine).ok();
        thread.join().unwrap();

        let used = engine.stat(engine.system()).streams();
        assert_eq!(used, u64::from(one.is_some()));
        let other = stream(&engine).ok();
        assert!(one.is_some() != other.is_some(), "there is room for one");
        drop((one, other));
        nothing_is_left(&engine);
    });
}

#[test]
fn a_kept_path_with_credit_is_dropped_while_a_stream_moves_to_it() {
    within(2, || {
        let (engine, kept) = kept_with_credit();
        let next = stream(&engine).unwrap();
        let thread = thread::spawn(move || drop(kept));
        set_protocol(&next).unwrap();
        thread.join().unwrap();

        for node in next.path().iter() {
            assert_eq!(engine.stat(node).streams(), 1, "{}", node.id());
        }
        next.close();
        nothing_is_left(&engine);
    });
}

#[test]
fn credit_of_a_kept_path_is_recalled_while_a_stream_moves_with_it() {
    within(2, || {
        let (engine, kept) = kept_with_credit();
        let next = stream(&engine).unwrap();
        let mut limits = Limits::unlimited();
        limits.system.streams = 2.into();
        engine.set_limits(limits);
        let opener = engine.clone();
        let thread = thread::spawn(move || stream(&opener).expect("credit is no reason to refuse"));
        set_protocol(&next).expect("credit is no reason to refuse");
        let other = thread.join().unwrap();

        assert_eq!(engine.stat(engine.system()).streams(), 2);
        drop((next, other, kept));
        nothing_is_left(&engine);
    });
}
