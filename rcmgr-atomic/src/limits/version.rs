//! Versions of the limits, so that all limits change as one.
//!
//! Every limit has two slots. The number of the current version, odd or even, says which of the two
//! slots counts. A change of limits writes the new values into the slots of the next version. One
//! step on the number puts all of them in force. Then the new values are written into the other
//! slots, too. So between changes both slots are equal, and the next change writes only the limits
//! that it changes.
//!
//! A reader takes the version first, then reads limits and acts on them. At the
//! end it checks whether the version [is still current](CurrentVersion::is_current). If so,
//! everything that it read belongs to this version, and everything that it did was done under it. A
//! reader never waits for a writer. It retries only when another version has come into force
//! meanwhile.

use crate::sync::{AtomicU64, Ordering};

/// The version of the limits that is in force.
#[derive(Debug)]
pub struct CurrentVersion(AtomicU64);

/// The number of one version of the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsVersion(u64);

impl CurrentVersion {
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub fn get(&self) -> LimitsVersion {
        // Acquire: pairs with the step in `change`, after the slots of the version were written.
        LimitsVersion(self.0.load(Ordering::Acquire))
    }

    /// Whether `version` is still in force.
    #[inline]
    pub fn is_current(&self, version: LimitsVersion) -> bool {
        // SeqCst: in one order with the charges before it, which are SeqCst too, and with `change`.
        // If the version is still current, the charges came before the next version did.
        self.0.load(Ordering::SeqCst) == version.0
    }

    /// The result of `read` for the limits of one version.
    pub fn read<R>(&self, read: impl Fn(LimitsVersion) -> R) -> R {
        loop {
            let version = self.get();
            let result = read(version);
            if self.is_current(version) {
                return result;
            }
        }
    }

    /// Puts a new version in force and returns it. `write` writes the new limits into the slots of
    /// the version that it gets. It is called twice. Only one thread at a time may call this.
    pub fn change(&self, write: impl Fn(LimitsVersion)) -> LimitsVersion {
        let now = self.get();
        let next = LimitsVersion(now.0.wrapping_add(1));
        write(next);
        // SeqCst: see `is_current`. It is Release, too: the slots of this version are written
        // before.
        self.0.store(next.0, Ordering::SeqCst);
        write(now);
        next
    }
}

impl LimitsVersion {
    /// The slot of this version: 0 or 1.
    #[inline]
    pub fn slot(self) -> usize {
        (self.0 % 2) as usize
    }

    #[inline]
    pub fn number(self) -> u64 {
        self.0
    }

    /// A version for either slot.
    pub const FOR_EACH_SLOT: [Self; 2] = [Self(0), Self(1)];
}

#[cfg(test)]
mod tests {
    use rcmgr_core::LimitValue;

    use super::super::slots::{LimitSlots, decode};
    use super::*;

    #[test]
    fn limits_count_from_one_version_to_the_next() {
        let versions = CurrentVersion::new();
        let at_first = [1.into(), LimitValue::Unlimited];
        let limits = LimitSlots::new([at_first; 2]);
        let first = versions.get();
        for round in 2..6 {
            versions.change(|version| limits.set(version, [round.into(), LimitValue::BLOCK_ALL]));
            assert!(!versions.is_current(first));
            let now = versions.read(|version| limits.get(version).map(decode));
            assert_eq!(now, [round.into(), LimitValue::BLOCK_ALL]);
        }
    }
}
