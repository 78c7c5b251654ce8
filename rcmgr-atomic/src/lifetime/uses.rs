//! The uses of a shared value: in its word, or in shards of threads.
//!
//! Threads that use one value contend for the word. Where they do, a value with shards of threads (a path
//! that lends) counts uses in these:
//!
//! - An *open* shard counts in the word once, whatever uses it has ([`ShardUses`]). A use that begins and
//!   ends in it touches nothing else, and remembers its shard. So the value has no use when the word
//!   counts neither a use nor a shard.
//! - A shard is opened by a thread that has a use in the word, and stays open without uses of its own. So
//!   with each open shard there is at least one use in the word. The thread that ends the last one of
//!   these *drains* the shards: it closes those without uses. The last use in another one closes that.
//!   Both then end the count of the shard in the word, as that of a use.
//! - A use in a shard holds the value in memory, and so does a retired one. A thread that closes a shard
//!   has a hold in it, turns the shard's count in the word into a reference, and then ends the hold. The last hold
//!   of a closed shard ends that reference. Only then can the shard be opened again.
//!
//! `loom-tests/tests/shared.rs` has the models.
#![allow(unsafe_code)]

use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::process;

use super::retire::Retire;
use super::shard_uses::ShardUses;
use super::shared::{Shared, abort_if_nearly_full};
use crate::sync::{Ordering, Pause};
use crate::words::UsesWord;

/// A value that does something when its last use has ended.
pub trait Collect: Sized {
    /// Called when the last use has ended. Another use may begin and end before this returns.
    fn unused(this: &Shared<Self>);

    /// The uses in the shard of this thread, and the number of the shard, if the value has shards. It has
    /// at most 64, and has them until it is freed.
    #[inline]
    fn shard_of_this_thread(&self) -> Option<(usize, &ShardUses)> {
        None
    }

    /// The uses in the shard of this number, if there is one.
    #[inline]
    fn shard(&self, _: usize) -> Option<&ShardUses> {
        None
    }
}

/// A use of a shared value. When the last use ends, [`Collect::unused`] is called.
pub struct Use<T: Collect> {
    shared: ManuallyDrop<Shared<T>>,
    counted: Counting,
}

/// Where a use is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counting(u8);

impl Counting {
    /// In the word of the value.
    const IN_WORD: Self = Self(0);

    fn in_shard(shard: usize) -> Self {
        Self(shard as u8 + 1)
    }

    #[inline]
    fn shard(self) -> Option<usize> {
        usize::from(self.0).checked_sub(1)
    }
}

/// A use that was retired. It keeps the value in memory.
pub struct Retired<T: Collect> {
    shared: ManuallyDrop<Shared<T>>,
    counted: Counting,
}

/// A use is cloned only while there are fewer uses than this.
const MAX_USES: u64 = UsesWord::MAX_USES / 2;

impl<T: Collect> Shared<T> {
    /// Adds a use. The caller has a use already, or holds the lock of the entry where the value is
    /// found.
    #[inline]
    pub fn join(&self) -> Use<T> {
        if let Some(joined) = self.join_in_open_shard() {
            return joined;
        }
        // Acquire: pairs with the Release of a use that ended. A use that begins after the last one
        // ended sees all actions under that one. Nothing is published by this step.
        let before = self.word().fetch_add(UsesWord::USE, Ordering::Acquire);
        abort_if_nearly_full(before);
        self.use_of(Counting::IN_WORD)
    }

    /// Adds a use, unless there is none: for a caller that only knows that there was one a moment
    /// ago.
    #[inline]
    pub fn try_join(&self) -> Option<Use<T>> {
        match self.join_in_open_shard() {
            Some(joined) => Some(joined),
            None => self.try_join_in_word(),
        }
    }

    /// Adds a use in the shard of this thread, if the value has shards, and that is open.
    #[inline]
    fn join_in_open_shard(&self) -> Option<Use<T>> {
        // Relaxed: a hint. Where no shard is open, this thread need not look for its own.
        let may_be_open = self.load(Ordering::Relaxed).shards() > 0;
        if may_be_open {
            self.join_in_shard()
        } else {
            None
        }
    }

