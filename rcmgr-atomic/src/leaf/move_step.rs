//! One step of a leaf to its next path: what is charged and given back, each with its record.

use rcmgr_core::{Priority, Result};

use super::state::Leaf;
use crate::charge::{Memory, Refused, SlotCharge, WholeLeaf, cancel_all};
use crate::engine::{Operation, Path, Record};
use crate::lifetime::Shared;
use crate::node::Node;
use crate::words::LeafWord;

/// A step of a leaf from its path to the next one, whose nodes are charged with all that the leaf
/// holds.
pub struct MoveStep<'a, S> {
    pub leaf: &'a Leaf,
    pub path: &'a Shared<Path>,
    pub next: &'a Shared<Path>,
    pub whole: WholeLeaf<S>,
}

/// Charges the nodes that `next` has and `path` lacks with all that a leaf holds.
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
) -> Result<WholeLeaf<S>> {
    let engine = path.home();
    let join = || record_gained(Operation::Join, leaf, path, next, memory);
    let charged = next.with_gained(path, |gained| {
        let gained = gained.iter().copied();
        engine.under_current_limits(|version| {
            // Credit of the next path may pay for the slot. Then the slot is charged on all nodes
            // of that path, and all nodes of the old path get theirs back.
            let slot_taken = next.take_credit(version, slot);
            let whole = WholeLeaf {
                slot,
                slot_taken,
                memory,
            };
            // Both under one version: a move is checked against one whole set of limits.
            let charged = engine.charge_all_under(version, gained.clone(), whole);
            charged.map(|()| whole).map_err(|refused: Refused<'_>| {
                if let (true, Some((kind, amount))) = (slot_taken, slot.credit()) {
                    next.release(kind, amount, || {});
                }
                engine.settle(refused, whole, version)
            })
        })
    });
    let whole = charged.inspect_err(|refused| engine.record_refusal(refused, join))?;
    engine.record(join);
    Ok(whole)
}

impl<S: SlotCharge> MoveStep<'_, S> {
    /// Makes the gained nodes follow the word, which is now `now`.
    ///
    /// # Errors
    ///
    /// If the leaf was closed, or more memory is refused: then everything is given back.
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

    fn charge_more(&self, size: u64) -> Result<()> {
        let Self {
            leaf, path, next, ..
        } = *self;
        let engine = path.home();
        let record = || record_gained(Operation::Join, leaf, path, next, size).without_slot();
        let more = Memory::new(size, Priority::Always);
        let charged = next.with_gained(path, |gained| {
            engine.charge_nodes(gained.iter().copied(), more)
        });
        charged
            .inspect(|()| engine.record(record))
            .inspect_err(|refused| engine.record_refusal(refused, record))
    }

    fn give_back_some(&self, size: u64) {
        let Self {
            leaf, path, next, ..
        } = *self;
        path.home()
            .record(|| record_gained(Operation::Leave, leaf, path, next, size).without_slot());
        let less = Memory::new(size, Priority::Always);
        next.with_gained(path, |gained| cancel_all(gained.iter().copied(), less));
    }

    /// Takes back all that the gained nodes were charged with.
    fn undo(&self) {
        let Self {
            leaf,
            path,
            next,
            whole,
        } = self;
        next.with_gained(path, |gained| {
            let gained = gained.iter().copied();
            path.home().record(|| {
                let record = leaf.about(Operation::Leave, next);
                record.memory(whole.memory, whole.memory).on(gained.clone())
            });
            cancel_all(gained, *whole);
        });
        if whole.slot_taken {
            next.release_leaf(leaf.slot, 0);
        }
    }

    /// The leaf has moved: gives back what it held on the nodes that only the old path has.
    pub fn finish(&self) {
        let Self {
            leaf,
            path,
            next,
            whole,
        } = self;
        let (engine, memory) = (path.home(), whole.memory);
        if whole.slot_taken {
            // The slot came from the credit of the next path, so all nodes of the old one get
            // theirs back.
            path.release_leaf(leaf.slot, 0);
            path.release_lost(next, None, memory);
            return;
        }
        if engine.recorder().is_some() && path.without(next).next().is_some() {
            engine.record(|| {
                let record = leaf.about(Operation::Leave, path);
                record.memory(memory, memory).on(path.without(next))
            });
        }
        path.release_lost(next, Some(leaf.slot), memory);
        // The slot was charged on the nodes: the next path may get credit for the next one.
        engine.fill_credit(next, engine.versions().get(), whole.slot);
    }
}

/// A record about a moving leaf, and the nodes that the next path has and the old one lacks.
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
