//! A shared thing that counts its users apart from who else refers to it.
//!
//! A path stays in its map as long as somebody *uses* it, and in memory as long as anybody *refers*
//! to it: the map does, and so does a leaf that is closed, at whose path another thread may be
//! looking. One word counts both, so that a leaf that comes or goes takes one atomic step, where a
//! count of users beside an `Arc` takes two.
//!
//! Why it is sound:
//!
//! - The word is `[users: 32][references: 32]`. Each [`Use`] has a user in it, each [`Shared`] a
//!   reference, from when it is made to when it is dropped; either keeps the memory. So whoever can
//!   reach the word finds it above zero, and what takes it to zero is the last that could reach it:
//!   that one frees the memory.
//! - A use ends without taking the word to zero. The last one becomes a reference first, with which
//!   the thing is told that nobody uses it, and then that reference ends.
//! - Every step that ends something releases, and whoever frees acquires: all that was done with the
//!   thing comes before.
//! - No count overflows. Each is part of a leaf, a span or a path that it keeps in memory, and 2³² of
//!   these are not; one that is forgotten (`mem::forget`) is counted for good, and so is what it is
//!   part of. But a user that is cloned is a part of nothing but the clone, which anyone may forget:
//!   so there the number is bounded.
//!
//! `loom-tests/tests/shared.rs` has the models.
#![allow(unsafe_code)]

use std::fmt;
use std::marker::PhantomData;
use std::mem::{self, ManuallyDrop};
use std::ops::Deref;
use std::ptr::{self, NonNull};

use crate::staged::Retire;
use crate::sync::{AtomicU64, Ordering};
use crate::word::UsersWord;

/// What is told when nobody uses it any more.
pub trait Collect: Sized {
    /// The last user has left. Another may come, and leave again, before this is done.
    fn unused(this: &Shared<Self>);
}

/// A reference to a shared thing, which keeps it in memory.
pub struct Shared<T> {
    cell: NonNull<Counted<T>>,
    owns: PhantomData<Counted<T>>,
}

/// A user of a shared thing. When the last one goes, the thing is told.
pub struct Use<T: Collect>(ManuallyDrop<Shared<T>>);

/// With as many users none is cloned any more.
const MOST_USERS: u64 = 1 << 31;

struct Counted<T> {
    word: AtomicU64,
    value: T,
}

// SAFETY: as for `Arc`: the value is reached by shared reference from any thread, and dropped by
// whichever is the last.
unsafe impl<T: Send + Sync> Send for Shared<T> {}
// SAFETY: as above.
unsafe impl<T: Send + Sync> Sync for Shared<T> {}

impl<T> Shared<T> {
    /// Something that nobody uses yet.
    pub fn new(value: T) -> Self {
        Self::new_with(|| value)
    }

    /// The same, made where it stays: to make it elsewhere and copy it takes as long as some atomic
    /// steps.
    #[inline(always)]
    pub fn new_with(value: impl FnOnce() -> T) -> Self {
        let mut counted = Box::<Counted<T>>::new_uninit();
        counted.write(Counted {
            word: AtomicU64::new(UsersWord::REFERENCE),
            value: value(),
        });
        // SAFETY: it was just written.
        let counted = unsafe { counted.assume_init() };
        Self::at(NonNull::from(Box::leak(counted)))
    }

    fn at(cell: NonNull<Counted<T>>) -> Self {
        let owns = PhantomData;
        Self { cell, owns }
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: this keeps it in memory.
        unsafe { &self.cell.as_ref().word }
    }

    #[inline]
    fn load(&self, order: Ordering) -> UsersWord {
        UsersWord(self.word().load(order))
    }

    /// Whether both are the same thing.
    #[inline]
    pub fn is(&self, other: &Self) -> bool {
        ptr::eq(self.cell.as_ptr(), other.cell.as_ptr())
    }

    /// Whether this is all that there is of references and users.
    #[inline]
    pub fn is_only(&self) -> bool {
        // Acquire: all that others did with it comes before.
        self.load(Ordering::Acquire).0 == UsersWord::REFERENCE
    }

    /// The thing itself, if this is all that there is of references and users.
    #[inline]
    pub fn only_mut(&mut self) -> Option<&mut T> {
        if !self.is_only() {
            return None;
        }
        // SAFETY: nobody else can reach it, nor will while this is borrowed.
        Some(unsafe { &mut self.cell.as_mut().value })
    }

