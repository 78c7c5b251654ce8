//! The uses of a shared value that began under a lock: see `uses.rs`.

use crate::sync::{AtomicU64, Ordering};
use crate::words::UsesWord;

/// How many uses of a shared value began under the lock of the entry where the value is found. Their ends
/// are counted in the word of the value.
#[derive(Debug)]
pub struct EntryUses(AtomicU64);

impl Default for EntryUses {
    fn default() -> Self {
        Self::new()
    }
}

impl EntryUses {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one more. The caller holds the lock of the entry.
    #[inline]
    pub(super) fn add(&self) {
        // Relaxed, here and below: the lock orders the writers, and a reader reads the word of the value
        // first.
        let began = self.0.load(Ordering::Relaxed);
        self.0
            .store(began.wrapping_add(UsesWord::USE), Ordering::Relaxed);
    }

    /// What to add to the word of the value. The sum wraps around, as the count of uses does.
    #[inline]
    pub(super) fn in_word(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
