//! The uses of a shared value: in its word, in its entry, or in shards of threads.
//!
//! A thread that finds a value in a map holds the lock of the entry there. No other thread can begin a use
//! in the entry meanwhile, so such a use takes no atomic step: a plain store counts it ([`EntryUses`]). Its
//! end is subtracted from the word as that of any use, and the count in the word wraps around. So the uses
//! *in the word* are the sum of both counts:
//!
//! - A thread reads the word first (Acquire), and then the uses that began in the entry. So it sees the
//!   beginning of each use whose end it sees, and the sum counts each use that the thread knows of. It may
//!   be too low by uses that begin in the entry and that the thread does not see. It may be too high by
//!   uses that began and ended after the word was read.
//! - A compare-and-swap of the word that succeeds rules the latter out: the word had this value then, and the
//!   other count only grew. So a thread whose own use is not the last by this sum may end it by that step.
//! - The thread that ends the last use sees exactly one, because all others ended before in the word. (Or it
//!   sees a later one, whose end is the last.)
//! - A value is removed from its entry under the lock, and only if the sum is zero there. Then it is exact,
//!   and no use can begin.
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

use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::process;

use super::entry_uses::EntryUses;
use super::shard_uses::ShardUses;
use super::shared::{Shared, abort_if};
use crate::sync::{Ordering, Pause};
use crate::words::{EntryState, UseTag, UsesWord};

/// A value that does something when its last use has ended.
pub trait Collect: Sized {
    /// Called when the last use has ended. Another use may begin and end before this returns.
    fn unused(this: &Shared<Self>);

    /// The uses that began in the entry where the value is found.
    fn entry_uses(&self) -> &EntryUses;

    /// The value before this one, which is in use while this one is found. Leaves that move from there may
    /// hand their uses of it over to this one.
    fn before(&self) -> Option<&Shared<Self>> {
        None
    }

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
    pub(super) shared: ManuallyDrop<Shared<T>>,
    pub(super) counted: UseTag,
}

/// The counts of a value, as a thread saw them.
#[derive(Clone, Copy)]
struct Seen {
    /// The word of the value.
    word: u64,
    /// The same, with the uses that began in the entry: see the head of this file.
    counts: UsesWord,
}

/// A use is cloned only while there are fewer uses than this.
const MAX_USES: u64 = UsesWord::MAX_USES / 4;

impl<T: Collect> Shared<T> {
    /// The counts, as exact as the head of this file says.
    #[inline]
    fn seen(&self) -> Seen {
        // Acquire, and before the uses of the entry are read: see the head of this file.
        self.seen_with(self.load(Ordering::Acquire).0)
    }

    #[inline]
    fn seen_with(&self, word: u64) -> Seen {
        let counts = UsesWord(word.wrapping_add(self.entry_uses().in_word()));
        Seen { word, counts }
    }

    /// The counts after a pause, for a thread that another was faster than. A thread that tries again at
    /// once takes the cache line away from others that would have succeeded.
    #[cold]
    fn seen_after(&self, pause: &mut Pause) -> Seen {
        pause.longer();
        self.seen()
    }

    /// Whether there is more than one use.
    pub fn has_several_uses(&self) -> bool {
        let counts = self.seen().counts;
        counts.uses() + counts.shards() > 1
    }

    /// The counts at one moment, for a look that is rare: where the counts are very high.
    #[cold]
    fn exact_counts(&self) -> UsesWord {
        loop {
            let Seen { word, counts } = self.seen();
            // Acquire: as in `seen`. The word did not change while the other count was read.
            if self.load(Ordering::Acquire).0 == word {
                return counts;
            }
        }
    }

    /// Aborts the program if there are very many uses.
    #[cold]
    fn abort_if_many(&self) {
        abort_if(self.exact_counts().has_many_uses());
    }

    /// No fewer than the uses that began under the lock of the entry and have not ended. (Some may have
    /// just ended.) The caller holds that lock.
    pub(super) fn all_uses(&self) -> u64 {
        let counts = self.seen().counts;
        let in_shards = (0..).map_while(|number| self.shard(number));
        let in_shards = in_shards.map(ShardUses::uses);
        match counts.shards() {
            0 => counts.uses(),
            _ => counts.uses() + in_shards.sum::<u64>(),
        }
    }

