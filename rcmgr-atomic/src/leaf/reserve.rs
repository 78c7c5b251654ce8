//! How memory is reserved on a leaf.

use rcmgr_core::{Error, LimitExceeded, Priority, Resource, Result};

use super::state::Leaf;
use crate::charge::{Charge, Memory, Refused};
use crate::engine::Engine;
use crate::limits::{LimitReached, LimitsVersion};
use crate::node::threshold;
use crate::path::PathKind;
use crate::words::LeafWord;

impl Leaf {
    /// Reserves memory on the path and on the leaf, for the leaf itself.
    #[inline]
    pub fn reserve(&self, size: u64, priority: Priority) -> Result<()> {
        let word = self.charge(Memory::new(size, priority))?;
        if word.has_spans() {
            self.own_memory.add(size);
        }
        Ok(())
    }

    /// Reserves memory on the path and on the leaf, for a span of the leaf.
    pub fn reserve_for_span(&self, size: u64, priority: Priority) -> Result<()> {
        self.charge(Memory::new(size, priority)).map(drop)
    }

    /// Charges the path and the leaf. Returns the word before.
    #[inline]
    fn charge(&self, charge: Memory) -> Result<LeafWord> {
        match self.charge_from_credit(charge) {
            Some(word) => Ok(word),
            None => self.charge_slow(charge),
        }
    }

    /// The fast path: credit is available, there is room, and no other thread changes the leaf.
    /// `charge_slow` decides all other cases, with the same steps in a loop.
    #[inline]
    fn charge_from_credit(&self, charge: Memory) -> Option<LeafWord> {
        let (kind, amount) = charge.credit()?;
        let (word, path) = self.staged.load();
        let credit = path.credit()?;
        let engine = path.home();
        let version = engine.versions().get();
        // The own limit of the leaf.
        sum(word, self.memory_limit(engine, version), charge)?.ok()?;
        let next = word.more(charge.size);
        // Path first: the credit is charged on all nodes already.
        if !credit.stock(kind).take(version, amount) {
            return None;
        }
        // Leaf last, under limits that are still current.
        if engine.versions().is_current(version) && self.set_memory(path, word, next).is_ok() {
            return Some(word);
        }
        path.cancel(charge);
        None
    }

    #[inline(never)]
    fn charge_slow(&self, charge: Memory) -> Result<LeafWord> {
        let engine = self.engine();
        let charged = engine.under_current_limits(|version| {
            self.try_charge(engine, charge, version)
                .map_err(|refused| engine.settle(refused, charge, version))
        });
        charged.inspect_err(|refused| self.record_refused(charge, refused))
    }

    #[inline]
    fn try_charge(
        &self,
        engine: &Engine,
        charge: Memory,
        version: LimitsVersion,
    ) -> Result<LeafWord, Refused<'_>> {
        let limit = self.memory_limit(engine, version);
        let check_own = |word| match sum(word, limit, charge) {
            None => Err(Refused::Final(self.closed())),
            Some(Ok(sum)) => Ok(sum),
            Some(Err(reached)) => {
                Err(engine.refused_for_good(version, || self.refused(charge, reached)))
            }
        };
        loop {
            // 1. Check the own limit of the leaf.
            let (mut word, path) = self.staged.load();
            if path.kind() == PathKind::StrandedConnection {
                return Err(Refused::Final(self.closed()));
            }
            let sum = check_own(word)?;
            // 2. Charge the path that this word names.
            self.charge_memory(path, version, charge, sum)?;
            let before = word.memory();
            let cancel = || self.cancel_memory(path, charge, before);
            loop {
                // 3. Check the version for the last time before the leaf is charged. Memory on a
                //    leaf is never taken back here, because another thread may release it by then.
                //    A limit of the leaf itself that is lowered after this check counts from the
                //    next reservation on.
                if !engine.versions().is_current(version) {
                    cancel();
                    return Err(Refused::Stale);
                }
                // 4. Charge the leaf.
                let Err(now) = self.set_memory(path, word, word.more(charge.size)) else {
                    return Ok(word);
                };
                // The leaf moved or was closed: start again with the path that it is on now.
                if !now.same_but_memory(word) {
                    cancel();
                    break;
                }
                // Only its memory changed: the path stays charged, and the swap is retried.
                word = now;
                check_own(word).inspect_err(|_| cancel())?;
            }
        }
    }

    /// Counts a refusal by the leaf itself and returns its error.
    #[cold]
    fn refused(&self, charge: Memory, reached: LimitReached) -> Error {
        let class = self.engine().leaf_class(self.slot);
        class.refusals.count(reached.resource, None);
        LimitExceeded {
            scope: self.name(),
            resource: reached.resource,
            direction: None,
            requested: charge.size,
            used: reached.used,
            limit: reached.limit,
            priority: Some(charge.level.into()),
        }
        .into()
    }
}

/// The memory that the leaf would hold with the charge, or the own limit that it would exceed.
/// `None` if the leaf is closed.
#[inline]
fn sum(word: LeafWord, limit: u64, charge: Memory) -> Option<Result<u64, LimitReached>> {
    if word.is_closed() {
        return None;
    }
    let (held, most) = (
        word.memory(),
        threshold(limit, charge.level, LeafWord::MAX_MEMORY),
    );
    Some(match held.checked_add(charge.size) {
        Some(sum) if sum <= most => Ok(sum),
        _ => Err(LimitReached::new(Resource::Memory, held, limit)),
    })
}
