//! A word with a stage, and a value for each stage.
//!
//! The word of a leaf says at which stage the leaf is. The value of a stage (the path of the leaf)
//! is too large for the word, so it lies in a slot beside it. The slots are not atomic, and readers
//! take no lock. These rules keep reads and writes of a slot apart:
//!
//! - Only the holder of the claim writes a slot, and only the slot of the stage after the one that
//!   the word shows. Only the holder of the claim moves the word to that stage, after the write. So
//!   a slot is never written again once the word has reached its stage.
//! - A reader reads only the slot of a stage that it has read from the word, or guessed. The holder of the
//!   claim also reads the slot after that, which no other thread writes. It does not write that
//!   slot while it holds a reference into it.
//! - The thread that closes the word retires the values of the stages that were reached, once.
//!   Other threads may still read them, so they stay in their slots. When the `Staged` is dropped,
//!   a closed word says that these values are retired already.
//! - The tag of a value may say that the value before it ends when its stage is reached. Then the value
//!   before stays valid for reading as long as this one.
//!
//! `loom-tests/tests/staged.rs` has the models: the cells of loom fail if a read overlaps a write.
#![allow(unsafe_code)]

use std::mem;

use super::retire::Retire;
use crate::sync::{Claim, Claimed, GuessedWord, Ordering, UnsafeCell, cold_path};
use crate::words::LeafWord;

/// A word with a stage, and a value for each stage.
pub struct Staged<T: Retire, F = ()> {
    word: GuessedWord,
    /// Held by the thread that moves the word to its next stage.
    claim: Claim,
    /// How the value in each slot ends. It takes space that the alignment leaves free; with the value in
    /// one piece, a slot would be twice as large.
    tags: [UnsafeCell<u8>; LeafWord::STAGES],
    slots: [UnsafeCell<Option<T::Seen>>; LeafWord::STAGES],
    /// What never changes. A value of a byte or two lies in that space, too.
    pub fixed: F,
}

// SAFETY: a value is handed out by shared reference (Sync), as `fixed` is, and dropped or replaced by any thread that
// owns the `Staged` or holds the claim (Send). The head of this file says why a read never overlaps a
// write.
unsafe impl<T: Retire<Seen: Send + Sync> + Send + Sync, F: Sync> Sync for Staged<T, F> {}

impl<T: Retire, F> Staged<T, F> {
    /// A word at the first stage.
    #[inline]
    pub fn new(word: LeafWord, first: T, fixed: F) -> Self {
        let (seen, tag) = first.split();
        let mut first = Some(seen);
        Self {
            word: GuessedWord::new(word.0),
            claim: Claim::default(),
            tags: std::array::from_fn(|_| UnsafeCell::new(tag)),
            slots: std::array::from_fn(|_| UnsafeCell::new(first.take())),
            fixed,
        }
    }

    #[inline]
    pub fn word(&self) -> LeafWord {
        // Acquire: pairs with the Release of the stage's step in `Mover::advance`.
        LeafWord(self.word.load(Ordering::Acquire))
    }

    /// The word as it probably is, and the value of its stage: see [`GuessedWord`].
    #[inline]
    pub fn guess(&self) -> (LeafWord, &T::Seen) {
        let word = LeafWord(self.word.guess());
        (word, self.at(word))
    }

    /// The word, and the value of its stage.
    #[inline]
    pub fn load(&self) -> (LeafWord, &T::Seen) {
        let word = self.word();
        (word, self.at(word))
    }

    #[inline]
    fn at(&self, word: LeafWord) -> &T::Seen {
        // SAFETY: the word has shown this stage, so the slot was written before and is never written
        // again. Words come from `word`, `close` and `guess`, which acquire. A guess has the stage of a
        // word that the thread which noted it had read, or guessed likewise: only `advance` changes the
        // stage, and it notes the next one after the swap.
        let slot = self.slot(word.stage()).with(|slot| unsafe { &*slot });
        slot.as_ref()
            .expect("a slot is written before its stage is reached")
    }

    /// The slot of a stage. If its address were computed from the stage, the read of the slot would
    /// wait for the word, which is slow to read if it was just changed. So the code branches on the
    /// stage: the processor predicts the branch and reads on. Most leaves are at stage 2.
    #[inline]
    fn slot(&self, stage: usize) -> &UnsafeCell<Option<T::Seen>> {
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

    /// The tag of a stage that was reached, or of one that only the caller can reach; and whether the
    /// value of the stage ended when the next one was reached.
    fn tag(&self, at: usize, reached: usize) -> (u8, bool) {
        // SAFETY: only the holder of the claim writes a tag, before its stage is reached.
        let read = |at: usize| self.tags[at].with(|tag| unsafe { *tag });
        let (tag, _) = T::reached(read(at));
        (tag, at < reached && T::reached(read(at + 1)).1)
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
        // SeqCst: in one order with requests that begin to wait for the leaf (`waiting/waiters.rs`). It
        // is Release, too: the charge is written before the word says so. And Acquire: an amount that
        // is given back afterwards was charged before.
        self.word
            .swap_and_guess(current.0, next.0)
            .map_err(LeafWord)
    }

    /// Closes the word. Only one caller gets a result: the one that closed it.
    pub fn close(&self) -> Option<Closed<'_, T, F>> {
        // One step reads the word and closes it, so the memory cannot change in between. AcqRel:
        // the memory that is given back was charged before, and all actions on the leaf come before
        // the word is closed. SeqCst includes that: as in `swap`.
        let before = LeafWord(self.word.set_bits(LeafWord::CLOSED_BIT));
        (!before.is_closed()).then(|| Closed {
            staged: self,
            before,
        })
    }

