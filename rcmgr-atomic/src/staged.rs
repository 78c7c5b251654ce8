//! A word with a stage, and for each stage something that goes with it.
//!
//! A leaf's word says at which stage it is; what belongs to the stage (its path) is too large for the
//! word and lies in a slot beside it. Readers take no lock:
//!
//! - A slot is written only by the holder of the claim, only for the stage after the one that the
//!   word shows, and the word moves to that stage only by the holder of the claim, after the
//!   write. So a slot whose stage the word has reached is never written again.
//! - A reader only looks into the slot of a stage that it has read from the word. The holder of the
//!   claim also looks into the slot after that, which nobody else writes; it writes none as long as
//!   it holds on to what it found there.
//! - What is in the slots of the stages that were reached is retired by the one that closes the word,
//!   once, and by nobody else. Readers may still look at it. So when the whole is dropped, the word
//!   says whether these slots are retired: if it is closed.
//!
//! `loom-tests/tests/staged.rs` has the models: loom's cells fail if a read meets a write.
#![allow(unsafe_code)]

use std::hint::cold_path;

use crate::sync::{AtomicU64, Claim, Claimed, Ordering, UnsafeCell};
use crate::word::LeafWord;

/// What can be given up while others still look at it.
///
/// # Safety
///
/// What was retired stays good for reading until it is turned into what is left of it.
pub unsafe trait Retire {
    /// What is left of it.
    type Retired;

    /// Gives it up, but for its memory.
    ///
    /// # Safety
    ///
    /// It is called once, and what was retired is not dropped but turned into what is left of it.
    unsafe fn retire(&self);

    /// What is left of it.
    ///
    /// # Safety
    ///
    /// It was retired.
    unsafe fn into_retired(self) -> Self::Retired;
}

/// A word, and what goes with each of its stages.
pub struct Staged<T: Retire> {
    word: AtomicU64,
    /// Held by the one that moves the word to its next stage.
    claim: Claim,
    slots: [UnsafeCell<Option<T>>; LeafWord::STAGES],
}

// SAFETY: a slot is handed out by shared reference (T: Sync), and dropped or replaced by whatever
// thread holds the value or the claim (T: Send). The module's head says why a read never meets a
// write.
unsafe impl<T: Retire + Send + Sync> Sync for Staged<T> {}

impl<T: Retire> Staged<T> {
    /// A word at the first stage.
    #[inline]
    pub fn new(word: LeafWord, first: T) -> Self {
        let mut first = Some(first);
        Self {
            word: AtomicU64::new(word.0),
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
        let slot = self.slot(word.stage()).with(|slot| unsafe { &*slot });
        slot.as_ref().expect("a stage is reached after its slot")
    }

    /// The slot of a stage. A word that was just stepped on is slow to read, and all that is found by
    /// the stage in it would wait. So where leaves are most, the stage is told by a jump: a processor
    /// foresees it and reads on.
    #[inline]
    fn slot(&self, stage: usize) -> &UnsafeCell<Option<T>> {
        if stage == 2 {
            return &self.slots[2];
        }
        cold_path();
        if stage == 0 {
            return &self.slots[0];
        }
        cold_path();
        &self.slots[stage]
    }

    /// Swaps the word for one with other memory, if it is `current` still; else says what it is now.
    #[inline]
    pub fn set_memory(&self, current: LeafWord, next: LeafWord) -> Result<(), LeafWord> {
        debug_assert!(next.same_but_memory(current));
        self.swap(current, next)
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

    /// Closes the word, for one caller only.
    pub fn close(&self) -> Option<Closed<'_, T>> {
        // One step: nobody can change the memory between its reading and the closing.
        let before = LeafWord(self.word.fetch_or(LeafWord::CLOSED_BIT, Ordering::AcqRel));
        (!before.is_closed()).then(|| Closed {
            staged: self,
            before,
        })
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

impl<T: Retire> Drop for Staged<T> {
    fn drop(&mut self) {
        let (word, _) = self.load();
        if !word.is_closed() {
            return;
        }
        for slot in &self.slots[..=word.stage()] {
            // SAFETY: nobody else has access. What was there when the word was closed was retired by
            // the one that closed it, and is not dropped: it is gone from its slot.
            drop(slot.with_mut(|slot| unsafe { (*slot).take().map(|held| held.into_retired()) }));
        }
    }
}

/// What a word was when it was closed. When this goes, what went with its stages is retired.
pub struct Closed<'a, T: Retire> {
    staged: &'a Staged<T>,
    before: LeafWord,
}

impl<T: Retire> Closed<'_, T> {
    pub fn word(&self) -> LeafWord {
        self.before
    }

    /// What goes with the last stage.
    pub fn last(&self) -> &T {
        self.staged.at(self.before)
    }
}

impl<T: Retire> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        for slot in &self.staged.slots[..=self.before.stage()] {
            // SAFETY: these stages were reached, so the slots are not written again; there is one of
            // this for a word, and `Staged` drops nothing of what is retired here.
            slot.with(|slot| unsafe { (*slot).as_ref().inspect(|held| held.retire()) });
        }
    }
}

/// The right to move a word to its next stage.
pub struct Mover<'a, T: Retire> {
    staged: &'a Staged<T>,
    _claim: Claimed<'a>,
}

impl<T: Retire> Mover<'_, T> {
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

    /// Takes back what was put for the next stage.
    pub fn take(&mut self) -> Option<T> {
        let (word, _) = self.staged.load();
        // SAFETY: as in `put`.
        self.staged.slots[word.stage() + 1].with_mut(|slot| unsafe { (*slot).take() })
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

    /// Moves to the next stage, for which something was put, if the word is `current` still, and open;
    /// else says what it is now.
    pub fn advance(&self, current: LeafWord) -> Result<(), LeafWord> {
        // Closed, it stays where it is: what was reached then is retired, and no more.
        if current.is_closed() {
            return Err(current);
        }
        self.staged.swap(current, current.next_stage())
    }
}