    #[inline]
    fn try_join_in_word(&self) -> Option<Use<T>> {
        let mut word = self.load(Ordering::Relaxed);
        let mut contention = Pause::new();
        while !word.is_unused() {
            // Acquire on success: as in `join`. It fails when there is no use, so a value that was
            // removed from its map never has a use again.
            match self.word().compare_exchange_weak(
                word.0,
                word.0 + UsesWord::USE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(before) => {
                    abort_if_nearly_full(before);
                    return Some(self.use_of(Counting::IN_WORD));
                }
                Err(_) => word = self.load_after(&mut contention),
            }
        }
        None
    }

    /// Adds a use in the shard of this thread, if that is open. Then the value has a use: the shard.
    // Not inlined: most values have no shards, and their users stay small.
    #[inline(never)]
    fn join_in_shard(&self) -> Option<Use<T>> {
        let (number, shard) = self.shard_of_this_thread()?;
        shard
            .join()
            .then(|| self.use_of(Counting::in_shard(number)))
    }

    #[inline]
    fn use_of(&self, counted: Counting) -> Use<T> {
        Use {
            shared: ManuallyDrop::new(Self::at(self.cell)),
            counted,
        }
    }

    /// Turns a count of a use or an open shard into one of a reference. Returns the word before.
    fn turn_into_reference(&self, count: u64) -> UsesWord {
        // One step does both: a use less, and a reference more. So the word never passes zero.
        let step = count - UsesWord::REFERENCE;
        // AcqRel: all actions under a use come before the last use removes the value from its map.
        let before = self.word().fetch_sub(step, Ordering::AcqRel);
        abort_if_nearly_full(before);
        UsesWord(before)
    }

    /// Ends the count of a use in the word, which becomes a reference.
    fn end_use(&self) {
        let before = self.turn_into_reference(UsesWord::USE);
        if before.uses() > 1 {
            return;
        }
        if before.shards() == 0 {
            return T::unused(self);
        }
        // It was the last one in the word: drain the shards. A thread that opens a shard has a use in the
        // word. So after this one there is again a last one that drains that shard.
        for shard in (0..).map_while(|number| self.shard(number)) {
            if shard.drain() {
                self.end_shard(shard);
            }
        }
    }

    /// Ends the count of a shard in the word, which becomes a reference. The caller has closed the shard,
    /// and has a hold in it, which ends here.
    #[cold]
    fn end_shard(&self, shard: &ShardUses) {
        self.end_closed_shard();
        self.release_in(shard);
    }

    /// The same, where the hold stays.
    fn end_closed_shard(&self) {
        let before = self.turn_into_reference(UsesWord::SHARD);
        if before.uses() == 0 && before.shards() == 1 {
            T::unused(self);
        }
    }

    /// The shard that a use is counted in. `None` if it is counted in the word.
    #[inline]
    fn shard_counting(&self, counted: Counting) -> Option<&ShardUses> {
        let number = counted.shard()?;
        // A value keeps its shards.
        Some(self.shard(number).unwrap_or_else(|| process::abort()))
    }

    /// Ends a hold in a shard.
    fn release_in(&self, shard: &ShardUses) {
        if shard.release() {
            // The shard is closed and holds nothing: its reference in the word ends, too.
            drop(Self::at(self.cell));
        }
    }
}

impl<T: Collect> Use<T> {
    /// Opens the shard of this thread for uses that begin later. For a use that is counted in the word, in
    /// which threads contend.
    #[cold]
    pub fn open_shard(&self) {
        let Some((_, shard)) = self.shard_of_this_thread() else {
            return;
        };
        if self.counted != Counting::IN_WORD || !shard.is_free() {
            return;
        }
        // With no other use in the word, the end of this one would drain the shard at once.
        // Relaxed, here and below: a hint; and this use stays in the word meanwhile.
        if self.load(Ordering::Relaxed).uses() < 2 {
            return;
        }
        self.word().fetch_add(UsesWord::SHARD, Ordering::Relaxed);
        if !shard.open() {
            self.word().fetch_sub(UsesWord::SHARD, Ordering::Relaxed);
        }
    }

