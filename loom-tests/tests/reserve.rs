//! Reservations, while another thread reserves, releases, closes, or changes limits.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{CONNECTION, connection, conserved, engine, open, peer, usage, within};
use rcmgr_atomic::internals::{Engine, Path, PathKind, Shared, Slot};
use rcmgr_atomic::{Direction, Limits, Priority, ScopeClass};

fn system_memory(limit: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.memory = limit.into();
    limits
}

#[test]
fn two_reservations_request_the_last_byte() {
    loom::model(|| {
        let engine = engine(system_memory(1));
        let (one, two) = (connection(&engine), connection(&engine));
        let other = two.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).is_ok());
        let first = one.reserve(1, Priority::Always).is_ok();
        let second = thread.join().unwrap();

        assert!(first != second, "exactly one gets the byte");
        conserved(&engine, &[&one, &two]);
    });
}

#[test]
fn two_connections_request_the_last_slot() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.system.conns = 1.into();
        let engine = engine(limits);
        let other = engine.clone();
        let open = |engine: &Arc<Engine>| open(engine.opened_path(), CONNECTION);
        let thread = thread::spawn(move || open(&other).ok());
        let first = open(&engine).ok();
        let second = thread.join().unwrap();

        assert!(first.is_some() != second.is_some(), "there is room for one");
        let leaf = first.or(second).unwrap();
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn two_streams_request_the_last_slot() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.system.streams = 1.into();
        let engine = engine(limits);
        // The peer and its path stay in use, so that only the streams meet.
        let path = engine.peer_path(PathKind::Stream, &peer());
        let open = |path: &Shared<Path>| {
            let path = path.shared_home().peer_path(PathKind::Stream, &peer());
            open(path, Slot::Stream(Direction::Inbound))
        };
        let other = path.clone();
        let thread = thread::spawn(move || open(&other).ok());
        let first = open(&path).ok();
        let second = thread.join().unwrap();

        assert!(first.is_some() != second.is_some(), "there is room for one");
        assert_eq!(engine.system().charged().streams(), 1);
        drop((first, second));
        assert_eq!(engine.system().charged().streams(), 0);
    });
}

#[test]
fn a_refused_reservation_does_not_disturb_another() {
    loom::model(|| {
        let engine = engine(system_memory(1));
        let (one, two) = (connection(&engine), connection(&engine));
        let other = two.clone();
        let thread = thread::spawn(move || other.reserve(2, Priority::Always));
        one.reserve(1, Priority::Always)
            .expect("there is room for this one");
        thread
            .join()
            .unwrap()
            .expect_err("there is never room for that one");

        assert_eq!(usage(engine.system()), (2, 1));
        assert_eq!(usage(engine.transient()), (2, 1));
        conserved(&engine, &[&one, &two]);
    });
}

#[test]
fn two_reservations_request_the_last_bytes_of_one_leaf() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.conn.memory = 3.into();
        let engine = engine(limits);
        let leaf = connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.reserve(2, Priority::Always).is_ok());
        let first = leaf.reserve(2, Priority::Always).is_ok();
        let second = thread.join().unwrap();

        assert!(first != second, "the leaf has room for one");
        assert_eq!(usage(engine.system()), (1, 2));
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_leaf_reserves_while_it_releases() {
    loom::model(|| {
        let engine = engine(system_memory(2));
        let leaf = connection(&engine);
        leaf.reserve(1, Priority::Always).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || other.release(1));
        leaf.reserve(1, Priority::Always)
            .expect("there is room all along");
        thread.join().unwrap();

        assert_eq!(leaf.stat().memory, 1);
        assert_eq!(engine.over_releases(ScopeClass::Connection), 0);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_leaf_reserves_while_it_closes() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || drop(other.reserve(1, Priority::Always)));
        leaf.close();
        thread.join().unwrap();

        conserved(&engine, &[&leaf]);
        assert!(leaf.reserve(1, Priority::Always).is_err());
    });
}

