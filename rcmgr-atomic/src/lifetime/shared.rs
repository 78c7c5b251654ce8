//! A shared value that counts its uses apart from other references.
//!
//! A path stays in its map while something *uses* it, and in memory while anything *refers* to it.
//! The map refers to it. So does a closed leaf: another thread may still read the path of that
//! leaf. One word has both counts, so that opening or closing a leaf takes one atomic step. A count
//! of users beside an `Arc` takes two.
//!
//! Why it is sound:
//!
//! - The word is `[uses: 32][references: 32]`. Each [`Use`] counts as a use, and each [`Shared`] as
//!   a reference, from its birth to its drop. Either keeps the value in memory. So a thread that
//!   can reach the word finds it above zero. The thread that brings it to zero is the last that
//!   could reach it, and frees the memory.
//! - The end of a use does not bring the word to zero. The last use becomes a reference first.
//!   While that reference keeps the value in memory, [`Collect::unused`] is called. Then the
//!   reference ends.
//! - Every step that ends a count releases, and the thread that frees acquires: all accesses come
//!   before.
//! - No count overflows. Each count belongs to a leaf, a span or a path that is in memory, and
//!   memory does not hold 2³² of these. A forgotten one (`mem::forget`) stays counted, and so does
//!   the object that it is part of. A cloned use belongs to nothing but the clone, which anyone may
//!   forget, so the number of clones is bounded.
//!
//! `loom-tests/tests/shared.rs` has the models.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::ptr::{self, NonNull};

use super::retire::Retire;
use crate::sync::{AtomicU64, Ordering, allocated};
use crate::words::UsesWord;

/// A value that does something when its last use has ended.
pub trait Collect: Sized {
    /// Called when the last use has ended. Another use may begin and end before this returns.
    fn unused(this: &Shared<Self>);
}

/// A reference to a shared value. It keeps the value in memory.
pub struct Shared<T> {
    cell: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

/// A use of a shared value. When the last use ends, [`Collect::unused`] is called.
pub struct Use<T: Collect>(ManuallyDrop<Shared<T>>);

/// A use is cloned only while there are fewer uses than this.
const MAX_USES: u64 = UsesWord::MAX_USES / 2;

struct Counted<T> {
    word: AtomicU64,
    value: T,
}

// SAFETY: as for `Arc`: any thread may read the value by shared reference, and the last one drops
// it.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// A value without a use.
    pub fn new(value: T) -> Self {
        Self::new_with(|| value)
    }

    /// The same, made in place: making it elsewhere and copying it takes as long as several atomic
    /// steps.
    #[inline(always)]
    pub fn new_with(value: impl FnOnce() -> T) -> Self {
        let mut counted = Box::<Counted<T>>::new_uninit();
        counted.write(Counted {
            word: AtomicU64::new(UsesWord::REFERENCE),
            value: value(),
        });
        // SAFETY: it was just written.
        let counted = unsafe { counted.assume_init() };
        allocated(&*counted);
        Self::at(NonNull::from(Box::leak(counted)))
    }

    fn at(cell: NonNull<Counted<T>>) -> Self {
        let owns = PhantomData;
        Self { cell, owns }
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: this reference keeps it in memory.
        unsafe { &self.cell.as_ref().word }
    }

    #[inline]
    fn load(&self, order: Ordering) -> UsesWord {
        UsesWord(self.word().load(order))
    }

    /// Whether both refer to the same value.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        ptr::eq(self.cell.as_ptr(), other.cell.as_ptr())
    }

    /// Whether this is the only reference, and there is no use.
    #[inline]
    pub fn is_only(&self) -> bool {
        // Acquire: all accesses by others come before.
        self.load(Ordering::Acquire).0 == UsesWord::REFERENCE
    }

    /// The value, if this is the only reference and there is no use.
    #[inline]
    pub fn only_mut(&mut self) -> Option<&mut T> {
        if !self.is_only() {
            return None;
        }
        // SAFETY: nothing else can reach it while this reference is borrowed.
        Some(unsafe { &mut self.cell.as_mut().value })
    }

    /// Whether there is more than one use.
    pub fn has_several_uses(&self) -> bool {
        // Relaxed: a hint.
        self.load(Ordering::Relaxed).uses() > 1
    }

    /// Whether there is no use.
    pub fn is_unused(&self) -> bool {
        // Acquire: pairs with the Release of the last use that ended.
        self.load(Ordering::Acquire).uses() == 0
    }
}

