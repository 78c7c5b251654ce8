//! How a leaf moves to another path: see the head of `leaf.rs`.

use std::sync::Arc;

use rcmgr_core::Result;

use super::move_step::{MoveStep, charge_gained};
use super::state::Leaf;
use crate::charge::{OneConnection, SlotCharge, Streams};
use crate::counters::Slot;
use crate::engine::{FromPath, Path};
use crate::lifetime::{Mover, Shared, Use};
use crate::node::Node;
use crate::waiting::{Ticket, WakeLater};

/// The right to move a leaf to other paths.
pub struct LeafMover<'a> {
    pub(super) leaf: &'a Leaf,
    /// The path that the leaf is on. It stays there until this mover moves it.
    pub(super) path: &'a Shared<Path>,
    pub(super) mover: Mover<'a, Use<Path>, Slot>,
    // The last: wakers run when the claim is given back.
    _wake_later: WakeLater,
}

impl Leaf {
    /// The right to move the leaf, for one holder at a time.
    ///
    /// # Errors
    ///
    /// If the leaf is closed.
    // Inlined: returning the mover in memory would take longer than an atomic step.
    #[inline(always)]
    pub fn mover(&self) -> Result<LeafMover<'_>> {
        let wake_later = WakeLater::begin();
        let mover = self.staged.claim();
        let (word, path) = self.staged.load();
        if word.is_closed() {
            return Err(self.closed());
        }
        let leaf = self;
        Ok(LeafMover {
            leaf,
            path,
            mover,
            _wake_later: wake_later,
        })
    }
}

impl<'a> LeafMover<'a> {
    /// The path that the leaf is on. It stays there until this mover moves it.
    pub fn path(&self) -> &'a Shared<Path> {
        self.path
    }

    /// The path that the leaf is on, to look up a branch that the leaf moves to.
    #[inline]
    pub fn from(&self) -> FromPath<'a> {
        FromPath::leaf(self.path, self.mover.tag())
    }

    /// Moves the leaf to the path `next`. `next` is `None` if the leaf was closed while the path
    /// was looked up.
    ///
    /// The leaf keeps its use of the path that it was on, unless it handed that over to `next`. This
    /// costs nothing. Either `next` is a branch of that path, or a branch of such a branch, and uses it
    /// anyway. Or that path has only scopes that are never collected.
    ///
    /// # Errors
    ///
    /// If the leaf was closed, or a node that only the next path has leaves no room: then nothing
    /// has changed.
    pub fn advance(&mut self, next: Option<Use<Path>>) -> Result<()> {
        let next = next.ok_or_else(|| self.leaf.closed())?;
        match self.leaf.slot() {
            Slot::Stream(direction) => {
                let one = Streams::one(direction, Ticket::FIRST);
                match self.move_paid(next, one) {
                    Ok(()) => Ok(()),
                    Err(next) => self.advance_as(next, one),
                }
            }
            Slot::Connection(direction, uses_fd) => {
                let one = OneConnection {
                    direction,
                    uses_fd,
                    ticket: Ticket::FIRST,
                };
                match self.exchange_node(next, one) {
                    Ok(()) => Ok(()),
                    Err(next) => self.advance_as(next, one),
                }
            }
        }
    }

    /// The same for any move, where `slot` is the charge for the slot of the leaf.
    #[inline(never)]
    fn advance_as(&mut self, next: Use<Path>, slot: impl SlotCharge) -> Result<()> {
        let Self {
            leaf, path, mover, ..
        } = self;
        let mut word = leaf.staged.word();
        if word.is_closed() {
            return Err(leaf.closed());
        }
        // 1. Charge the gained nodes, which the next path has and this one lacks, with all that the
        //    leaf holds.
        let whole = charge_gained(leaf, path, &next, slot, word.memory())?;
        if matches!(leaf.slot(), Slot::Connection(..)) {
            spread_uses(&next);
        }
        // 2. Store the next path in the slot of the next stage. No other thread looks there before
        //    step 3.
        mover.put(next);
        let next = mover.next();
        let mut step = MoveStep {
            leaf,
            path,
            next,
            whole,
        };
        // 3. Move the word to the next stage: from here on the leaf is on the next path. If the
        //    word changed since it was read, adjust the charge of the gained nodes and retry.
        while let Err(now) = mover.advance(word) {
            if let Err(why) = step.follow(now) {
                // The leaf stays where it is. The gained nodes have everything back, so the next
                // path is not needed.
                drop(mover.take());
                return Err(why);
            }
            word = now;
        }
        // 4. Give back the charges of the leaf on the old path: on the nodes that only it has, and on all
        //    what credit paid for.
        step.finish();
        leaf.wake_waiting(path, word);
        // This mover may move the leaf again, from the path that it is on now.
        *path = leaf.path();
        Ok(())
    }
}

/// Counts later uses of a path in the shard of this thread, if threads contend for the peer: then the peer has
/// stocks of connections. There may be millions of other peers, and shards take memory.
#[inline]
fn spread_uses(path: &Use<Path>) {
    if path.credit().is_none() {
        let has_stocks = |peer: &Arc<Node>| peer.conns.credit().stocks().is_some();
        if !path.peer().is_some_and(has_stocks) || !path.has_several_uses() {
            return;
        }
        path.credit_or_new();
    }
    path.open_shard();
}
