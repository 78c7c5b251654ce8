//! The slots beside a leaf's word, which are reached without a lock: loom's cells fail if a read
//! meets a write.
#![cfg(loom)]

use std::sync::Arc;

use loom::thread;
use rcmgr_atomic::internals::Staged;

#[test]
fn does_a_reader_meet_the_write_of_a_slot() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(0));
        let reader = staged.clone();
        let thread = thread::spawn(move || {
            let (word, &value) = reader.load();
            assert_eq!(word.stage(), value);
        });
        let mut mover = staged.claim();
        mover.put(7);
        mover.put(1);
        let next = mover.next();
        mover.advance(staged.load().0).ok().unwrap();
        assert_eq!(*next, 1);
        drop(mover);
        thread.join().unwrap();
        assert_eq!(*staged.load().1, 1);
    });
}

#[test]
fn do_two_movers_meet() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(0));
        let step = |staged: &Staged<usize>| {
            let mut mover = staged.claim();
            let (word, _) = staged.load();
            mover.put(word.stage() + 1);
            assert_eq!(*mover.next(), word.stage() + 1);
            mover.advance(word).ok().unwrap();
        };
        let other = staged.clone();
        let thread = thread::spawn(move || step(&other));
        step(&staged);
        thread.join().unwrap();
        let (word, &value) = staged.load();
        assert_eq!((word.stage(), value), (2, 2));
    });
}

#[test]
fn does_a_close_find_the_slot_of_its_stage() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(0));
        let other = staged.clone();
        let thread = thread::spawn(move || {
            let mut mover = other.claim();
            mover.put(1);
            let _ = mover.advance(other.load().0);
        });
        let (word, &value) = staged.close().expect("closed once");
        assert_eq!(word.stage(), value);
        thread.join().unwrap();
        assert!(staged.close().is_none());
    });
}
