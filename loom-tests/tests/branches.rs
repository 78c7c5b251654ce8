//! Paths that have branches, and paths on which connections open streams: they stay while something
//! uses them, and are removed with the last use.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{connection, engine, open, peer, peers, set_peer, within};
use rcmgr_atomic::internals::{
    Engine, FromPath, Leaf, Path, PathKind, Shared, Slot, Use, charge_new, join_charged,
};
use rcmgr_atomic::{Direction, Limits, Result, ScopeClass, ScopeStat};

const STREAM: Slot = Slot::Stream(Direction::Inbound);

/// A stream with the peer, opened by its id.
fn stream(engine: &Arc<Engine>) -> Arc<Leaf> {
    let path = engine.peer_path(PathKind::Stream, &peer());
    Arc::new(open(path, STREAM).expect("there is room"))
}

fn set_protocol(leaf: &Leaf) -> Result<()> {
    let mut mover = leaf.mover()?;
    let path = mover.path();
    mover.advance(path.shared_home().protocol_path(mover.from(), "a"))
}

/// The branch of a path with the protocol, which is there.
fn with_protocol(engine: &Arc<Engine>, path: &Shared<Path>) -> Use<Path> {
    let found = engine.protocol_path(FromPath::user(path), "a");
    found.expect("the path is in use")
}

fn set_service(leaf: &Leaf) -> Result<()> {
    let mut mover = leaf.mover()?;
    let path = mover.path();
    mover.advance(path.shared_home().service_path(mover.from(), "b"))
}

/// A stream that is opened through a connection.
fn stream_through(connection: &Leaf) -> Result<Leaf> {
    let streams = connection.streams()?;
    charge_new(streams, STREAM)?;
    let path = join_charged(streams, STREAM);
    let path = path.ok_or_else(|| connection.closed())?;
    Ok(Leaf::charged(path, STREAM))
}

/// Checks that only the scopes that are never collected are left, and that these hold nothing.
fn nothing_is_left(engine: &Engine) {
    engine.for_each_node(&mut |node| {
        assert_eq!(node.charged(), ScopeStat::ZERO, "{}", node.id());
        let stays = matches!(
            node.class(),
            ScopeClass::System
                | ScopeClass::Transient
                | ScopeClass::AllowlistedSystem
                | ScopeClass::AllowlistedTransient
                | ScopeClass::Service
        );
        assert!(stays, "{} is left", node.id());
    });
}

#[test]
fn the_last_stream_of_a_protocol_closes_while_another_comes() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let (one, two) = (stream(&engine), stream(&engine));
        set_protocol(&one).unwrap();
        let thread = thread::spawn(move || one.close());
        set_protocol(&two).unwrap();
        thread.join().unwrap();

        assert_eq!(peers(&engine), 1);
        let path = two.path();
        let again = with_protocol(&engine, path.from().unwrap());
        assert!(path.is(&again), "a lookup finds the one in use");
        drop(again);
        for node in path.iter() {
            assert_eq!(node.charged().streams(), 1, "{}", node.id());
        }
        two.close();
        nothing_is_left(&engine);
    });
}

#[test]
fn a_stream_closes_while_it_gets_its_protocol() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let leaf = stream(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let _ = set_protocol(&leaf);
        thread.join().unwrap();

        nothing_is_left(&engine);
    });
}

#[test]
fn two_streams_hand_their_uses_over_to_the_branches_they_move_to_and_close() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let (one, two) = (stream(&engine), stream(&engine));
        for leaf in [&one, &two] {
            set_protocol(leaf).unwrap();
            set_service(leaf).unwrap();
        }
        let thread = thread::spawn(move || one.close());
        drop(two);
        thread.join().unwrap();

        nothing_is_left(&engine);
    });
}

#[test]
fn a_stream_closes_while_it_hands_its_use_over_to_a_branch_whose_last_stream_closes() {
    within(2, || {
        let engine = engine(Limits::unlimited());
        let (leaf, last) = (stream(&engine), stream(&engine));
        set_protocol(&last).unwrap();
        let other = leaf.clone();
        let closing = thread::spawn(move || other.close());
        let ending = thread::spawn(move || last.close());
        let _ = set_protocol(&leaf);
        closing.join().unwrap();
        ending.join().unwrap();
        drop(leaf);

        nothing_is_left(&engine);
    });
}