    /// Whether there is no use: then it gets none again. The caller holds the lock of the entry where the
    /// value is found, and removes it from there.
    pub fn end_if_unused(&self) -> bool {
        let counts = self.seen().counts;
        if counts.is_unused() && counts.entry() == EntryState::Used {
            // Relaxed: the value stays in memory, and nothing is published.
            self.word()
                .fetch_add(UsesWord::NEXT_ENTRY_STATE, Ordering::Relaxed);
        }
        counts.is_unused()
    }

    /// Adds a use. The caller has a use already.
    #[inline]
    pub fn join(&self) -> Use<T> {
        self.join_in_open_shard()
            .unwrap_or_else(|| self.join_in_word())
    }

    #[inline]
    fn join_in_word(&self) -> Use<T> {
        // Acquire: pairs with the Release of a use that ended. A use that begins after the last one
        // ended sees all actions under that one. Nothing is published by this step.
        let before = self.word().fetch_add(UsesWord::USE, Ordering::Acquire);
        if self.seen_with(before).counts.has_many_uses() {
            self.abort_if_many();
        }
        self.use_of(UseTag::IN_WORD)
    }

    /// Adds a use. The caller holds the lock of the entry where the value is found.
    #[inline]
    pub fn join_in_entry(&self) -> Use<T> {
        let counts = self.seen().counts;
        if counts.shards() > 0
            && let Some(joined) = self.join_in_shard()
        {
            return joined;
        }
        abort_if(counts.has_many_uses());
        if counts.entry() == EntryState::Unused {
            // Relaxed: nothing is published, and the lock of the entry orders it before the removal.
            self.word()
                .fetch_add(UsesWord::NEXT_ENTRY_STATE, Ordering::Relaxed);
        }
        self.entry_uses().add();
        self.use_of(UseTag::IN_WORD)
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

    /// The same, counted in the word: for a value that keeps the use for as long as it is found.
    #[inline]
    pub fn try_join_in_word(&self) -> Option<Use<T>> {
        let mut seen = self.seen();
        let mut contention = Pause::new();
        while !seen.counts.is_unused() {
            // Acquire on success: as in `join`. It fails when there is no use, so a value that was
            // removed from its map never has a use again.
            let step = self.word().compare_exchange_weak(
                seen.word,
                seen.word.wrapping_add(UsesWord::USE),
                Ordering::Acquire,
                Ordering::Relaxed,
            );
            if step.is_ok() {
                abort_if(seen.counts.has_many_uses());
                return Some(self.use_of(UseTag::IN_WORD));
            }
            seen = self.seen_after(&mut contention);
        }
        None
    }

    /// Adds a use in the shard of this thread, if that is open. Then the value has a use: the shard.
    // Not inlined: most values have no shards, and their users stay small.
    #[inline(never)]
    fn join_in_shard(&self) -> Option<Use<T>> {
        let (number, shard) = self.shard_of_this_thread()?;
        shard.join().then(|| self.use_of(UseTag::in_shard(number)))
    }

    #[inline]
    fn use_of(&self, counted: UseTag) -> Use<T> {
        Use {
            shared: ManuallyDrop::new(Self::at(self.cell)),
            counted,
        }
    }

    /// Turns a count of a use or an open shard into one of a reference. Returns the counts before.
    fn turn_into_reference(&self, count: u64) -> UsesWord {
        // One step does both: a use less, and a reference more. So the value stays in memory.
        let step = count - UsesWord::REFERENCE;
        // AcqRel: all actions under a use come before the last use removes the value from its map.
        let before = self.word().fetch_sub(step, Ordering::AcqRel);
        abort_if(UsesWord(before).has_many_references());
        self.seen_with(before).counts
    }

    /// Ends the count of a use in the word, which becomes a reference.
    pub(super) fn end_use(&self) {
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
    pub(super) fn end_closed_shard(&self) {
        let before = self.turn_into_reference(UsesWord::SHARD);
        if before.uses() == 0 && before.shards() == 1 {
            T::unused(self);
        }
    }

    /// The shard that a use is counted in. `None` if it is counted in the word.
    #[inline]
    pub(super) fn shard_counting(&self, counted: UseTag) -> Option<&ShardUses> {
        let number = counted.shard()?;
        // A value keeps its shards.
        Some(self.shard(number).unwrap_or_else(|| process::abort()))
    }

    /// Ends a hold in a shard.
    pub(super) fn release_in(&self, shard: &ShardUses) {
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
        if self.counted.alone() != UseTag::IN_WORD || !shard.is_free() {
            return;
        }
        // With no other use in the word, the end of this one would drain the shard at once.
        if self.seen().counts.uses() < 2 {
            return;
        }
        // Relaxed, here and below: a hint; and this use stays in the word meanwhile.
        self.word().fetch_add(UsesWord::SHARD, Ordering::Relaxed);
        if !shard.open() {
            self.word().fetch_sub(UsesWord::SHARD, Ordering::Relaxed);
        }
    }

    #[inline]
    fn drop_in_word(&self) {
        let seen = self.seen();
        if seen.counts.shards() > 0 || seen.counts.uses() <= 1 {
            return self.drop_in_word_slow(false);
        }
        // The common case: there are other uses, and no shard is open.
        if !self.try_end(seen) {
            self.drop_in_word_slow(true);
        }
    }

    /// Tries to end this use by one step, while there are others. Returns whether it did.
    #[inline]
    fn try_end(&self, seen: Seen) -> bool {
        // Release: all actions under this use come before the last use removes the value from its map.
        let next = seen.word.wrapping_sub(UsesWord::USE);
        self.word()
            .compare_exchange_weak(seen.word, next, Ordering::Release, Ordering::Relaxed)
            .is_ok()
    }

    /// The other cases: another thread was faster (`has_lost`), a shard is open, or this looks like the last
    /// use.
    #[inline(never)]
    fn drop_in_word_slow(&self, has_lost: bool) {
        let mut contention = Pause::new();
        let mut seen = if has_lost {
            self.open_shard();
            self.seen_after(&mut contention)
        } else {
            self.seen()
        };
        // If other threads use shards, this one should not write to the line of the word, either.
        if seen.counts.shards() > 0 {
            self.open_shard();
            seen = self.seen();
        }
        // 1. While there are other uses, one step ends this one.
        while seen.counts.uses() > 1 {
            if self.try_end(seen) {
                return;
            }
            self.open_shard();
            seen = self.seen_after(&mut contention);
        }
        // 2. This looks like the last use. It becomes a reference, which keeps the value in memory
        //    until the end of this function. (Another use may have begun since step 1.)
        self.end_use();
        drop(Shared::at(self.cell));
    }

    /// Whether it is counted in the word of its value.
    pub fn is_in_word(&self) -> bool {
        Self::may_be_handed_over(self.counted.0)
    }

    /// Whether a use with this tag may be handed over: it is counted in the word of its value.
    pub fn may_be_handed_over(tag: u8) -> bool {
        UseTag(tag).alone() == UseTag::IN_WORD
    }

    /// Ends the use before its leaf got there: the leaf keeps its use of the value before, which counts
    /// again.
    #[cold]
    fn drop_with_handed_over(&self) {
        // While this use lasts, so does one of the value before.
        if let Some(before) = self.before() {
            mem::forget(before.join_in_word());
        }
        self.drop_alone();
    }

    #[inline]
    fn drop_alone(&self) {
        match self.counted.alone() {
            UseTag::IN_WORD => self.drop_in_word(),
            _ => self.drop_in_shard(),
        }
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

impl<T: Collect> Clone for Use<T> {
    /// # Panics
    ///
    /// If there are [`MAX_USES`] uses.
    fn clone(&self) -> Self {
        // The check may be late by one use for each thread that clones now. The bound is half of that at which
        // the program aborts.
        let uses = self.seen().counts.uses();
        assert!(
            uses < MAX_USES || self.exact_counts().uses() < MAX_USES,
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
        if self.counted.has_handed_over() {
            self.drop_with_handed_over();
        } else {
            self.drop_alone();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    struct Value(EntryUses);

    impl Collect for Value {
        fn unused(_: &Shared<Self>) {}

        fn entry_uses(&self) -> &EntryUses {
            &self.0
        }
    }

    #[test]
    fn forgotten_clones_never_overflow_the_count_of_uses() {
        let user = Shared::new(Value(EntryUses::new())).join();
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
