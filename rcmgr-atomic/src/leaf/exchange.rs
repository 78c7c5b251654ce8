//! The commonest move of a connection: it learns its peer (or gets its service) before it holds memory. So
//! it gives one node up for another, and nothing else changes.

use std::iter;

use super::mover::LeafMover;
use crate::charge::{Charge, Contention, OneConnection, WholeLeaf, cancel_all};
use crate::engine::Path;
use crate::lifetime::Use;
use crate::limits::LimitsVersion;
use crate::words::LeafWord;

impl LeafMover<'_> {
    /// Moves a connection to `next`. The connection gives up one node for another, and the other one has
    /// room.
    ///
    /// # Errors
    ///
    /// `next`, if this is another kind of move, or there is no room. Then nothing has changed.
    #[inline]
    pub(super) fn exchange_node(
        &mut self,
        next: Use<Path>,
        slot: OneConnection,
    ) -> Result<(), Use<Path>> {
        let engine = self.path.home();
        // The version is read first. So a dry run that began before the limits of this version is seen.
        let version = engine.versions().get();
        if engine.is_observed() || self.leaf.staged.word() != LeafWord::OPENED {
            return Err(next);
        }
        self.mover.put(next);
        if !self.exchange_for_put(slot, version) {
            return Err(self.mover.take().expect("it was just put"));
        }
        self.path = self.leaf.path();
        // The next connection that moves there may be paid for by credit.
        engine.fill_credit(self.path, engine.versions().get(), slot, Contention::None);
        Ok(())
    }

    /// Moves the connection to the path that was put, under this version of the limits. Returns whether it
    /// did.
    #[inline]
    fn exchange_for_put(&self, slot: OneConnection, version: LimitsVersion) -> bool {
        let (path, engine) = (self.path, self.path.home());
        let Some((lost, gained)) = path.exchanged_node(self.mover.next()) else {
            return false;
        };
        // If the gained node has credit, that pays first.
        if gained.conns.credit().stocks().is_some() {
            return false;
        }
        // 1. Charge the gained node.
        let whole = WholeLeaf::slot_only(slot);
        let Ok(seen) = whole.check(gained, version) else {
            return false;
        };
        if !whole.commit(gained, seen) {
            return false;
        }
        // 2. Move the word, unless it or the limits changed meanwhile.
        let is_current = engine.versions().is_current(version);
        if !is_current || self.mover.advance(LeafWord::OPENED).is_err() {
            cancel_all(iter::once(gained), whole, engine.waiters());
            return false;
        }
        // 3. Give back the lost node.
        lost.release_slot(self.leaf.slot());
        path.made_room(|| whole.resources());
        true
    }
}
