//! How a leaf moves to another path: see the head of `leaf.rs`.

use rcmgr_core::Result;

use super::move_step::{MoveStep, charge_gained};
use super::state::Leaf;
use crate::charge::{OneConnection, SlotCharge, Streams};
use crate::counters::Slot;
use crate::engine::Path;
use crate::lifetime::{Mover, Shared, Use};

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
    /// The path that the leaf is on. It stays there until this mover moves it.
    pub fn path(&self) -> &'a Shared<Path> {
        self.leaf.path()
    }

    /// Moves to the path `next`. It is `None` if the leaf was closed while the path was looked for.
    ///
    /// The leaf keeps its use of the path that it was on. A branch of that path uses it anyway, and
    /// the other paths go through scopes that are never collected.
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
        if word.is_closed() {
            return Err(leaf.closed());
        }
        // 1. Charge the nodes that the next path has and this one lacks.
        let whole = charge_gained(leaf, path, &next, slot, word.memory())?;
        // 2. Put the next path where a reader of the next stage will look for it.
        mover.put(next);
        let next = mover.next();
        let mut step = MoveStep {
            leaf,
            path,
            next,
            whole,
        };
        // 3. Move the word to the next stage. If the leaf was closed or its memory changed, the
        //    gained nodes follow.
        while let Err(now) = mover.advance(word) {
            if let Err(why) = step.follow(now) {
                drop(mover.take());
                return Err(why);
            }
            word = now;
        }
        // 4. Give back what only the old path was charged with.
        step.finish();
        Ok(())
    }
}
