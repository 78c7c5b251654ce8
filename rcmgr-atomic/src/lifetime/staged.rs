//! A word with a stage, and a value for each stage.
//!
//! The word of a leaf says at which stage the leaf is. The value of a stage (the path of the leaf)
//! is too large for the word, so it lies in a slot beside it. The slots are not atomic, and readers
//! take no lock. These rules keep reads and writes of a slot apart:
//!
//! - Only the holder of the claim writes a slot, and only the slot of the stage after the one that
//!   the word shows. Only the holder of the claim moves the word to that stage, after the write. So
//!   a slot is never written again once the word has reached its stage.
//! - A reader reads only the slot of a stage that it has read from the word. The holder of the
//!   claim also reads the slot after that, which no other thread writes. It does not write that
//!   slot while it holds a reference into it.
//! - The thread that closes the word retires the values of the stages that were reached, once.
//!   Other threads may still read them, so they stay in their slots. When the `Staged` is dropped,
//!   a closed word says that these values are retired already.
//!
//! `loom-tests/tests/staged.rs` has the models: the cells of loom fail if a read overlaps a write.
#![allow(unsafe_code)]

use super::retire::Retire;
use crate::sync::{AtomicU64, Claim, Claimed, Ordering, UnsafeCell, cold_path};
use crate::words::LeafWord;

/// A word with a stage, and a value for each stage.
pub struct Staged<T: Retire> {
    word: AtomicU64,
    /// Held by the thread that moves the word to its next stage.
    claim: Claim,
    slots: [UnsafeCell<Option<T>>; LeafWord::STAGES],
}

// SAFETY: a value is handed out by shared reference (T: Sync), and dropped or replaced by any
// thread that owns the `Staged` or holds the claim (T: Send). The head of this file says why a read
// never overlaps a write.
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

    /// The word, and the value of its stage.
    #[inline]
    pub fn load(&self) -> (LeafWord, &T) {
        // Acquire: pairs with the Release of the stage's step in `Mover::advance`.
        let word = LeafWord(self.word.load(Ordering::Acquire));
        (word, self.at(word))
    }

    #[inline]
    fn at(&self, word: LeafWord) -> &T {
        // SAFETY: the word shows this stage, so the slot was written before and is never written
        // again. Words come from `load` and `close`, which acquire.
        let slot = self.slot(word.stage()).with(|slot| unsafe { &*slot });
        slot.as_ref()
            .expect("a slot is written before its stage is reached")
    }

    /// The slot of a stage. If its address were computed from the stage, the read of the slot would
    /// wait for the word, which is slow to read if it was just changed. So the code branches on the
    /// stage: the processor predicts the branch and reads on. Most leaves are at stage 2.
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

    /// Swaps the word for one that differs in memory, if it is still `current`.
    ///
    /// # Errors
    ///
    /// The word as it is now, if it is not.
    #[inline]
    pub fn set_memory(&self, current: LeafWord, next: LeafWord) -> Result<(), LeafWord> {
        debug_assert!(next.same_but_memory(current));
        self.swap(current, next)
    }

    /// Marks in the word that some of the memory may belong to spans, if the word is still
    /// `current`.
    ///
    /// # Errors
    ///
    /// The word as it is now, if it is not.
    pub fn set_has_spans(&self, current: LeafWord) -> Result<(), LeafWord> {
        self.swap(current, current.with_spans())
    }

    #[inline]
    fn swap(&self, current: LeafWord, next: LeafWord) -> Result<(), LeafWord> {
        // Release: the charge, and the slot of the next stage, are written before the word says so.
        // Acquire: an amount that is given back afterwards was charged before. Acquire on failure,
        // as in `load`. SeqCst includes both: in one order with requests that begin to wait for the
        // leaf (`waiting/waiters.rs`).
        self.word
            .compare_exchange(current.0, next.0, Ordering::SeqCst, Ordering::Acquire)
            .map(drop)
            .map_err(LeafWord)
    }

    /// Closes the word. Only one caller gets a result: the one that closed it.
    pub fn close(&self) -> Option<Closed<'_, T>> {
        // One step reads the word and closes it, so the memory cannot change in between. AcqRel:
        // the memory that is given back was charged before, and all actions on the leaf come before
        // the word is closed. SeqCst includes that: as in `swap`.
        let before = LeafWord(self.word.fetch_or(LeafWord::CLOSED_BIT, Ordering::SeqCst));
        (!before.is_closed()).then(|| Closed {
            staged: self,
            before,
        })
    }

    /// The right to move the word to its next stage, for one holder at a time. This waits while
    /// another thread holds it: moves are rare, and all other operations proceed meanwhile.
    #[inline]
    pub fn claim(&self) -> Mover<'_, T> {
        Mover {
            staged: self,
            _claim: self.claim.lock(),
        }
    }
}

