//! A shared value that counts its uses apart from other references.
//!
//! A path stays in its map while something *uses* it, and in memory while anything *refers* to it.
//! The map refers to it. So does a closed leaf: another thread may still read the path of that
//! leaf. One word has both counts, so that opening or closing a leaf takes one atomic step. A count
//! of users beside an `Arc` takes two.
//!
//! Why it is sound:
//!
//! - The word is `[uses: 28][entry: 2][open shards: 7][references: 27]`. Each [`Use`](super::Use) counts
//!   as a use, unless it is counted elsewhere (`uses.rs`), and each [`Shared`] as a reference, from its
//!   birth to its drop. Either keeps the value in memory. The thread that ends the last reference when
//!   there is no use is the last that could reach the word, and frees the memory. (Where uses begin in an
//!   entry, that has a reference until the value is removed.)
//! - The end of a use frees nothing. The last use becomes a reference first.
//!   While that reference keeps the value in memory, [`Collect::unused`](super::Collect::unused) is
//!   called. Then the reference ends.
//! - Every step that ends a count releases, and the thread that frees acquires: all accesses come
//!   before.
//! - No count overflows. The program aborts at half of the most, as with `Arc`: at 2²⁷ open leaves of
//!   one path, or 2²⁶ closed ones that are still held. A cloned use belongs to nothing but the clone, which anyone may forget, so the number of
//!   clones has a bound that panics.
//!
//! `loom-tests/tests/shared.rs` has the models.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::process;
use std::ptr::{self, NonNull};

use crate::sync::{AtomicU64, Ordering, allocated, name_memory};
use crate::words::UsesWord;

/// A reference to a shared value. It keeps the value in memory.
pub struct Shared<T> {
    pub(super) cell: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

/// A value with its counts.
pub(super) struct Counted<T> {
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

    /// Names its memory, for the hottest words of a simulated machine.
    pub fn name_memory(&self, name: impl FnOnce() -> String) {
        // SAFETY: this reference keeps it in memory.
        name_memory(unsafe { self.cell.as_ref() }, name);
    }

    pub(super) fn at(cell: NonNull<Counted<T>>) -> Self {
        let owns = PhantomData;
        Self { cell, owns }
    }

    #[inline]
    pub(super) fn word(&self) -> &AtomicU64 {
        // SAFETY: this reference keeps it in memory.
        unsafe { &self.cell.as_ref().word }
    }

    #[inline]
    pub(super) fn load(&self, order: Ordering) -> UsesWord {
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
        self.load(Ordering::Acquire).is_only_reference()
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
}

/// Aborts the program if a count is half of the most, as `Arc` does. It never gets there, unless millions
/// of uses are forgotten.
#[inline]
pub(super) fn abort_if(nearly_full: bool) {
    if nearly_full {
        process::abort();
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
        let before = self
            .word()
            .fetch_add(UsesWord::REFERENCE, Ordering::Relaxed);
        abort_if(UsesWord(before).has_many_references());
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
            UsesWord(before).is_only_reference() && {
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

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
