//! The uses of a value that leaves handed over to the next one.
//!
//! A leaf that moves from one path to a branch of it finds that under the lock of the branches. The branch
//! has a use of that path, in the word, for as long as it is found. So the leaf need not end its own use by
//! an atomic step. It hands that over to the branch, where a plain number under the same lock counts
//! those. Many of them end together, and the others when the branch is removed.
//!
//! The use of the branch remembers that the other one was handed over. If it ends before the leaf got to
//! the branch, a use is given back. `loom-tests/tests/shared.rs` has the models.

use std::mem;

use super::retire::Retire;
use super::shared::Shared;
use super::uses::{Collect, Use};
use crate::sync::{IS_MODEL, Ordering};
use crate::words::{UseTag, UsesWord};

/// How many uses of the value before were handed over to a value. It lies in the entry where that is
/// found, behind its lock. That value has a use of the one before in the word. So these uses are not the
/// last ones there.
#[derive(Debug)]
pub struct HandedOver {
    uses: u32,
    /// When `uses` reaches this number, those of leaves that have arrived end.
    end_at: u32,
}

/// So many are handed over between two such times. (Few in a model.)
const MANY: u32 = if IS_MODEL { 1 } else { 64 };

impl HandedOver {
    pub const fn none() -> Self {
        let (uses, end_at) = (0, MANY);
        Self { uses, end_at }
    }

    /// Hands over the use that a leaf has of the value before. The leaf moves on to `next`.
    ///
    /// The caller holds the lock of the entry of `next`. The leaf has a use of the value before, which is
    /// counted in the word of that.
    #[inline]
    pub fn hand_over<T: Collect>(&mut self, next: Use<T>) -> Use<T> {
        self.uses += 1;
        if self.uses >= self.end_at {
            self.end_many(&next);
        }
        let (shared, tag) = next.split();
        let counted = UseTag(tag).with_handed_over();
        Use { shared, counted }
    }

    /// Ends the uses of leaves that have got to `next`. A leaf on its way may still end its own use, which
    /// is then given back. But it has a use of `next`. So this leaves out as many as `next` has.
    #[cold]
    fn end_many<T: Collect>(&mut self, next: &Shared<T>) {
        let left_out = u64::from(self.uses).min(next.all_uses()) as u32;
        end(self.uses - left_out, next);
        self.uses = left_out;
        self.end_at = left_out + MANY;
    }

    /// Ends those that were handed over to this value, which is removed: it has no use.
    pub fn end_all<T: Collect>(&mut self, value: &Shared<T>) {
        end(mem::take(&mut self.uses), value);
    }
}

/// Ends so many uses of the value before.
fn end<T: Collect>(uses: u32, value: &Shared<T>) {
    let uses = UsesWord::USE * u64::from(uses);
    if let Some(before) = value.before()
        && uses > 0
    {
        // Release: as the end of any use.
        before.word().fetch_sub(uses, Ordering::Release);
    }
}
