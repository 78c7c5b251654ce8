//! A dry run evaluates what is granted: it counts no refusal without a reason, and changes no charge.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use loom_tests::{connection, conserved, engine, lending_engine, set_peer, within};
use rcmgr_atomic::internals::Engine;
use rcmgr_atomic::{Limits, Priority, ScopeClass};

/// Limits with a dry run in which system may hold this much memory.
fn with_dry_run(memory: u64) -> Limits {
    let mut dry_run = Limits::unlimited();
    dry_run.system.memory = memory.into();
    let mut limits = Limits::unlimited();
    limits.system.memory = 4096.into();
    limits.dry_run = Some(Arc::new(dry_run));
    limits
}

/// An engine with such a dry run. It begins later, because the stack of a model is small.
fn engine_with_dry_run(memory: u64) -> Arc<Engine> {
    let engine = engine(Limits::unlimited());
    engine.set_limits(with_dry_run(memory));
    engine
}

/// How often system would have refused memory.
fn let_pass(engine: &Engine) -> u64 {
    engine.dry_run_refusals()[ScopeClass::System as usize].memory
}

#[test]
fn two_reservations_are_evaluated_at_once() {
    within(3, || {
        let engine = engine_with_dry_run(1);
        let leaves = [(); 2].map(|()| connection(&engine));
        let other = leaves[1].clone();
        let thread = thread::spawn(move || other.reserve(1, Priority::Always).unwrap());
        leaves[0].reserve(1, Priority::Always).unwrap();
        thread.join().unwrap();

        // Both are granted. The later one is over the limit for sure, and the earlier one if it is
        // evaluated after both.
        let counted = let_pass(&engine);
        assert!((1..=2).contains(&counted), "{counted}");
        conserved(&engine, &[&leaves[0], &leaves[1]]);
    });
}

#[test]
fn a_reservation_that_fits_beside_a_release_is_not_counted() {
    within(3, || {
        let engine = engine_with_dry_run(2);
        let leaves = [(); 2].map(|()| connection(&engine));
        leaves[1].reserve(1, Priority::Always).unwrap();
        let other = leaves[1].clone();
        let thread = thread::spawn(move || other.release(1));
        leaves[0].reserve(1, Priority::Always).unwrap();
        thread.join().unwrap();

        assert_eq!(let_pass(&engine), 0);
        conserved(&engine, &[&leaves[0], &leaves[1]]);
    });
}

#[test]
fn credit_is_taken_while_a_dry_run_begins() {
    within(2, || {
        let mut limits = with_dry_run(0);
        limits.dry_run = None;
        let engine = lending_engine(limits, 4, 0);
        let leaf = connection(&engine);
        set_peer(&leaf).unwrap();
        // The path of the leaf has credit after these.
        leaf.reserve(1, Priority::Always).unwrap();
        leaf.reserve(1, Priority::Always).unwrap();
        let set = engine.clone();
        let thread = thread::spawn(move || set.set_limits(with_dry_run(4)));
        leaf.reserve(1, Priority::Always).unwrap();
        thread.join().unwrap();
        conserved(&engine, &[&leaf]);

        // From now on each grant is evaluated, and credit is not usage.
        let before = let_pass(&engine);
        leaf.reserve(1, Priority::Always).unwrap();
        assert_eq!(let_pass(&engine), before, "4 of 4 bytes");
        leaf.reserve(1, Priority::Always).unwrap();
        assert_eq!(let_pass(&engine), before + 1, "5 of 4 bytes");
        conserved(&engine, &[&leaf]);
    });
}
