//! A word with a stage, and for each stage something that goes with it.
//!
//! The one place with `unsafe`. A leaf's word says at which stage it is; what belongs to the stage
//! (its path) is too large for the word and lies in a slot beside it. Readers take no lock:
//!
//! - A slot is written only by the holder of the claim, only for the stage after the one that the
//!   word shows, and the word moves to that stage only by the holder of the claim, after the
//!   write. So a slot whose stage the word has reached is never written again.
//! - A reader only looks into the slot of a stage that it has read from the word. The holder of the
//!   claim also looks into the slot after that, which nobody else writes; it writes none as long as
//!   it holds on to what it found there.
//!
//! `loom-tests/tests/staged.rs` has the models: loom's cells fail if a read meets a write.
#![allow(unsafe_code)]

use crate::sync::{AtomicU64, Claim, Claimed, Ordering, UnsafeCell};
use crate::word::LeafWord;

/// A word, and what goes with each of its stages.
pub struct Staged<T> {
    word: AtomicU64,
    /// Held by the one that moves the word to its next stage.
    claim: Claim,
    slots: [UnsafeCell<Option<T>>; LeafWord::STAGES],
}

// SAFETY: a slot is handed out by shared reference (T: Sync), and dropped or replaced by whatever
// thread holds the value or the claim (T: Send). The module's head says why a read never meets a
// write.
unsafe impl<T: Send + Sync> Sync for Staged<T> {}

impl<T> Staged<T> {
    /// An open word at the first stage.
    pub fn new(first: T) -> Self {
        let mut first = Some(first);
        Self {
            word: AtomicU64::new(LeafWord::OPENED.0),
            claim: Claim::default(),
            slots: std::array::from_fn(|_| UnsafeCell::new(first.take())),
        }
    }

    /// The word, and what goes with its stage.
    #[inline]
    pub fn load(&self) -> (LeafWord, &T) {
        // Acquire: pairs with the Release of the stage's step in `Mover::advance`.
        let word = LeafWord(self.word.load(Ordering::Acquire));
        (word, self.at(word))
    }

    #[inline]
    fn at(&self, word: LeafWord) -> &T {
        // SAFETY: the word shows this stage, so the slot was written before and never will be
        // again. Words come from `load` and `close`, which acquire.
        let slot = self.slots[word.stage()].with(|slot| unsafe { &*slot });
        slot.as_ref().expect("a stage is reached after its slot")
    }

    /// Swaps the memory, if the word is `current` still; else says what it is now.
    #[inline]
    pub fn set_memory(&self, current: LeafWord, memory: u64) -> Result<(), LeafWord> {
        self.swap(current, current.with_memory(memory))
    }

    /// Says that some of the memory may be that of spans from now on, if the word is `current`
    /// still; else says what it is now.
    pub fn set_shared(&self, current: LeafWord) -> Result<(), LeafWord> {
        self.swap(current, current.shared())
    }

    #[inline]
    fn swap(&self, current: LeafWord, next: LeafWord) -> Result<(), LeafWord> {
        // Release: what was charged, and the slot of the next stage, is there before the word says
        // so. Acquire: what is given back afterwards was charged before. On failure as in `load`.
        self.word
            .compare_exchange(current.0, next.0, Ordering::AcqRel, Ordering::Acquire)
            .map(drop)
            .map_err(LeafWord)
    }

    /// Closes the word. What it was, to the one caller that closed it, with what goes with it.
    pub fn close(&self) -> Option<(LeafWord, &T)> {
        // One step: nobody can change the memory between its reading and the closing.
        let before = LeafWord(self.word.fetch_or(LeafWord::CLOSED_BIT, Ordering::AcqRel));
        (!before.is_closed()).then(|| (before, self.at(before)))
    }

    /// The right to move the word to its next stage, for one holder at a time. It waits for
    /// another holder: moves are rare, and everything else goes on meanwhile.
    #[inline]
    pub fn claim(&self) -> Mover<'_, T> {
        Mover {
            staged: self,
            _claim: self.claim.hold(),
        }
    }
}

/// The right to move a word to its next stage.
pub struct Mover<'a, T> {
    staged: &'a Staged<T>,
    _claim: Claimed<'a>,
}

impl<T> Mover<'_, T> {
    /// Says what goes with the stage after the present one.
    ///
    /// # Panics
    ///
    /// If there is no further stage.
    pub fn put(&mut self, next: T) {
        let (word, _) = self.staged.load();
        // SAFETY: only the holder of the claim writes, that is us; the word is at the stage before
        // (or closed there for good) and only we could move it on, so nobody looks into the slot.
        let replaced =
            self.staged.slots[word.stage() + 1].with_mut(|slot| unsafe { (*slot).replace(next) });
        drop(replaced);
    }

    /// What was put for the next stage. It stays there when the word has moved on.
    ///
    /// # Panics
    ///
    /// If nothing was put since the word moved.
    pub fn next(&self) -> &T {
        let (word, _) = self.staged.load();
        // SAFETY: only the holder of the claim writes there, by `put`, for which nobody else may
        // hold on to the mover.
        let slot = self.staged.slots[word.stage() + 1].with(|slot| unsafe { &*slot });
        slot.as_ref().expect("something was put")
    }

    /// Moves to the next stage, for which something was put, if the word is `current` still; else
    /// says what it is now.
    pub fn advance(&self, current: LeafWord) -> Result<(), LeafWord> {
        self.staged.swap(current, current.next_stage())
    }
}
