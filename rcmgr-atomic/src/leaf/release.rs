//! How memory is released on a leaf.

use rcmgr_core::Resource;

use super::state::Leaf;
use crate::counters::Kind;
use crate::engine::Path;
use crate::sync::cold_path;

impl Leaf {
    /// Gives back memory that the leaf itself holds: `size`, or all there is if that is less.
    /// Returns the amount, or `None` if the leaf is closed.
    #[inline]
    pub fn release(&self, size: u64) -> Option<u64> {
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
            let mut taken = size;
            if taken > word.memory() {
                // A jump in place of a conditional move: the swap need not wait for the comparison.
                cold_path();
                taken = word.memory();
            }
            if taken == 0 {
                return Some(0);
            }
            // Leaf first, path last.
            let (next, stock) = (word.less(taken), path.stock(Kind::Memory));
            if self.set_memory(path, word, next).is_ok() {
                self.release_memory(path, stock, taken, next.memory());
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
            let (next, stock) = (word.less(size), path.stock(Kind::Memory));
            if self.set_memory(path, word, next).is_ok() {
                self.release_memory(path, stock, size, next.memory());
                return self.wake_own(path);
            }
            (word, path) = self.staged.load();
        }
    }
}
