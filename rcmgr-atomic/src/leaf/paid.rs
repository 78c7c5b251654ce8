//! The commonest move of a stream: it holds no memory, and credit of the next path pays for it.

use super::mover::LeafMover;
use crate::charge::SlotCharge;
use crate::engine::Path;
use crate::lifetime::Use;

impl LeafMover<'_> {
    /// Moves a leaf without memory to `next`, if credit of that pays for the leaf. Credit is charged on
    /// all nodes of `next`. No node is over a limit while there is credit that is valid under the limits in
    /// force. So no node is asked.
    ///
    /// # Errors
    ///
    /// `next`, if the leaf holds memory, there is no credit, or the leaf or the limits changed meanwhile.
    /// Then nothing has changed.
    #[inline]
    pub(super) fn move_paid(
        &mut self,
        next: Use<Path>,
        slot: impl SlotCharge,
    ) -> Result<(), Use<Path>> {
        let (leaf, path) = (self.leaf, self.path);
        let (word, versions) = (leaf.staged.word(), path.home().versions());
        let version = versions.get();
        if word.memory() > 0 || !next.take_credit(version, slot) {
            return Err(next);
        }
        // 1. Move the word, unless it or the limits changed meanwhile.
        let moved = match versions.is_current(version) {
            true => self.mover.move_on(word, next),
            false => Err(next),
        };
        if let Err(next) = moved {
            next.release_leaf(leaf.slot(), 0);
            return Err(next);
        }
        // 2. The nodes that both paths have count the leaf twice now. So the whole old path gives it back.
        path.release_leaf(leaf.slot(), 0);
        leaf.wake_waiting(path, word);
        self.path = leaf.path();
        Ok(())
    }
}