    /// The right to move the word to its next stage, for one holder at a time. This waits while
    /// another thread holds it: moves are rare, and all other operations proceed meanwhile.
    #[inline]
    pub fn claim(&self) -> Mover<'_, T, F> {
        Mover {
            staged: self,
            _claim: self.claim.lock(),
        }
    }
}

impl<T: Retire, F> Drop for Staged<T, F> {
    fn drop(&mut self) {
        let word = self.word();
        let reached = word.stage();
        for at in 0..LeafWord::STAGES {
            // SAFETY: no other thread has access. The value is taken out of its slot.
            let taken = self.slots[at].with_mut(|slot| unsafe { (*slot).take() });
            let Some(seen) = taken else { continue };
            if at > reached {
                // SAFETY: as above.
                let tag = self.tags[at].with(|tag| unsafe { *tag });
                // SAFETY: this value was not retired.
                drop(unsafe { T::whole(seen, tag) });
                continue;
            }
            match self.tag(at, reached) {
                (_, true) => {}
                // SAFETY: the thread that closed the word retired this value.
                (tag, false) if word.is_closed() => drop(unsafe { T::into_retired(seen, tag) }),
                // SAFETY: this value was not retired.
                (tag, false) => drop(unsafe { T::whole(seen, tag) }),
            }
        }
    }
}

/// A word as it was when it was closed. Dropping this retires the values of the stages that it had
/// reached.
pub struct Closed<'a, T: Retire, F> {
    staged: &'a Staged<T, F>,
    before: LeafWord,
}

impl<T: Retire, F> Closed<'_, T, F> {
    pub fn word(&self) -> LeafWord {
        self.before
    }

    /// The value of the last stage.
    pub fn last(&self) -> &T::Seen {
        self.staged.at(self.before)
    }
}

impl<T: Retire, F> Drop for Closed<'_, T, F> {
    fn drop(&mut self) {
        let reached = self.before.stage();
        for at in 0..=reached {
            let (tag, has_ended) = self.staged.tag(at, reached);
            if has_ended {
                continue;
            }
            // SAFETY: these stages were reached, so the slots and tags are not written again. There is
            // one `Closed` for a word, and `Staged` makes no value whole that is retired here.
            let retire = |slot: *const Option<T::Seen>| unsafe {
                (*slot).as_ref().inspect(|seen| T::retire(seen, tag));
            };
            self.staged.slots[at].with(retire);
        }
    }
}

/// The right to move a word to its next stage.
pub struct Mover<'a, T: Retire, F = ()> {
    staged: &'a Staged<T, F>,
    _claim: Claimed<'a>,
}

impl<T: Retire, F> Mover<'_, T, F> {
    /// Stores the value of the next stage in its slot. It may be called again before the word
    /// moves: the value before is dropped.
    ///
    /// # Panics
    ///
    /// If there is no further stage.
    #[inline]
    pub fn put(&mut self, next: T) {
        let word = self.staged.word();
        let (at, (seen, tag)) = (word.stage() + 1, next.split());
        let (slot, tag_of_slot) = (&self.staged.slots[at], &self.staged.tags[at]);
        // SAFETY: only the holder of the claim writes slots and tags, and that is this thread. The word is
        // at the stage before this slot's, or closed there for good, and only this thread can move
        // it on. So no other thread reads the slot.
        let before = slot.with_mut(|slot| unsafe { (*slot).replace(seen) });
        // SAFETY: as above.
        let tag_before = tag_of_slot.with_mut(|at| unsafe { mem::replace(&mut *at, tag) });
        if let Some(seen) = before {
            // SAFETY: `put` took this value apart, and it is out of its slot.
            drop(unsafe { T::whole(seen, tag_before) });
        }
    }

    /// Moves the word to the next stage, with this value, if the word is still `current` and is open.
    ///
    /// # Errors
    ///
    /// The value, if it is not.
    #[inline]
    pub fn move_on(&mut self, current: LeafWord, next: T) -> Result<(), T> {
        self.put(next);
        match self.advance(current) {
            Ok(()) => Ok(()),
            Err(_) => Err(self.take().expect("it was just put")),
        }
    }

    /// Takes the value of the next stage out of its slot again: the word does not move.
    pub fn take(&mut self) -> Option<T> {
        let word = self.staged.word();
        let at = word.stage() + 1;
        // SAFETY: as in `put`.
        let seen = self.staged.slots[at].with_mut(|slot| unsafe { (*slot).take() })?;
        // SAFETY: as in `put`.
        let tag = self.staged.tags[at].with(|tag| unsafe { *tag });
        // SAFETY: `put` took this value apart, and it is out of its slot.
        Some(unsafe { T::whole(seen, tag) })
    }

    /// The tag of the value of this stage.
    #[inline]
    pub fn tag(&self) -> u8 {
        let word = self.staged.word();
        self.staged.tag(word.stage(), word.stage()).0
    }

    /// The value that was put for the next stage. The reference stays valid when the word moves on.
    ///
    /// # Panics
    ///
    /// If nothing was put since the word moved.
    pub fn next(&self) -> &T::Seen {
        let word = self.staged.word();
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
    #[inline]
    pub fn advance(&self, current: LeafWord) -> Result<(), LeafWord> {
        // A closed word must stay at its stage: the thread that closed it retires the values of the
        // stages up to that one.
        if current.is_closed() {
            return Err(current);
        }
        // Release: the slot of the next stage is written before the word says so. Another thread may not
        // guess so before: if the swap fails, the slot may be written again.
        self.staged
            .word
            .swap_first(current.0, current.next_stage().0)
            .map_err(LeafWord)
    }
}
