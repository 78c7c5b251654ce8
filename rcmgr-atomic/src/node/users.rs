//! How many users a node has.

use crate::sync::{AtomicU64, Ordering};

/// How many users a node has. It decides whether the node stays in its
/// [`Registry`](super::registry::Registry). The memory is managed by the `Arc` around the node.
///
/// A node has no pointer to the registry that it is in, which would take eight bytes in each. So
/// the end of a use is not a destructor: the engine calls [`remove`](Self::remove) and takes the
/// node out of the registry.
#[derive(Debug)]
pub struct Users(AtomicU64);

impl Users {
    pub fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more user. The caller is a user already, or holds the lock of the entry.
    #[inline]
    pub fn add(&self) {
        // Acquire: pairs with `remove`. A user that joins after the last one has left sees the
        // actions of that one. Nothing is published by this step.
        self.0.fetch_add(1, Ordering::Acquire);
    }

    /// One more user, unless there is none: for a caller that knows only that there was one a
    /// moment ago. So a node that was taken out of its registry never has a user again.
    pub fn try_add(&self) -> bool {
        // Acquire on success: as in `add`. A new span then sees that its owner is closed. Relaxed
        // on failure: the value is only tried again.
        let mut users = self.0.load(Ordering::Relaxed);
        while users > 0 {
            match self.0.compare_exchange_weak(
                users,
                users + 1,
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => users = now,
            }
        }
        false
    }

    /// One user less. Returns whether it was the last.
    #[inline]
    pub fn remove(&self) -> bool {
        // AcqRel: the actions of each user come before the last one removes the node from its
        // registry.
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "more users left than came");
        before == 1
    }

    pub fn are_several(&self) -> bool {
        // Relaxed: a hint.
        self.0.load(Ordering::Relaxed) > 1
    }

    pub fn is_none(&self) -> bool {
        // Acquire: pairs with `remove`.
        self.0.load(Ordering::Acquire) == 0
    }
}
