//! A leaf that moves to another path, while other operations change it.
#![cfg(loom)]

use loom::thread;
use loom_tests::{
    connection, conserved, engine, loads_may_be_stale, peers, set_peer, usage, within,
};
use rcmgr_atomic::{Limits, Priority, ScopeClass};

#[test]
fn a_leaf_reserves_while_it_moves() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).unwrap());
        set_peer(&leaf).unwrap();
        thread.join().unwrap();

        assert_eq!(leaf.stat().memory, 1);
        assert_eq!(usage(engine.transient()), (0, 0));
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_leaf_reserves_while_it_moves_to_a_peer_without_room_for_memory() {
    loom::model(|| {
        let mut limits = Limits::unlimited();
        limits.peer_default.memory = 0.into();
        let engine = engine(limits);
        let leaf = connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).is_ok());
        let moved = set_peer(&leaf).is_ok();
        let reserved = thread.join().unwrap();

        assert!(
            moved != reserved,
            "the peer has room for the leaf only without memory"
        );
        assert_eq!(peers(&engine), usize::from(moved));
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_leaf_releases_while_it_moves() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        leaf.reserve(2, Priority::Always).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || other.release(1));
        set_peer(&leaf).unwrap();
        thread.join().unwrap();

        assert_eq!(leaf.stat().memory, 1);
        assert_eq!(engine.over_releases(ScopeClass::Connection), 0);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_leaf_closes_while_it_moves() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        leaf.reserve(1, Priority::Always).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let _ = set_peer(&leaf);
        thread.join().unwrap();

        assert_eq!(
            peers(&engine),
            0,
            "the peer was collected with its connection"
        );
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_leaf_reserves_and_closes_while_it_moves() {
    // Without a bound it takes two minutes.
    within(5, || {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        let (reserving, closing) = (leaf.clone(), leaf.clone());
        let reserve = thread::spawn(move || drop(reserving.reserve(1, Priority::Always)));
        let close = thread::spawn(move || closing.close());
        let _ = set_peer(&leaf);
        reserve.join().unwrap();
        close.join().unwrap();

        assert_eq!(peers(&engine), 0);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn two_threads_move_one_leaf() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || set_peer(&other).is_ok());
        let first = set_peer(&leaf).is_ok();
        let second = thread.join().unwrap();

        assert!(first != second, "a peer is set once");
        assert_eq!(usage(&engine.peer(&loom_tests::peer())), (1, 0));
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn two_connections_get_a_peer_with_room_for_one() {
    within(3, || {
        let mut limits = Limits::unlimited();
        limits.peer_default.conns_inbound = 1.into();
        let engine = engine(limits);
        let (one, two) = (connection(&engine), connection(&engine));
        let other = two.clone();
        let thread = thread::spawn(move || set_peer(&other).is_ok());
        let first = set_peer(&one).is_ok();
        let second = thread.join().unwrap();

        assert!(first != second, "there is room for one");
        let [stays, closes] = if first { [one, two] } else { [two, one] };
        closes.close();
        conserved(&engine, &[&stays]);
    });
}

#[test]
fn a_connection_without_memory_closes_while_it_gets_its_peer() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let _ = set_peer(&leaf);
        thread.join().unwrap();

        assert_eq!(peers(&engine), 0);
        conserved(&engine, &[&leaf]);
    });
}

/// A thread that lowers a limit, and then reads the usage, sees all grants under the old limit.
#[test]
fn no_connection_gets_its_peer_under_the_old_limits_after_a_change_was_seen() {
    if loads_may_be_stale() {
        return;
    }
    within(3, || {
        let engine = engine(Limits::unlimited());
        let (one, two) = (connection(&engine), connection(&engine));
        set_peer(&one).unwrap();
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = Limits::unlimited();
            limits.peer_default.conns_inbound = 1.into();
            set.set_limits(limits);
            set.peer(&loom_tests::peer()).charged().conns_inbound
        });
        let has_moved = set_peer(&two).is_ok();
        let seen = thread.join().unwrap();
        let moved = [true, has_moved].iter().filter(|&&moved| moved).count();
        assert!(moved as u64 <= seen, "{seen} were seen");
        two.close();
        conserved(&engine, &[&one]);
    });
}
