//! A connection that the allowlist let in moves to the standard scopes, or leaves the part for those
//! whose peer is not proven.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{CONNECTION, conserved, engine, open, peer, within};
use rcmgr_atomic::internals::{Engine, Leaf, PathKind, leave_allowlist};
use rcmgr_atomic::{Limit, Limits, Priority, ScopeId};

fn allowlisted(engine: &Arc<Engine>) -> Arc<Leaf> {
    let path = engine.allowlisted_opened_path();
    Arc::new(open(path, CONNECTION).expect("there is room"))
}

fn leave(leaf: &Leaf) -> rcmgr_atomic::Result<()> {
    leave_allowlist(&mut leaf.mover()?)
}

/// The scopes that a leaf is charged on.
fn path(leaf: &Leaf) -> Vec<ScopeId> {
    leaf.path().iter().map(|node| node.id().clone()).collect()
}

#[test]
fn a_connection_leaves_the_allowlist_while_it_reserves() {
    within(4, || {
        let engine = engine(Limits::unlimited());
        let leaf = allowlisted(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).unwrap());
        leave(&leaf).unwrap();
        thread.join().unwrap();

        assert_eq!(path(&leaf), [ScopeId::Transient, ScopeId::System]);
        conserved(&engine, &[&leaf]);
    });
}

#[test]
fn a_connection_leaves_the_allowlist_while_it_closes() {
    within(4, || {
        let engine = engine(Limits::unlimited());
        let leaf = allowlisted(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let _ = leave(&leaf);
        thread.join().unwrap();

        conserved(&engine, &[]);
    });
}

#[test]
fn system_refuses_an_allowlisted_connection_while_it_closes() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.system = Limit::BLOCK_ALL;
        let engine = engine(limits);
        let leaf = allowlisted(&engine);
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        leave(&leaf).unwrap_err();
        thread.join().unwrap();

        conserved(&engine, &[]);
    });
}

#[test]
fn transient_refuses_an_allowlisted_connection_while_it_releases() {
    within(4, || {
        let mut limits = Limits::unlimited();
        limits.transient = Limit::BLOCK_ALL;
        let engine = engine(limits);
        let leaf = allowlisted(&engine);
        leaf.reserve(1, Priority::Always).unwrap();
        let other = leaf.clone();
        let thread = thread::spawn(move || other.release(1));
        leave(&leaf).unwrap_err();
        thread.join().unwrap();

        assert_eq!(path(&leaf), [ScopeId::System]);
        conserved(&engine, &[&leaf]);
    });
}

/// A connection that an allowlist of peers alone let in, if the part for these has room.
fn unproven(engine: &Arc<Engine>) -> Option<Arc<Leaf>> {
    let path = engine.unproven_opened_path();
    open(path, CONNECTION).ok().map(Arc::new)
}

/// Sets a peer that the allowlist has.
fn prove(leaf: &Leaf) -> rcmgr_atomic::Result<()> {
    let mut mover = leaf.mover()?;
    let engine = mover.path().shared_home();
    mover.advance(Some(
        engine.peer_path(PathKind::AllowlistedConnection, &peer()),
    ))
}

/// Limits that let one connection in whose peer is not proven.
fn one_unproven() -> Limits {
    let mut limits = Limits::unlimited();
    limits.allowlisted_transient.conns = 2.into();
    limits
}

/// How many connections are in the part for those whose peer is not proven.
fn in_the_part(engine: &Engine) -> u64 {
    engine.unproven().node().charged().conns()
}

#[test]
fn two_strangers_request_the_last_place_of_their_part() {
    within(3, || {
        let engine = engine(one_unproven());
        let other = engine.clone();
        let thread = thread::spawn(move || unproven(&other));
        let opened = [unproven(&engine), thread.join().unwrap()];

        let leaves: Vec<&Leaf> = opened.iter().flatten().map(|leaf| &**leaf).collect();
        assert_eq!(leaves.len(), 1);
        assert_eq!(in_the_part(&engine), 1);
        conserved(&engine, &leaves);
    });
}

#[test]
fn a_stranger_comes_while_another_proves_its_peer() {
    within(3, || {
        let engine = engine(one_unproven());
        let first = unproven(&engine).expect("there is room");
        let other = engine.clone();
        let thread = thread::spawn(move || unproven(&other));
        prove(&first).unwrap();
        let second = thread.join().unwrap();

        assert_eq!(in_the_part(&engine), u64::from(second.is_some()));
        drop(second);
        assert_eq!(in_the_part(&engine), 0);
        assert!(unproven(&engine).is_some(), "its place was given back");
        conserved(&engine, &[&first]);
    });
}

#[test]
fn a_stranger_closes_while_it_proves_its_peer() {
    within(3, || {
        let engine = engine(one_unproven());
        let leaf = unproven(&engine).expect("there is room");
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let _ = prove(&leaf);
        thread.join().unwrap();

        assert_eq!(in_the_part(&engine), 0);
        conserved(&engine, &[]);
    });
}

#[test]
fn a_stranger_leaves_the_allowlist_while_it_closes() {
    within(3, || {
        let engine = engine(one_unproven());
        let leaf = unproven(&engine).expect("there is room");
        let other = leaf.clone();
        let thread = thread::spawn(move || other.close());
        let _ = leave(&leaf);
        thread.join().unwrap();

        assert_eq!(in_the_part(&engine), 0);
        conserved(&engine, &[]);
    });
}

#[test]
fn the_part_for_strangers_is_made_smaller_while_one_comes() {
    within(3, || {
        let engine = engine(one_unproven());
        let set = engine.clone();
        let thread = thread::spawn(move || {
            let mut limits = one_unproven();
            limits.allowlisted_transient.conns = 0.into();
            set.set_limits(limits);
        });
        let came = unproven(&engine);
        thread.join().unwrap();

        assert!(unproven(&engine).is_none(), "the new limits are obeyed");
        assert_eq!(in_the_part(&engine), u64::from(came.is_some()));
        let leaves: Vec<&Leaf> = came.iter().map(|leaf| &**leaf).collect();
        conserved(&engine, &leaves);
    });
}
