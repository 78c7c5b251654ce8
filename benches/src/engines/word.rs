//! The atomic word that an engine counts in: a real one, or one of the simulated machine.

use std::sync::atomic::{AtomicU64, Ordering};

/// An atomic word, real or simulated. An engine that is generic over it runs on both machines.
pub trait Word: Default + Send + Sync + 'static {
    /// The pauses of a thread that waits.
    type Backoff: Default;

    /// Loads the value.
    fn load(&self, order: Ordering) -> u64;

    /// Stores a value.
    fn store(&self, value: u64, order: Ordering);

    /// Stores a value and returns the one before.
    fn swap(&self, value: u64, order: Ordering) -> u64;

    /// Adds, and returns the value before.
    fn fetch_add(&self, amount: u64, order: Ordering) -> u64;

    /// Subtracts, and returns the value before.
    fn fetch_sub(&self, amount: u64, order: Ordering) -> u64;

    /// Replaces the value if it is `current`. The ordering is SeqCst.
    ///
    /// # Errors
    ///
    /// The value, if it is another.
    fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64>;

    /// Waits for a moment, longer each time.
    fn pause(backoff: &Self::Backoff);

    /// Names the memory of a value, for the list of the hottest words. Does nothing on the real
    /// machine.
    fn name<T: ?Sized>(value: &T, name: &str);
}

/// Forwards to the atomic. The place of an access, which names a hot word, is the caller's.
macro_rules! accesses {
    () => {
        #[track_caller]
        fn load(&self, order: Ordering) -> u64 {
            self.load(order)
        }

        #[track_caller]
        fn store(&self, value: u64, order: Ordering) {
            self.store(value, order);
        }

        #[track_caller]
        fn swap(&self, value: u64, order: Ordering) -> u64 {
            self.swap(value, order)
        }

        #[track_caller]
        fn fetch_add(&self, amount: u64, order: Ordering) -> u64 {
            self.fetch_add(amount, order)
        }

        #[track_caller]
        fn fetch_sub(&self, amount: u64, order: Ordering) -> u64 {
            self.fetch_sub(amount, order)
        }

        #[track_caller]
        fn compare_exchange(&self, current: u64, new: u64) -> Result<u64, u64> {
            self.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst)
        }
    };
}

impl Word for AtomicU64 {
    type Backoff = crossbeam_utils::Backoff;

    accesses!();

    fn pause(backoff: &Self::Backoff) {
        // Gives the processor up in the end: the thread that it waits for may not be running.
        backoff.snooze();
    }

    fn name<T: ?Sized>(_: &T, _: &str) {}
}

impl Word for rcmgr_machine::AtomicU64 {
    type Backoff = rcmgr_machine::Backoff;

    accesses!();

    fn pause(backoff: &Self::Backoff) {
        backoff.spin();
    }

    fn name<T: ?Sized>(value: &T, name: &str) {
        rcmgr_machine::name_memory(value, || name.to_owned());
    }
}
