//! The commonest move of a connection: it learns its peer (or gets its service) before it holds memory. So
//! it gives one node up for another, and nothing else changes.

use super::mover::LeafMover;
use crate::charge::{Charge, Contention, OneConnection, WholeLeaf, cancel_all};
use crate::engine::Path;
use crate::lifetime::Use;
use crate::words::LeafWord;

impl LeafMover<'_> {
    /// Moves a connection to `next`. The connection gives up one node for another, and the other one has
    /// room.
    ///
    /// # Errors
    ///
    /// `next`, if this is another kind of move, there is an observer, the node has credit or no room, or
    /// something changed meanwhile. Then nothing has changed.
    #[inline]
    pub(super) fn exchange_node(
        &mut self,
        next: Use<Path>,
        slot: OneConnection,
    ) -> Result<(), Use<Path>> {
        let (leaf, path, engine) = (self.leaf, self.path, self.path.home());
        // The version is read first. So a dry run that began before the limits of this version is seen.
        let version = engine.versions().get();
        if engine.is_observed() || leaf.staged.word() != LeafWord::OPENED {
            return Err(next);
        }
        let Some((lost, gained)) = path.exchanged_node(&next) else {
            return Err(next);
        };
        // If the gained node has credit, that pays first.
        if gained.conns.credit().stocks().is_some() {
            return Err(next);
        }
        // 1. Charge the gained node.
        let whole = WholeLeaf::slot_only(slot);
        match whole.check(gained, version) {
            Ok(seen) if whole.commit(gained, seen) => {}
            _ => return Err(next),
        }
        let may_begin = engine.may_begin_conns(gained);
        // 2. Move the word, unless it or the limits changed meanwhile.
        let moved = match engine.versions().is_current(version) {
            true => self.mover.move_on(LeafWord::OPENED, next),
            false => Err(next),
        };
        if let Err(next) = moved {
            cancel_gained(path, &next, slot);
            return Err(next);
        }
        // 3. Give back the lost node.
        lost.release_slot(leaf.slot());
        path.made_room(|| leaf.slot().limits());
        self.path = leaf.path();
        // The next connection that moves there may be paid for by credit.
        if may_begin {
            engine.fill_credit(self.path, engine.versions().get(), slot, Contention::None);
        }
        Ok(())
    }
}

/// Takes the charge back from the node that the connection would have gained.
#[cold]
#[inline(never)]
fn cancel_gained(path: &Path, next: &Path, slot: OneConnection) {
    let (gained, whole) = (path.exchanged_node(next), WholeLeaf::slot_only(slot));
    cancel_all(
        gained.iter().map(|(_, gained)| *gained),
        whole,
        path.home().waiters(),
    );
}
