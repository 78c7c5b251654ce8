//! One step of a leaf to its next path: the charges and releases, each with its record.
//!
//! The *gained* nodes are those that the next path has and the old one lacks; the *lost* nodes are
//! those that only the old path has. The gained nodes are charged before the word of the leaf
//! moves, and the lost nodes are released after it. So a node never holds less than its leaves.
//!
//! Credit of the next path may pay for the slot of the leaf, for its memory, or for both. Credit is
//! charged on all nodes of a path, also on those that both paths have. So all nodes of the old path,
//! not only the lost ones, get back at the end what credit paid for.

use rcmgr_core::{Priority, Result};

use super::state::Leaf;
use crate::charge::{Contention, Memory, Refused, SlotCharge, WholeLeaf, cancel_all};
use crate::counters::{Kind, Slot};
use crate::engine::{Granted, Operation, Path, Record};
use crate::lifetime::Shared;
use crate::limits::LimitsVersion;
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

/// Charges the gained nodes with all that a leaf holds: its slot, and `memory`. Returns that, with
/// what was taken from the credit of the next path instead.
///
/// # Errors
///
/// The refusal of a node: then nothing is charged.
#[inline]
pub fn charge_gained<S: SlotCharge>(
    leaf: &Leaf,
    path: &Shared<Path>,
    next: &Shared<Path>,
    slot: S,
    memory: u64,
) -> Result<WholeLeaf<S>> {
    let versions = path.home().versions();
    // 1. Pay with credit of the next path, if there is some. Where that pays for all, nothing is left to
    //    check: the credit is within limits that no node is over.
    let version = versions.get();
    let whole = take_credit(next, version, slot, memory);
    if whole.is_taken() && versions.is_current(version) {
        return Ok(whole);
    }
    // 2. Charge the rest.
    charge_rest(leaf, path, next, version, whole)
}

/// Pays for a leaf with credit of the next path, as far as there is some that is valid under `version`.
#[inline]
fn take_credit<S: SlotCharge>(
    next: &Path,
    version: LimitsVersion,
    slot: S,
    memory: u64,
) -> WholeLeaf<S> {
    let slot_taken = next.take_credit(version, slot);
    let all = Memory::new(memory, Priority::Always).with_ticket(Ticket::FIRST);
    let memory_taken = match memory > 0 && next.take_credit(version, all) {
        true => memory,
        false => 0,
    };
    WholeLeaf {
        slot,
        slot_taken,
        memory: memory - memory_taken,
        memory_taken,
    }
}

/// Charges the gained nodes with what credit did not pay for. It paid for a part of `whole`, under the
/// version `paid_under`.
#[inline(never)]
fn charge_rest<S: SlotCharge>(
    leaf: &Leaf,
    path: &Shared<Path>,
    next: &Shared<Path>,
    paid_under: LimitsVersion,
    whole: WholeLeaf<S>,
) -> Result<WholeLeaf<S>> {
    let engine = path.home();
    let (slot, memory) = (whole.slot, whole.all_memory());
    let record = || record_gained(Operation::Join, leaf, path, next, memory);
    let mut paid = Some(whole);
    let charged = next.with_gained(path, |gained| {
        engine.under_current_limits(|version| {
            // A move is checked against one whole set of limits. So credit pays under the same version.
            let whole = match paid.take() {
                Some(whole) if version == paid_under => whole,
                Some(whole) => {
                    release_taken(next, leaf.slot(), whole);
                    take_credit(next, version, slot, memory)
                }
                None => take_credit(next, version, slot, memory),
            };
            let charged = match whole.is_taken() {
                true if engine.versions().is_current(version) => Ok(()),
                true => Err(Refused::Stale),
                false => engine.charge_all_under(version, gained.iter().copied(), whole),
            };
            charged.map(|()| whole).map_err(|refused: Refused<'_>| {
                // Refused: put the credit back.
                release_taken(next, leaf.slot(), whole);
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

/// Gives back to all nodes of a path what was taken from the credit of the next path.
#[inline]
fn release_taken<S>(path: &Path, slot: Slot, whole: WholeLeaf<S>) {
    if whole.slot_taken {
        path.release_leaf(slot, whole.memory_taken);
    } else if whole.memory_taken > 0 {
        path.release(Kind::Memory, whole.memory_taken, || {});
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
        let WholeLeaf {
            memory,
            memory_taken,
            ..
        } = self.whole;
        let (before, after) = (memory + memory_taken, now.memory());
        let followed = if now.is_closed() {
            Err(self.leaf.closed())
        } else if after > before {
            self.charge_more(after - before)
        } else {
            self.give_back_some(before - after);
            Ok(())
        };
        match followed {
            // More is charged on the gained nodes, and less was given back to them first.
            Ok(()) => {
                self.whole.memory_taken = memory_taken.min(after);
                self.whole.memory = after - self.whole.memory_taken;
            }
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
            leaf,
            path,
            next,
            whole,
        } = *self;
        path.home()
            .record(|| record_gained(Operation::Leave, leaf, path, next, size).without_slot());
        // What credit paid for is charged on all nodes, and is given back last.
        let from_gained = size.min(whole.memory);
        if size > from_gained {
            next.release(Kind::Memory, size - from_gained, || {});
        }
        let less = Memory::new(from_gained, Priority::Always);
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
        // The rest came from the credit of the next path, which gets it back.
        release_taken(next, leaf.slot(), *whole);
    }

    /// The leaf has moved: gives back its charges on the old path.
    #[inline]
    pub fn finish(&self) {
        let whole = self.whole;
        // Credit is charged on all nodes of the next path. So the nodes that both paths have count
        // twice what it paid for, and the whole old path gives that back.
        release_taken(self.path, self.leaf.slot(), whole);
        if !whole.is_taken() {
            self.finish_rest();
        }
    }

    /// Gives back on the lost nodes what was charged on the gained nodes only.
    #[inline(never)]
    fn finish_rest(&self) {
        let Self {
            leaf,
            path,
            next,
            whole,
        } = self;
        let engine = path.home();
        // With credit there is no observer.
        if !whole.slot_taken && engine.is_observed() {
            self.observe_finish();
        }
        let slot = (!whole.slot_taken).then_some(leaf.slot());
        path.release_lost(next, slot, whole.memory);
        // Fill the credit of the next path where it did not pay. Then it could pay for the next leaf that
        // moves there.
        if !whole.slot_taken {
            let version = engine.versions().get();
            engine.fill_credit(next, version, whole.slot, Contention::None);
        }
        if whole.memory > 0 {
            let version = engine.versions().get();
            let memory = Memory::new(whole.memory, Priority::Always);
            engine.fill_credit(next, version, memory, Contention::None);
        }
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
            let granted = Granted::moved(leaf.slot(), memory);
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
