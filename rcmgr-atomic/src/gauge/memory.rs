use rcmgr_core::{LimitValue, Resource};

use super::{Over, Peak};
use crate::edition::{Edition, LimitSlots, UNLIMITED};
use crate::record::MissedCell;
use crate::sync::{AtomicU64, Ordering};

/// Memory, in bytes.
#[derive(Debug)]
#[repr(align(64))]
pub struct MemoryGauge {
    used: AtomicU64,
    limit: LimitSlots<1>,
    peak: Peak,
    /// Of the whole node: what a recorder had no room for. It is here because it takes no more memory
    /// here, in what the alignment leaves free.
    missed: MissedCell,
}

/// The most that usage may be for a request of this priority level: `(1 + level) * limit / 256`,
/// rounded down, without overflow. Unlimited is `capacity` for every level.
#[inline]
pub fn threshold(limit: u64, level: u8, capacity: u64) -> u64 {
    if level == u8::MAX || limit == UNLIMITED {
        return limit.min(capacity);
    }
    let share = u64::from(level) + 1;
    // limit = 256 * high + low, so share * limit / 256 = share * high + share * low / 256.
    let (high, low) = (limit >> 8, limit & 0xff);
    (share * high + ((share * low) >> 8)).min(capacity)
}

impl MemoryGauge {
    /// A gauge with a limit for either edition's slot.
    pub fn new(limits: [LimitValue; 2]) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit: LimitSlots::new(limits.map(|limit| [limit])),
            peak: Peak::new(),
            missed: MissedCell::default(),
        }
    }

    pub(crate) fn missed(&self) -> &MissedCell {
        &self.missed
    }

    /// What is used, if there is room for `size` more within the share of the limit that `level`
    /// may use.
    #[inline]
    pub fn look(&self, edition: Edition, size: u64, level: u8) -> Result<u64, Over> {
        let limit = self.limit(edition);
        // Acquire: the edition is looked at after the counter.
        let used = self.used.load(Ordering::Acquire);
        match used.checked_add(size) {
            Some(sum) if sum <= threshold(limit, level, u64::MAX) => Ok(used),
            _ => Err(Over::new(Resource::Memory, used, limit)),
        }
    }

    /// Counts `size` more, if what is used is still what was seen.
    #[inline]
    pub fn count(&self, seen: u64, size: u64) -> bool {
        // SeqCst: see `Editions::still`. Relaxed on failure: it is looked at anew.
        self.used
            .compare_exchange_weak(seen, seen + size, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes back what was charged and not used: it leaves no peak.
    #[inline]
    pub fn cancel(&self, size: u64) {
        // AcqRel: whoever uses the room knows the editions that this thread knew.
        self.used.fetch_sub(size, Ordering::AcqRel);
    }

    /// Takes back what was used.
    #[inline]
    pub fn release(&self, size: u64) {
        // AcqRel: as in `cancel`.
        let before = self.used.fetch_sub(size, Ordering::AcqRel);
        debug_assert!(before >= size, "released {size} of {before} bytes");
        self.peak.note(before);
    }

    pub fn used(&self) -> u64 {
        // SeqCst: who changed a limit and then reads sees what was charged under the old one.
        self.used.load(Ordering::SeqCst)
    }

    pub fn peak(&self) -> u64 {
        self.peak.get(self.used())
    }

    /// The limit, as a slot holds it.
    #[inline]
    pub fn limit(&self, edition: Edition) -> u64 {
        self.limit.get_one(edition, 0)
    }

    pub fn set_limit(&self, edition: Edition, limit: LimitValue) {
        self.limit.set(edition, [limit]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_the_share_of_the_limit_rounded_down() {
        for limit in [0, 1, 255, 256, 257, 1000, u64::MAX - 1] {
            for level in [0, 50, 101, 152, 203, 254, 255] {
                let exact = (u128::from(limit) * (u128::from(level) + 1)) >> 8;
                assert_eq!(u128::from(threshold(limit, level, u64::MAX)), exact);
            }
        }
        assert_eq!(threshold(UNLIMITED, 0, 77), 77);
        assert_eq!(threshold(100, 255, 77), 77);
    }
}
