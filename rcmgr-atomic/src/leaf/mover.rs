//! How a leaf moves to another path: see the head of `leaf.rs`.

use rcmgr_core::{Priority, Result};

use super::Leaf;
use crate::charge::{
    Memory, OneConnection, SlotCharge, Streams, WholeLeaf, cancel_all, charge_all, charge_now,
    refuse,
};
use crate::node::Node;
use crate::path::Path;
use crate::record::{Operation, Record};
use crate::shared::{Shared, Use};
use crate::slot::Slot;
use crate::staged::Mover;

/// The right to move a leaf to other paths.
pub struct LeafMover<'a> {
    leaf: &'a Leaf,
    mover: Mover<'a, Use<Path>>,
}

impl Leaf {
    /// The right to move the leaf, for one holder at a time.
    ///
    /// # Errors
    ///
    /// If the leaf is closed.
    #[inline]
    pub fn mover(&self) -> Result<LeafMover<'_>> {
        let mover = self.staged.claim();
        if self.is_closed() {
            return Err(self.closed());
        }
        Ok(LeafMover { leaf: self, mover })
    }
}

impl<'a> LeafMover<'a> {
    /// The path that the leaf is on, and stays on as long as nothing is moved by this.
    pub fn path(&self) -> &'a Shared<Path> {
        self.leaf.path()
    }

    /// Moves to the path `next`. There is none if the leaf was closed while it was looked for.
    ///
    /// The leaf stays a user of the path that it was on: so is a branch of it anyway, and others are
    /// of no scope that is ever collected.
    ///
    /// # Errors
    ///
    /// If the leaf was closed, or a node that only the next path has leaves no room: then nothing
    /// has changed.
    pub fn advance(&mut self, next: Option<Use<Path>>) -> Result<()> {
        let next = next.ok_or_else(|| self.leaf.closed())?;
        match self.leaf.slot {
            Slot::Stream(direction) => self.advance_as(next, Streams::one(direction)),
            Slot::Connection(direction, fd) => self.advance_as(next, OneConnection(direction, fd)),
        }
    }

    fn advance_as(&mut self, next: Use<Path>, slot: impl SlotCharge) -> Result<()> {
        let Self { leaf, mover } = self;
        let (mut word, path) = leaf.staged.load();
        let engine = path.engine();
        let mut memory = word.memory();
        if word.is_closed() {
            return Err(leaf.closed());
        }
        let join = |next: &Shared<Path>| moved(Operation::Join, leaf, path, next, memory);
        let slot_taken = charge_move(path, &next, slot, memory)
            .inspect_err(|refused| engine.record_refusal(refused, || join(&next)))?;
        engine.record(|| join(&next));
        mover.put(next);
        let next = mover.next();
        while let Err(now) = mover.advance(word) {
            // Closed, or the memory changed: the gained nodes follow.
            let (before, after) = (memory, now.memory());
            let difference = Memory::new(after.abs_diff(before), Priority::Always);
            let whole = WholeLeaf {
                slot,
                slot_taken,
                memory,
            };
            let followed = next.with_beyond(path, |gained| {
                let gained = gained.iter().copied();
                let followed = if now.is_closed() {
                    Err(leaf.closed())
                } else if after > before {
                    let more =
                        || moved(Operation::Join, leaf, path, next, after - before).without_slot();
                    charge_now(engine, gained.clone(), difference)
                        .inspect(|()| engine.record(more))
                        .inspect_err(|refused| engine.record_refusal(refused, more))
                } else {
                    let less =
                        || moved(Operation::Leave, leaf, path, next, before - after).without_slot();
                    engine.record(less);
                    cancel_all(gained.clone(), difference);
                    Ok(())
                };
                followed.inspect_err(|_| {
                    engine.record(|| {
                        let record = leaf.about(Operation::Leave, next);
                        record.memory(before, before).on(gained.clone())
                    });
                    cancel_all(gained, whole);
                })
            });
            if let Err(why) = followed {
                if slot_taken {
                    next.release_leaf(leaf.slot, 0);
                }
                drop(mover.take());
                return Err(why);
            }
            (word, memory) = (now, after);
        }
        if slot_taken {
            path.release_leaf(leaf.slot, 0);
            path.release_moved(next, None, memory);
        } else {
            if engine.recorder().is_some() && path.without(next).next().is_some() {
                engine.record(|| {
                    let record = leaf.about(Operation::Leave, path);
                    record.memory(memory, memory).on(path.without(next))
                });
            }
            path.release_moved(next, Some(leaf.slot), memory);
            if let Some((kind, amount)) = slot.credit() {
                let edition = engine.editions().now();
                engine.lending().after_charge(next, edition, kind, amount);
            }
        }
        Ok(())
    }
}

/// About a leaf that moves, and what the next path has and the old one has not.
fn moved(
    operation: Operation,
    leaf: &Leaf,
    path: &Path,
    next: &Shared<Path>,
    memory: u64,
) -> Record {
    let record = leaf.about(operation, next);
    next.with_beyond(path, |gained| {
        let record = record.on(gained.iter().copied());
        record.memory(memory, memory).priority(u8::MAX)
    })
}

/// Charges what a leaf needs to move from one path to another: the nodes that are new to it.
///
/// Whether the slot was taken out of the credit of the next path. Then it is charged on all of that
/// one's nodes, and all of the old path's are to get theirs back.
fn charge_move(path: &Path, next: &Path, slot: impl SlotCharge, memory: u64) -> Result<bool> {
    next.with_beyond(path, |gained| charge_gained(next, gained, slot, memory))
}

fn charge_gained(
    next: &Path,
    gained: &[&Node],
    slot: impl SlotCharge,
    memory: u64,
) -> Result<bool> {
    let gained = gained.iter().copied();
    let engine = next.engine();
    let editions = engine.editions();
    loop {
        // Both under one edition: a move is held against one whole set of limits.
        let edition = editions.now();
        let slot_taken = next.take_credit(edition, slot);
        let whole = WholeLeaf {
            slot,
            slot_taken,
            memory,
        };
        let charged = charge_all(gained.clone(), edition, whole);
        let counts = editions.still(edition);
        if charged.is_ok() && counts {
            return Ok(slot_taken);
        }
        if charged.is_ok() {
            cancel_all(gained.clone(), whole);
        }
        if let (true, Some((kind, amount))) = (slot_taken, slot.credit()) {
            next.release(kind, amount, || {});
        }
        if let (Err((node, over)), true) = (charged, counts) {
            refuse(engine, node, over, whole, edition)?;
        }
    }
}
