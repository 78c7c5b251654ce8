//! One step of a leaf to its next path: the charges and releases, each with its record.
//!
//! The *gained* nodes are those that the next path has and the old one lacks; the *lost* nodes are
//! those that only the old path has. The gained nodes are charged before the word of the leaf
//! moves, and the lost nodes are released after it. So a node never holds less than its leaves.
//!
//! Credit of the next path may pay for the slot of the leaf. Credit is charged on all nodes of a
//! path, also on those that both paths have. Then all nodes of the old path, not only the lost
//! ones, are given their slot back at the end.

use rcmgr_core::{Priority, Result};

use super::state::Leaf;
use crate::charge::{Contention, Memory, Refused, SlotCharge, WholeLeaf, cancel_all};
use crate::engine::{Granted, Operation, Path, Record};
use crate::lifetime::Shared;
use crate::node::Node;
use crate::path::PathKind;
use crate::waiting::Ticket;
use crate::words::LeafWord;

/// A step of a leaf from its path to the next one. The gained nodes are charged already.
pub struct MoveStep<'a, S> {
    pub leaf: &'a Leaf,
    /// The path that the leaf leaves.
    pub path: &'a Shared<Path>,
    pub next: &'a Shared<Path>,
    /// The charge on the gained nodes.
    pub whole: WholeLeaf<S>,
}

/// Charges the gained nodes with all that a leaf holds: its slot, and `memory`. Returns whether the
/// slot was taken from the credit of the next path.
///
/// # Errors
///
/// The refusal of a node: then nothing is charged.
pub fn charge_gained<S: SlotCharge>(
    leaf: &Leaf,
    path: &Shared<Path>,
    next: &Shared<Path>,
    slot: S,
    memory: u64,
) -> Result<bool> {
    let engine = path.home();
    let record = || record_gained(Operation::Join, leaf, path, next, memory);
    let charged = next.with_gained(path, |gained| {
        engine.under_current_limits(|version| {
            // 1. Pay for the slot with credit of the next path, if there is some.
            let slot_taken = next.take_credit(version, slot);
            let whole = WholeLeaf {
                slot,
                slot_taken,
                memory,
            };
            // 2. Charge the rest, under the same version: a move is checked against one whole set
            //    of limits.
            let charged = engine.charge_all_under(version, gained.iter().copied(), whole);
            charged
                .map(|()| slot_taken)
                .map_err(|refused: Refused<'_>| {
                    // 3. Refused: put the slot back where it came from.
                    if slot_taken {
                        next.release_leaf(leaf.slot, 0);
                    }
                    engine.settle(refused, whole, version)
                })
        })
    });
    // One result for each outcome: otherwise the large result is copied as a whole, also one
    // without an error.
    match charged {
        Ok(slot_taken) => {
            engine.record(record);
            Ok(slot_taken)
        }
        Err(refused) => {
            engine.record_refusal(&refused, record);
            Err(refused)
        }
    }
}

impl<S: SlotCharge> MoveStep<'_, S> {
    /// Adjusts the charge of the gained nodes to the word of the leaf, which is now `now`.
    ///
    /// # Errors
    ///
    /// If the leaf was closed, or a gained node has no room for memory that the leaf reserved
    /// meanwhile: then the gained nodes have everything back.
    pub fn follow(&mut self, now: LeafWord) -> Result<()> {
        let (before, after) = (self.whole.memory, now.memory());
        let followed = if now.is_closed() {
            Err(self.leaf.closed())
        } else if after > before {
            self.charge_more(after - before)
        } else {
            self.give_back_some(before - after);
            Ok(())
        };
        match followed {
            Ok(()) => self.whole.memory = after,
            Err(_) => self.undo(),
        }
        followed
    }

    /// Charges the gained nodes with memory that the leaf reserved meanwhile.
    fn charge_more(&self, size: u64) -> Result<()> {
        let Self {
            leaf, path, next, ..
        } = *self;
        let engine = path.home();
        let record = || record_gained(Operation::Join, leaf, path, next, size).without_slot();
        let more = Memory::new(size, Priority::Always).with_ticket(Ticket::FIRST);
        let charged = next.with_gained(path, |gained| {
            engine.charge_nodes(gained.iter().copied(), more)
        });
        charged
            .inspect(|()| engine.record(record))
            .inspect_err(|refused| engine.record_refusal(refused, record))
    }

    /// Takes memory that the leaf released meanwhile back from the gained nodes.
    fn give_back_some(&self, size: u64) {
        let Self {
            leaf, path, next, ..
        } = *self;
        path.home()
            .record(|| record_gained(Operation::Leave, leaf, path, next, size).without_slot());
        let less = Memory::new(size, Priority::Always);
        next.with_gained(path, |gained| {
            cancel_all(gained.iter().copied(), less, next.home().waiters())
        });
    }

    /// The leaf does not move: takes back all that it was charged with on the next path.
    fn undo(&self) {
        let Self {
            leaf,
            path,
            next,
            whole,
        } = self;
        let engine = path.home();
        next.with_gained(path, |gained| {
            let gained = gained.iter().copied();
            engine.record(|| {
                let record = leaf.about(Operation::Leave, next);
                record.memory(whole.memory, whole.memory).on(gained.clone())
            });
            cancel_all(gained, *whole, engine.waiters());
        });
        // The slot came from the credit of the next path, which gets it back.
        if whole.slot_taken {
            next.release_leaf(leaf.slot, 0);
        }
    }

    /// The leaf has moved: gives back its charges on the lost nodes.
    pub fn finish(&self) {
        let Self {
            leaf,
            path,
            next,
            whole,
        } = self;
        let (engine, memory) = (path.home(), whole.memory);
        if whole.slot_taken {
            // The credit that paid for the slot was charged on all nodes of the next path. So the
            // nodes that both paths have count the slot twice, and the whole old path gives it
            // back. The memory was charged on the gained nodes only: the lost nodes give it back.
            path.release_leaf(leaf.slot, 0);
            path.release_lost(next, None, memory);
            return;
        }
        if engine.is_observed() {
            self.observe_finish();
        }
        path.release_lost(next, Some(leaf.slot), memory);
        // Here the slot was charged on the nodes. Fill the credit of the next path, which could pay
        // for the slot of the next leaf that moves there.
        let version = engine.versions().get();
        engine.fill_credit(next, version, whole.slot, Contention::None);
    }
}

impl<S> MoveStep<'_, S> {
    /// Records that the leaf leaves the lost nodes, and evaluates its move in a dry run.
    #[cold]
    fn observe_finish(&self) {
        let Self {
            leaf,
            path,
            next,
            whole,
        } = self;
        let (engine, memory) = (path.home(), whole.memory);
        if path.without(next).next().is_some() {
            engine.record(|| {
                let record = leaf.about(Operation::Leave, path);
                record.memory(memory, memory).on(path.without(next))
            });
        }
        // A stranded connection was refused.
        if engine.has_dry_run() && next.kind() != PathKind::StrandedConnection {
            let granted = Granted::moved(leaf.slot, memory);
            next.with_gained(path, |gained| {
                engine.evaluate(granted, |_| None, gained.iter().copied());
            });
        }
    }
}

/// A record about a moving leaf, and the gained nodes.
fn record_gained(
    operation: Operation,
    leaf: &Leaf,
    path: &Path,
    next: &Shared<Path>,
    memory: u64,
) -> Record {
    let record = leaf.about(operation, next);
    next.with_gained(path, |gained: &[&Node]| {
        let record = record.on(gained.iter().copied());
        record.memory(memory, memory).priority(u8::MAX)
    })
}
