use crate::sync::{AtomicU64, Ordering};

/// How many use a shared thing that is to go when nobody does. Memory is not its matter (an
/// [`Arc`](std::sync::Arc) sees to that): what it decides is whether the thing stays in its
/// [`Registry`](crate::registry::Registry).
#[derive(Debug)]
pub struct Users(AtomicU64);

impl Users {
    pub fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    /// One more. The caller holds a user already, or the registry's entry in place.
    #[inline]
    pub fn add(&self) {
        // Acquire: pairs with `remove`. Who comes after the last one has left sees what that one did
        // before. Nothing is published by it.
        self.0.fetch_add(1, Ordering::Acquire);
    }

    /// One more, unless there is none: for who only knows that there was one a moment ago. So what was
    /// taken out has no user again.
    pub fn try_add(&self) -> bool {
        // Acquire on success: as in `add`. A new span then finds its owner closed.
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

    /// One less; whether that was the last.
    #[inline]
    pub fn remove(&self) -> bool {
        // AcqRel: what a user did is done before the last one takes the thing out.
        let before = self.0.fetch_sub(1, Ordering::AcqRel);
        debug_assert!(before > 0, "more users left than came");
        before == 1
    }

    pub fn are_several(&self) -> bool {
        // Relaxed: any moment is as good.
        self.0.load(Ordering::Relaxed) > 1
    }

    pub fn is_none(&self) -> bool {
        // Acquire: pairs with `remove`.
        self.0.load(Ordering::Acquire) == 0
    }
}