#[test]
fn a_branch_refuses_a_stream_while_its_last_one_closes() {
    within(3, || {
        let mut limits = Limits::unlimited();
        limits.protocol_default.streams_inbound = 1.into();
        let engine = engine(limits);
        let (leaf, last) = (stream(&engine), stream(&engine));
        set_protocol(&last).unwrap();
        let thread = thread::spawn(move || last.close());
        let moved = set_protocol(&leaf);
        thread.join().unwrap();

        assert_eq!(peers(&engine), 1);
        if moved.is_err() {
            set_protocol(&leaf).expect("there is room now");
        }
        drop(leaf);
        nothing_is_left(&engine);
    });
}

#[test]
fn a_stream_closes_while_it_gets_its_protocol_and_service_in_one_step() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let leaf = stream(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let mut mover = leaf.mover();
        if let Ok(mover) = &mut mover {
            let next = engine.path_beyond(mover.path(), "a", Some("b"));
            let _ = mover.advance(next);
        }
        drop(mover);
        thread.join().unwrap();

        nothing_is_left(&engine);
    });
}

#[test]
fn a_branch_is_collected_with_the_paths_that_it_grew_from() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let (one, two) = (stream(&engine), stream(&engine));
        for leaf in [&one, &two] {
            set_protocol(leaf).unwrap();
        }
        set_service(&one).unwrap();
        let thread = thread::spawn(move || one.close());
        two.close();
        thread.join().unwrap();

        nothing_is_left(&engine);
    });
}

#[test]
fn a_stream_is_opened_through_a_connection_that_closes() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        set_peer(&leaf).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let opened = stream_through(&leaf);
        thread.join().unwrap();

        assert_eq!(peers(&engine), usize::from(opened.is_ok()));
        if let Ok(stream) = opened {
            for node in stream.path().iter() {
                assert_eq!(node.charged().streams(), 1, "{}", node.id());
            }
        }
        nothing_is_left(&engine);
    });
}

#[test]
fn a_connection_that_has_opened_streams_closes_while_one_is_opened() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        set_peer(&leaf).unwrap();
        drop(stream_through(&leaf).unwrap());
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        drop(stream_through(&leaf));
        thread.join().unwrap();

        nothing_is_left(&engine);
    });
}

#[test]
fn two_threads_open_the_first_streams_through_a_connection() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        set_peer(&leaf).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || stream_through(&other).unwrap());
        let one = stream_through(&leaf).unwrap();
        let two = thread.join().unwrap();

        assert!(one.path().is(two.path()));
        leaf.close();
        assert_eq!(peers(&engine), 1);
        drop((one, two));
        nothing_is_left(&engine);
    });
}

#[test]
fn a_connection_gets_its_service_and_closes_while_a_stream_is_opened_through_it() {
    within(3, || {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        set_peer(&leaf).unwrap();
        let (moving, closing) = (leaf.clone(), leaf.clone());
        let mover = thread::spawn(move || drop(set_service(&moving)));
        let closer = thread::spawn(move || closing.close());
        drop(stream_through(&leaf));
        mover.join().unwrap();
        closer.join().unwrap();

        nothing_is_left(&engine);
    });
}

#[test]
fn a_branch_is_made_again_before_the_last_user_removes_the_old_one() {
    within(2, || {
        let engine = engine(Limits::unlimited());
        let new = || {
            let leaf = stream(&engine);
            set_protocol(&leaf).unwrap();
            leaf
        };
        // It uses the path of the peer, and is on no branch.
        let peers = stream(&engine);
        let one = new();
        let thread = thread::spawn(move || one.close());
        new().close();
        let last = new();
        thread.join().unwrap();

        let found = with_protocol(&engine, peers.path());
        assert!(found.is(last.path()), "a lookup finds the one in use");
        drop(found);
        last.close();
        peers.close();
        nothing_is_left(&engine);
    });
}
