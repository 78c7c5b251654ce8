//! The slots beside the word of a leaf, which are read without a lock. The cells of loom fail if a
//! read overlaps a write.
#![cfg(loom)]
#![allow(unsafe_code)]

use std::mem::ManuallyDrop;
use std::sync::Arc;

use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use rcmgr_atomic::internals::{LeafWord, Retire, Staged};

/// The value of a stage: its number, and whether it was retired. The assertions fail if it is
/// retired twice, or retired and dropped.
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

// SAFETY: `retire` frees nothing.
unsafe impl Retire for Stage {
    type Seen = ManuallyDrop<Self>;
    type Retired = ();

    fn split(self) -> (ManuallyDrop<Self>, u8) {
        let tag = self.number as u8;
        (ManuallyDrop::new(self), tag)
    }

    unsafe fn whole(seen: ManuallyDrop<Self>, tag: u8) -> Self {
        assert_eq!(usize::from(tag), seen.number);
        ManuallyDrop::into_inner(seen)
    }

    unsafe fn retire(seen: &ManuallyDrop<Self>, tag: u8) {
        assert_eq!(usize::from(tag), seen.number);
        assert!(
            !seen.is_retired.swap(true, Ordering::AcqRel),
            "retired once"
        );
    }

    unsafe fn into_retired(seen: ManuallyDrop<Self>, tag: u8) {
        assert_eq!(usize::from(tag), seen.number);
        assert!(seen.is_retired.load(Ordering::Acquire), "retired before");
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
fn a_read_never_overlaps_the_write_of_a_slot() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0), ()));
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
fn two_movers_take_turns() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0), ()));
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
fn a_close_finds_the_value_of_its_stage() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0), ()));
        let other = staged.clone();
        let thread = thread::spawn(move || {
            let mut mover = other.claim();
            mover.put(Stage::new(1));
            if mover.advance(other.load().0).is_err() {
                let back = mover.take().expect("it is still there");
                assert!(!back.is_retired.load(Ordering::Acquire));
            }
        });
        let closed = staged.close().expect("closed once");
        assert_eq!(closed.word().stage(), closed.last().number);
        drop(closed);
        thread.join().unwrap();
        assert!(staged.close().is_none());
        // The drop checks that each value that was retired is not dropped.
        Arc::into_inner(staged).expect("the only one");
    });
}

#[test]
fn a_guess_leads_to_a_slot_that_was_written() {
    loom::model(|| {
        let byte = LeafWord::OPENED.more(1);
        let staged = Arc::new(Staged::new(byte, Stage::new(0), ()));
        assert_eq!(staged.guess().0.memory(), 1);
        let guesser = staged.clone();
        let thread = thread::spawn(move || {
            let (word, stage) = guesser.guess();
            assert_eq!(word.stage(), stage.number);
            let added = guesser.set_memory(word, word.more(100)).is_ok();
            let (word, stage) = guesser.guess();
            assert_eq!(word.stage(), stage.number);
            added
        });
        let mut mover = staged.claim();
        let word = staged.load().0;
        mover.put(Stage::new(1));
        if mover.advance(word).is_err() {
            // The other thread was faster. It does not see the value that is taken out again.
            drop(mover.take());
            mover.put(Stage::new(1));
            mover.advance(staged.load().0).ok().unwrap();
        }
        drop(mover);
        let mut word = staged.load().0;
        while let Err(now) = staged.set_memory(word, word.more(10)) {
            word = now;
        }
        let added = thread.join().unwrap();
        let (word, stage) = staged.load();
        assert_eq!((word.stage(), stage.number), (1, 1));
        assert_eq!(word.memory(), if added { 111 } else { 11 });
        // The guess may be wrong now. The next swap corrects it.
        assert!(staged.set_memory(word, word.less(1)).is_ok());
        assert_eq!(staged.guess().0.memory(), word.memory() - 1);
    });
}

#[test]
fn a_guess_that_a_third_thread_noted_leads_to_a_slot_that_was_written() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0), ()));
        let (mover, changer) = (staged.clone(), staged.clone());
        let moves = thread::spawn(move || {
            let mut claim = mover.claim();
            claim.put(Stage::new(1));
            let mut word = mover.load().0;
            while let Err(now) = claim.advance(word) {
                word = now;
            }
        });
        let changes = thread::spawn(move || {
            let word = changer.load().0;
            changer.set_memory(word, word.more(1)).is_ok()
        });
        let (word, stage) = staged.guess();
        assert_eq!(word.stage(), stage.number);
        moves.join().unwrap();
        let changed = changes.join().unwrap();
        let (word, stage) = staged.load();
        assert_eq!((word.stage(), stage.number), (1, 1));
        assert_eq!(word.memory(), u64::from(changed));
    });
}

#[test]
fn a_reader_still_finds_a_retired_value() {
    loom::model(|| {
        let staged = Arc::new(Staged::new(LeafWord::OPENED, Stage::new(0), ()));
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
