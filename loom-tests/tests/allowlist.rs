//! A connection that the allowlist let in moves to the standard scopes.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{CONNECTION, conserved, engine, open, within};
use rcmgr_atomic::internals::{Engine, Leaf, leave_allowlist};
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
