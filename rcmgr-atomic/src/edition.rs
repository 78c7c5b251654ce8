//! Editions of the limits, so that all of them change as one.
//!
//! Every limit lies in two slots. The number of the current edition says, by its last bit, which
//! slot of each counts. To change limits, the new ones are written into the slots of the next
//! edition; one step on the number makes all of them count; then the other slots follow, so that
//! at rest both are the same and the next change need only touch what it changes.
//!
//! Whoever reads limits takes the edition first, reads and does what depends on them, and looks at
//! the end whether that edition is [`still`](Editions::still) the one that counts: then all that
//! it read was of this edition, and what it did was done under it. It never waits for a writer, and
//! begins anew only when another edition has come to count meanwhile.

use rcmgr_core::LimitValue;

use crate::sync::{AtomicU64, Ordering};

/// Which edition of the limits counts.
#[derive(Debug)]
pub struct Editions(AtomicU64);

/// One edition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edition(u64);

impl Editions {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub fn now(&self) -> Edition {
        // Acquire: pairs with the step in `change`, after the edition's slots were written.
        Edition(self.0.load(Ordering::Acquire))
    }

    /// Whether `edition` counts still.
    #[inline]
    pub fn still(&self, edition: Edition) -> bool {
        // SeqCst: stands in one order with the charges before it, which are SeqCst too, and with
        // `change`. Where the edition counts still, the charges came before the next one did.
        self.0.load(Ordering::SeqCst) == edition.0
    }

    /// What `read` makes of the limits of one edition.
    pub fn read<R>(&self, read: impl Fn(Edition) -> R) -> R {
        loop {
            let edition = self.now();
            let result = read(edition);
            if self.still(edition) {
                return result;
            }
        }
    }

    /// Makes a new edition. `write` writes what changes into the slots of the edition it is given;
    /// it is called twice. Only one writer at a time. The new edition.
    pub fn change(&self, write: impl Fn(Edition)) -> Edition {
        let now = self.now();
        let next = Edition(now.0.wrapping_add(1));
        write(next);
        // SeqCst: see `still`. It is Release, too: the slots of this edition are written before.
        self.0.store(next.0, Ordering::SeqCst);
        write(now);
        next
    }
}

impl Edition {
    /// Which of two slots is this edition's.
    #[inline]
    pub fn slot(self) -> usize {
        self.0 as usize & 1
    }

    #[inline]
    pub fn number(self) -> u64 {
        self.0
    }

    /// An edition for either slot.
    pub const FOR_EACH_SLOT: [Self; 2] = [Self(0), Self(1)];
}

/// `N` limits in two slots each. No limit is [`UNLIMITED`].
#[derive(Debug)]
pub struct LimitSlots<const N: usize>([[AtomicU64; N]; 2]);

/// What stands for no limit. A limit of this very number has the same effect: it is as much as a
/// counter holds.
pub const UNLIMITED: u64 = u64::MAX;

fn encode(limit: LimitValue) -> u64 {
    match limit {
        LimitValue::Limited(limit) => limit,
        LimitValue::Unlimited => UNLIMITED,
    }
}

/// A limit as a slot holds it, as a value.
pub fn decode(limit: u64) -> LimitValue {
    match limit {
        UNLIMITED => LimitValue::Unlimited,
        limit => LimitValue::Limited(limit),
    }
}

impl<const N: usize> LimitSlots<N> {
    /// Limits for either slot.
    pub fn new(limits: [[LimitValue; N]; 2]) -> Self {
        Self(limits.map(|slot| slot.map(|limit| AtomicU64::new(encode(limit)))))
    }

    #[inline]
    pub fn get(&self, edition: Edition) -> [u64; N] {
        std::array::from_fn(|at| self.get_one(edition, at))
    }

    #[inline]
    pub fn get_one(&self, edition: Edition, at: usize) -> u64 {
        // Acquire: a limit of a later edition brings along that the edition has moved on.
        self.0[edition.slot()][at].load(Ordering::Acquire)
    }

    /// Only one writer at a time, from within [`Editions::change`].
    pub fn set(&self, edition: Edition, limits: [LimitValue; N]) {
        for (slot, limit) in self.0[edition.slot()].iter().zip(limits) {
            // Release: see `get_one`.
            slot.store(encode(limit), Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_count_from_one_edition_to_the_next() {
        let editions = Editions::new();
        let at_first = [1.into(), LimitValue::Unlimited];
        let limits = LimitSlots::new([at_first; 2]);
        let first = editions.now();
        for round in 2..6 {
            editions.change(|edition| limits.set(edition, [round.into(), LimitValue::BLOCK_ALL]));
            assert!(!editions.still(first));
            let now = editions.read(|edition| limits.get(edition).map(decode));
            assert_eq!(now, [round.into(), LimitValue::BLOCK_ALL]);
        }
    }
}