impl<T: Retire> Drop for Staged<T> {
    fn drop(&mut self) {
        // If the word is open, no value was retired: the slots drop them as usual.
        let (word, _) = self.load();
        if !word.is_closed() {
            return;
        }
        for slot in &self.slots[..=word.stage()] {
            // SAFETY: no other thread has access. The thread that closed the word retired this
            // value. The value is not dropped: it is taken out of its slot.
            drop(slot.with_mut(|slot| unsafe { (*slot).take().map(|held| held.into_retired()) }));
        }
    }
}

/// A word as it was when it was closed. Dropping this retires the values of the stages that it had
/// reached.
pub struct Closed<'a, T: Retire> {
    staged: &'a Staged<T>,
    before: LeafWord,
}

impl<T: Retire> Closed<'_, T> {
    pub fn word(&self) -> LeafWord {
        self.before
    }

    /// The value of the last stage.
    pub fn last(&self) -> &T {
        self.staged.at(self.before)
    }
}

impl<T: Retire> Drop for Closed<'_, T> {
    fn drop(&mut self) {
        for slot in &self.staged.slots[..=self.before.stage()] {
            // SAFETY: these stages were reached, so the slots are not written again. There is one
            // `Closed` for a word, and `Staged` does not drop values that are retired here.
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
    /// Stores the value of the next stage in its slot. It may be called again before the word
    /// moves: the value before is dropped.
    ///
    /// # Panics
    ///
    /// If there is no further stage.
    pub fn put(&mut self, next: T) {
        let (word, _) = self.staged.load();
        // SAFETY: only the holder of the claim writes slots, and that is this thread. The word is
        // at the stage before this slot's, or closed there for good, and only this thread can move
        // it on. So no other thread reads the slot.
        let replaced =
            self.staged.slots[word.stage() + 1].with_mut(|slot| unsafe { (*slot).replace(next) });
        drop(replaced);
    }

    /// Takes the value of the next stage out of its slot again: the word does not move.
    pub fn take(&mut self) -> Option<T> {
        let (word, _) = self.staged.load();
        // SAFETY: as in `put`.
        self.staged.slots[word.stage() + 1].with_mut(|slot| unsafe { (*slot).take() })
    }

    /// The value that was put for the next stage. The reference stays valid when the word moves on.
    ///
    /// # Panics
    ///
    /// If nothing was put since the word moved.
    pub fn next(&self) -> &T {
        let (word, _) = self.staged.load();
        // SAFETY: only the holder of the claim writes the slot, by `put` and `take`. These borrow
        // the mover mutably, so no reference from here is left by then.
        let slot = self.staged.slots[word.stage() + 1].with(|slot| unsafe { &*slot });
        slot.as_ref().expect("something was put")
    }

    /// Moves the word to the next stage, whose value was put, if the word is still `current` and is
    /// open.
    ///
    /// # Errors
    ///
    /// The word as it is now, if it is not.
    pub fn advance(&self, current: LeafWord) -> Result<(), LeafWord> {
        // A closed word must stay at its stage: the thread that closed it retires the values of the
        // stages up to that one.
        if current.is_closed() {
            return Err(current);
        }
        self.staged.swap(current, current.next_stage())
    }
}
