//! The slots beside a leaf's word, which are reached without a lock: loom's cells fail if a read
//! meets a write.
#![cfg(loom)]
#![allow(unsafe_code)]

use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use rcmgr_atomic::internals::{LeafWord, Retire, Staged};

/// A stage's number, which knows whether it was retired: loom's cell fails if that is read while it
/// is written, and a flag would be set twice if it were retired twice.
struct Stage {
    number: usize,
    is_retired: AtomicBool,
}

impl Stage {
    fn new(number: usize) -> Self {
        let is_retired = AtomicBool::new(false);
        Self { number, is_retired }
    }
}

// SAFETY: nothing is freed by it.
unsafe impl Retire for Stage {
    type Retired = ();

    unsafe fn retire(&self) {
        assert!(
            !self.is_retired.swap(true, Ordering::AcqRel),
            "retired once"
        );
    }

    unsafe fn into_retired(self) {
        assert!(self.is_retired.load(Ordering::Acquire), "retired before");
        std::mem::forget(self);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        assert!(
            !self.is_retired.load(Ordering::Acquire),
            "retired, and dropped"
        );
    }
}

#[test]
fn does_a_reader_meet_the_write_of_a_slot() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0)));
        let reader = staged.clone();
        let thread = thread::spawn(move || {
            let (word, stage) = reader.load();
            assert_eq!(word.stage(), stage.number);
        });
        let mut mover = staged.claim();
        mover.put(Stage::new(7));
        mover.put(Stage::new(1));
        let next = mover.next();
        mover.advance(staged.load().0).ok().unwrap();
        assert_eq!(next.number, 1);
        drop(mover);
        thread.join().unwrap();
        assert_eq!(staged.load().1.number, 1);
    });
}

#[test]
fn do_two_movers_meet() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0)));
        let step = |staged: &Staged<Stage>| {
            let mut mover = staged.claim();
            let (word, _) = staged.load();
            mover.put(Stage::new(word.stage() + 1));
            assert_eq!(mover.next().number, word.stage() + 1);
            mover.advance(word).ok().unwrap();
        };
        let other = staged.clone();
        let thread = thread::spawn(move || step(&other));
        step(&staged);
        thread.join().unwrap();
        let (word, stage) = staged.load();
        assert_eq!((word.stage(), stage.number), (2, 2));
    });
}

#[test]
fn does_a_close_find_the_slot_of_its_stage() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0)));
        let other = staged.clone();
        let thread = thread::spawn(move || {
            let mut mover = other.claim();
            mover.put(Stage::new(1));
            if mover.advance(other.load().0).is_err() {
                let back = mover.take().expect("it is there still");
                assert!(!back.is_retired.load(Ordering::Acquire));
            }
        });
        let closed = staged.close().expect("closed once");
        assert_eq!(closed.word().stage(), closed.last().number);
        drop(closed);
        thread.join().unwrap();
        assert!(staged.close().is_none());
        // What is dropped here looks whether it was retired.
        Arc::into_inner(staged).expect("the only one");
    });
}

#[test]
fn does_a_reader_find_what_was_retired() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0)));
        let other = staged.clone();
        let thread = thread::spawn(move || drop(other.close()));
        let (_, stage) = staged.load();
        assert_eq!(stage.number, 0);
        let closed = staged.close();
        drop(closed);
        thread.join().unwrap();
        let (word, stage) = staged.load();
        assert!(word.is_closed() && stage.is_retired.load(Ordering::Acquire));
        Arc::into_inner(staged).expect("the only one");
    });
}