impl<T: Collect> Shared<T> {
    /// Adds a use. The caller has a use already, or holds the lock of the entry where the value is
    /// found.
    #[inline]
    pub fn join(&self) -> Use<T> {
        // Acquire: pairs with the Release of a use that ended. A use that begins after the last one
        // ended sees all actions under that one. Nothing is published by this step.
        self.word().fetch_add(UsesWord::USE, Ordering::Acquire);
        Use(ManuallyDrop::new(Self::at(self.cell)))
    }

    /// Adds a use, unless there is none: for a caller that only knows that there was one a moment
    /// ago.
    #[inline]
    pub fn try_join(&self) -> Option<Use<T>> {
        // Acquire on success: as in `join`. It fails when there is no use, so a value that was
        // removed from its map never has a use again.
        let mut word = self.load(Ordering::Relaxed);
        while word.uses() > 0 {
            match self.word().compare_exchange_weak(
                word.0,
                word.0 + UsesWord::USE,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(Use(ManuallyDrop::new(Self::at(self.cell)))),
                Err(now) => word = UsesWord(now),
            }
        }
        None
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this reference keeps it in memory.
        unsafe { &self.cell.as_ref().value }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // Relaxed, as for `Arc`: the holder of a reference can make another.
        self.word()
            .fetch_add(UsesWord::REFERENCE, Ordering::Relaxed);
        Self::at(self.cell)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // 1. If this is the only count, no other thread can reach the word: nothing to subtract.
        //    Otherwise subtract, and see whether this was the last count.
        // Release: accesses by this thread come before the end.
        let is_last = self.is_only() || {
            let step = UsesWord::REFERENCE;
            let before = self.word().fetch_sub(step, Ordering::Release);
            before == UsesWord::REFERENCE && {
                // Acquire: this reads the thread's own step, which continues the release sequence
                // of every count that ended before. So all accesses by other threads come before.
                // (A fence would do the same, but ThreadSanitizer does not see fences.)
                self.load(Ordering::Acquire);
                true
            }
        };
        // 2. Free the memory.
        if is_last {
            // SAFETY: it was the last count of the word, so nothing else can reach it. The box was
            // leaked in `new_with`.
            drop(unsafe { Box::from_raw(self.cell.as_ptr()) });
        }
    }
}

impl<T: Collect> Use<T> {
    /// Turns the use into a reference. Returns whether it was the last use.
    fn become_reference(&self) -> bool {
        // One step does both: a use less, and a reference more. So the word never passes zero.
        let step = UsesWord::USE - UsesWord::REFERENCE;
        // AcqRel: all actions under a use come before the last use removes the value from its map.
        let before = self.word().fetch_sub(step, Ordering::AcqRel);
        UsesWord(before).uses() == 1
    }
}

// SAFETY: the count becomes that of a reference, which keeps the value in memory.
unsafe impl<T: Collect> Retire for Use<T> {
    type Retired = Shared<T>;

    unsafe fn retire(&self) {
        if self.become_reference() {
            T::unused(self);
        }
    }

    unsafe fn into_retired(self) -> Shared<T> {
        let retired = Shared::at(self.cell);
        mem::forget(self);
        retired
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
        &self.0
    }
}

impl<T: Collect> Drop for Use<T> {
    #[inline]
    fn drop(&mut self) {
        // 1. While there are other uses, the word stays above zero: one step ends this one.
        let mut word = self.load(Ordering::Relaxed);
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
                Err(now) => word = UsesWord(now),
            }
        }
        // 2. This looks like the last use. It becomes a reference, which keeps the value in memory
        //    until the end of this function. (Another use may have begun since step 1.)
        let is_last = self.become_reference();
        let shared = Shared::at(self.cell);
        // 3. Let the value be removed from where it is found.
        if is_last {
            T::unused(&shared);
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
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