    fn drop_in_word(&self) {
        // 1. While there are other uses, the word stays above zero: one step ends this one.
        let mut word = self.load(Ordering::Relaxed);
        // If other threads use shards, this one should not write to the line of the word, either.
        if word.shards() > 0 {
            self.open_shard();
            word = self.load(Ordering::Relaxed);
        }
        let mut contention = Pause::new();
        while word.uses() > 1 {
            // Release: all actions under this use come before the last use removes the value from
            // its map.
            match self.word().compare_exchange_weak(
                word.0,
                word.0 - UsesWord::USE,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(_) => {
                    self.open_shard();
                    word = self.load_after(&mut contention);
                }
            }
        }
        // 2. This looks like the last use. It becomes a reference, which keeps the value in memory
        //    until the end of this function. (Another use may have begun since step 1.)
        self.end_use();
        drop(Shared::at(self.cell));
    }

    #[inline(never)]
    fn drop_in_shard(&self) {
        let Some(shard) = self.shard_counting(self.counted) else {
            return;
        };
        // If this does not close the shard, the value may be freed from here on.
        if !shard.leave() {
            self.end_shard(shard);
        }
    }
}

// SAFETY: a retired use is counted as a reference, or as a hold in its shard. Either keeps the value in
// memory.
unsafe impl<T: Collect> Retire for Use<T> {
    type Seen = ManuallyDrop<Shared<T>>;
    type Retired = Retired<T>;

    #[inline]
    fn split(self) -> (Self::Seen, u8) {
        let parts = (ManuallyDrop::new(Shared::at(self.cell)), self.counted.0);
        mem::forget(self);
        parts
    }

    #[inline]
    unsafe fn whole(shared: Self::Seen, tag: u8) -> Self {
        let counted = Counting(tag);
        Self { shared, counted }
    }

    unsafe fn retire(shared: &Self::Seen, tag: u8) {
        match shared.shard_counting(Counting(tag)) {
            None => shared.end_use(),
            Some(shard) => {
                if shard.retire() {
                    shared.end_closed_shard();
                }
            }
        }
    }

    unsafe fn into_retired(shared: Self::Seen, tag: u8) -> Retired<T> {
        let counted = Counting(tag);
        Retired { shared, counted }
    }
}

impl<T: Collect> Drop for Retired<T> {
    fn drop(&mut self) {
        match self.shared.shard_counting(self.counted) {
            None => drop(Shared::at(self.shared.cell)),
            Some(shard) => self.shared.release_in(shard),
        }
    }
}

impl<T: Collect> Clone for Use<T> {
    /// # Panics
    ///
    /// If there are [`MAX_USES`] uses.
    fn clone(&self) -> Self {
        // Relaxed: the check may be late by one use for each thread that clones now. The bound is
        // half of what the word can count, so an overflow would need 2³¹ threads.
        let uses = self.load(Ordering::Relaxed).uses();
        assert!(
            uses < MAX_USES,
            "{uses} uses, most of them forgotten clones"
        );
        self.join()
    }
}

impl<T: Collect> Deref for Use<T> {
    type Target = Shared<T>;

    #[inline]
    fn deref(&self) -> &Shared<T> {
        &self.shared
    }
}

impl<T: Collect> Drop for Use<T> {
    #[inline]
    fn drop(&mut self) {
        if self.counted == Counting::IN_WORD {
            self.drop_in_word();
        } else {
            self.drop_in_shard();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    struct Value;

    impl Collect for Value {
        fn unused(_: &Shared<Self>) {}
    }

    #[test]
    fn forgotten_clones_never_overflow_the_count_of_uses() {
        let user = Shared::new(Value).join();
        let forgotten = UsesWord::USE * (MAX_USES - 2);
        user.word().fetch_add(forgotten, Ordering::Relaxed);
        let last = user.clone();
        let clone = catch_unwind(AssertUnwindSafe(|| user.clone()));
        assert!(clone.is_err());
        assert_eq!(user.load(Ordering::Relaxed).uses(), MAX_USES);
        drop(last);
        user.word().fetch_sub(forgotten, Ordering::Relaxed);
        assert!(!user.has_several_uses());
    }
}