#[test]
fn a_leaf_is_closed_twice() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        leaf.reserve(1, Priority::Always).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        leaf.close();
        thread.join().unwrap();

        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_leaf_releases_while_it_closes() {
    loom::model(|| {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        leaf.reserve(2, Priority::Always).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || {
            other.release(1);
        });
        leaf.close();
        thread.join().unwrap();

        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_limit_is_lowered_while_a_leaf_reserves() {
    within(4, || {
        let engine = engine(system_memory(2));
        let leaf = connection(&engine);
        let (other, set) = (leaf.clone(), engine.clone());
        let thread = thread::spawn(move || {
            set_system_memory(&set, 1);
            // The limit is in force from now on.
            other.reserve(2, Priority::Always).is_ok()
        });
        let first = leaf.reserve(2, Priority::Always).is_ok();
        let second = thread.join().unwrap();

        assert!(!second, "two bytes are over the lowered limit");
        assert_eq!(leaf.stat().memory, if first { 2 } else { 0 });
        conserved(&engine, &[&leaf]);
    });
}

fn set_system_memory(engine: &Engine, memory: u64) {
    let mut limit = engine.limit(engine.system());
    limit.memory = memory.into();
    engine.set_limit(engine.system(), Some(limit));
}

#[test]
fn a_lowered_limit_that_was_used_is_not_exceeded_under_the_old_one() {
    within(4, || {
        let engine = engine(system_memory(3));
        let (one, two) = (connection(&engine), connection(&engine));
        let (other, set) = (two.clone(), engine.clone());
        let thread = thread::spawn(move || {
            set_system_memory(&set, 1);
            other.reserve(1, Priority::Always).is_ok()
        });
        let first = one.reserve(2, Priority::Always).is_ok();
        let second = thread.join().unwrap();

        assert!(!(first && second), "three bytes under a limit of one");
        conserved(&engine, &[&one, &two]);
    });
}

#[test]
fn a_raised_limit_that_was_used_causes_no_refusal_under_the_old_one() {
    within(4, || {
        let engine = engine(system_memory(1));
        let (one, two) = (connection(&engine), connection(&engine));
        let (other, set) = (two.clone(), engine.clone());
        let thread = thread::spawn(move || {
            set_system_memory(&set, 4);
            other
                .reserve(2, Priority::Always)
                .expect("there is room under a limit of four");
        });
        one.reserve(1, Priority::Always)
            .expect("there is room before and after");
        thread.join().unwrap();

        conserved(&engine, &[&one, &two]);
    });
}

#[test]
fn nothing_is_granted_under_a_limit_that_is_no_longer_in_force() {
    loom::model(|| {
        // There is no room before the change, and none after it. Only the old limit and the new
        // usage together would leave room.
        let engine = engine(system_memory(2));
        let (full, leaf) = (connection(&engine), connection(&engine));
        full.reserve(2, Priority::Always).unwrap();
        let set = engine.clone();
        let thread = thread::spawn(move || {
            set_system_memory(&set, 1);
            full.close();
        });
        let reserved = leaf.reserve(2, Priority::Always);
        thread.join().unwrap();

        assert!(
            reserved.is_err(),
            "no version of the limits had room for it"
        );
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_granted_amount_is_not_taken_back_when_limits_change() {
    within(4, || {
        let engine = engine(Limits::unlimited());
        let leaf = connection(&engine);
        let (other, set) = (leaf.clone(), engine.clone());
        let thread = thread::spawn(move || {
            other.release_up_to(u64::MAX);
            let granted = other.reserve(1, Priority::Always).is_ok();
            let mut after = Limits::unlimited();
            after.conn.memory = 0.into();
            set.set_limits(after);
            granted
        });
        let _ = leaf.reserve(1, Priority::Always);
        let granted = thread.join().unwrap();

        assert!(
            granted && leaf.stat().memory >= 1,
            "granted, and never released"
        );
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_reservation_is_checked_against_one_whole_set_of_limits() {
    within(5, || {
        // Under each of the two sets, one scope refuses two bytes. Only a mixture of both sets
        // would grant them.
        // Each set is made where it is used: loom's stacks are small, and sets are large.
        let engine = engine_before();
        let leaf = connection(&engine);
        let set = engine.clone();
        let thread = thread::Builder::new().stack_size(STACK_OF_A_SET);
        let thread = thread.spawn(move || {
            let mut after = Limits::unlimited();
            after.transient.memory = 1.into();
            set.set_limits(after);
        });
        let thread = thread.unwrap();
        let reserved = leaf.reserve(2, Priority::Always);
        thread.join().unwrap();

        assert!(reserved.is_err(), "one whole set refuses");
        conserved(&engine, &[&leaf]);
    });
}

/// In words.
const STACK_OF_A_SET: usize = 1 << 13;

#[inline(never)]
fn engine_before() -> Arc<Engine> {
    let mut before = Limits::unlimited();
    before.system.memory = 1.into();
    engine(before)
}
