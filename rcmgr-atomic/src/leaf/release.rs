//! How memory is released on a leaf.

use rcmgr_core::Resource;

use super::state::{Leaf, count_memory};
use crate::counters::Kind;
use crate::engine::Path;
use crate::lifetime::Shared;
use crate::sync::given_shard;
use crate::words::LeafWord;

impl Leaf {
    /// Gives back memory that the leaf itself holds: `size`, or all there is if that is less. Then the
    /// rest is counted: the leaf never held it.
    #[inline]
    pub fn release(&self, size: u64) {
        if !self.release_to_credit(size) {
            self.release_slow(size);
        }
    }

    /// The fast path: the path has credit, and the leaf has no spans, holds that much, and is not changed
    /// by another thread. The memory becomes credit, or the nodes get it back if the stock has no room.
    /// `false` in all other cases: then nothing is released. The words are guessed, as in a reservation.
    ///
    /// It calls no function, except at its end: so it saves few registers. Saving one is a store, and an
    /// atomic step waits for all stores before it.
    #[inline(always)]
    fn release_to_credit(&self, size: u64) -> bool {
        // First, while there are few values to save: see `given_shard`.
        let Some(shard) = given_shard() else {
            return false;
        };
        let (word, path) = self.staged.guess();
        if word.is_closed() || word.has_spans() || size == 0 || size > word.memory() {
            return false;
        }
        let Some(stock) = path.stock_in(shard, Kind::Memory) else {
            return false;
        };
        let credit = stock.guess();
        // Leaf first, path last.
        let next = word.less(size);
        if self.staged.set_memory(word, next).is_err() {
            return false;
        }
        if !stock.put_guessed(credit, size) {
            self.release_to_path(path, word, size);
        } else if self.slot().is_connection() {
            count_memory(path, word, next.memory());
        }
        true
    }

    /// The end of the fast path where the stock has no room, or was not as guessed. `word` is that of the
    /// leaf before.
    #[cold]
    #[inline(never)]
    fn release_to_path(&self, path: &Shared<Path>, word: LeafWord, size: u64) {
        let held = word.less(size).memory();
        if self.slot().is_connection() {
            count_memory(path, word, held);
        }
        self.release_memory(path, size, held);
    }

    #[inline(never)]
    fn release_slow(&self, size: u64) {
        if let Some(taken) = self.release_up_to(size)
            && taken < size
        {
            self.engine().count_over_release(&self.name(), size, taken);
        }
    }

    /// Gives back memory that the leaf itself holds: `size`, or all there is if that is less.
    /// Returns the amount, or `None` if the leaf is closed.
    pub fn release_up_to(&self, size: u64) -> Option<u64> {
        let (mut word, mut path) = self.staged.load();
        loop {
            if word.is_closed() {
                return None;
            }
            if word.has_spans() {
                let taken = self.own_memory.take(size);
                self.take(taken);
                return Some(taken);
            }
            let taken = size.min(word.memory());
            if taken == 0 {
                return Some(0);
            }
            // Leaf first, path last.
            let next = word.less(taken);
            if self.set_memory(path, word, next).is_ok() {
                self.release_memory(path, taken, next.memory());
                return Some(taken);
            }
            (word, path) = self.staged.load();
        }
    }

    /// Wakes a request that waits for the leaf itself. (A leaf that requests wait for is marked like
    /// one with spans, so a release of any other leaf does not come here.)
    #[inline]
    fn wake_own(&self, path: &Path) {
        let waiters = path.home().waiters();
        if waiters.any() {
            waiters.wake_head(self.name(), Resource::Memory);
        }
    }

    /// Takes memory out of the leaf, and gives it back to the path. The caller knows that the leaf
    /// holds that much. Does nothing if the leaf is closed: then the thread that closed it gave
    /// everything back.
    pub fn take(&self, size: u64) {
        if size == 0 {
            return;
        }
        let (mut word, mut path) = self.staged.load();
        while !word.is_closed() {
            debug_assert!(word.memory() >= size, "the caller knows that it is there");
            let next = word.less(size);
            if self.set_memory(path, word, next).is_ok() {
                self.release_memory(path, size, next.memory());
                return self.wake_own(path);
            }
            (word, path) = self.staged.load();
        }
    }
}