    /// Whether there is more than one user.
    pub fn has_several_users(&self) -> bool {
        // Relaxed: any moment is as good.
        self.load(Ordering::Relaxed).users() > 1
    }

    /// Whether there is no user.
    pub fn is_unused(&self) -> bool {
        // Acquire: pairs with the Release of the last one that left.
        self.load(Ordering::Acquire).users() == 0
    }
}

impl<T: Collect> Shared<T> {
    /// One more user. The caller knows that there is one, or that the thing is where it is found.
    #[inline]
    pub fn join(&self) -> Use<T> {
        // Acquire: pairs with the Release of a user that left. Who comes after the last one has left
        // sees what that one did before. Nothing is published by it.
        self.word().fetch_add(UsersWord::USER, Ordering::Acquire);
        Use(ManuallyDrop::new(Self::at(self.cell)))
    }

    /// One more user, unless there is none: for who only knows that there was one a moment ago.
    #[inline]
    pub fn try_join(&self) -> Option<Use<T>> {
        // Acquire on success: as in `join`.
        let mut word = self.load(Ordering::Relaxed);
        while word.users() > 0 {
            match self.word().compare_exchange_weak(
                word.0,
                word.0 + UsersWord::USER,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(Use(ManuallyDrop::new(Self::at(self.cell)))),
                Err(now) => word = UsersWord(now),
            }
        }
        None
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this keeps it in memory.
        unsafe { &self.cell.as_ref().value }
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        // Relaxed: as for `Arc`, who has one can make another.
        self.word()
            .fetch_add(UsersWord::REFERENCE, Ordering::Relaxed);
        Self::at(self.cell)
    }
}

impl<T> Drop for Shared<T> {
    fn drop(&mut self) {
        // The only one needs no step to know it. Release: what was done here comes before the end.
        let last = self.is_only() || {
            let step = UsersWord::REFERENCE;
            let before = self.word().fetch_sub(step, Ordering::Release);
            before == UsersWord::REFERENCE && {
                // Acquire: pairs with the Release of every count that was given back before. It reads
                // the word once more because ThreadSanitizer does not see what a fence orders.
                self.load(Ordering::Acquire);
                true
            }
        };
        if last {
            // SAFETY: it was the last count of the word, so nobody else can reach it, and the box
            // was leaked in `new`.
            drop(unsafe { Box::from_raw(self.cell.as_ptr()) });
        }
    }
}

impl<T: Collect> Use<T> {
    /// Ends the use and keeps a reference in its place. Whether it was the last.
    fn become_reference(&self) -> bool {
        let step = UsersWord::USER - UsersWord::REFERENCE;
        // AcqRel: what a user did is done before the last one takes the thing out.
        let before = self.word().fetch_sub(step, Ordering::AcqRel);
        UsersWord(before).users() == 1
    }
}

// SAFETY: the count becomes that of a reference, which keeps the thing in memory.
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
    /// If there are [`MOST_USERS`].
    fn clone(&self) -> Self {
        // Relaxed, and before it is counted: as many threads as are missing to an overflow, which
        // would have to be here at once, there are not.
        let users = self.load(Ordering::Relaxed).users();
        assert!(users < MOST_USERS, "{users} clones, most of them forgotten");
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
        let mut word = self.load(Ordering::Relaxed);
        // Not the last one: the word stays above zero, and one step does.
        while word.users() > 1 {
            // Release: what this user did comes before the last one takes the thing out.
            match self.word().compare_exchange_weak(
                word.0,
                word.0 - UsersWord::USER,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(now) => word = UsersWord(now),
            }
        }
        let last = self.become_reference();
        let shared = Shared::at(self.cell);
        if last {
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

    struct Thing;

    impl Collect for Thing {
        fn unused(_: &Shared<Self>) {}
    }

    #[test]
    fn clones_that_are_forgotten_never_make_the_number_of_users_begin_anew() {
        let user = Shared::new(Thing).join();
        let forgotten = UsersWord::USER * (MOST_USERS - 2);
        user.word().fetch_add(forgotten, Ordering::Relaxed);
        let last = user.clone();
        let clone = catch_unwind(AssertUnwindSafe(|| user.clone()));
        assert!(clone.is_err());
        assert_eq!(user.load(Ordering::Relaxed).users(), MOST_USERS);
        drop(last);
        user.word().fetch_sub(forgotten, Ordering::Relaxed);
        assert!(!user.has_several_users());
    }
}
