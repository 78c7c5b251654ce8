//! The memory of a node.

use rcmgr_core::{LimitValue, Resource};

use super::peak::Peak;
use crate::counters::MissedCell;
use crate::limits::{LimitReached, LimitSlots, LimitsVersion, UNLIMITED};
use crate::sync::{AtomicU64, Ordering, cold_path};

/// Memory, in bytes.
#[derive(Debug)]
pub struct MemoryGauge {
    used: AtomicU64,
    limit: LimitSlots<1>,
    peak: Peak,
    /// The missed changes of the whole node. They lie here in space that the alignment leaves free.
    missed: MissedCell,
}

/// The upper bound of usage for a request of this priority level: `(1 + level) * limit / 256`,
/// rounded down, without overflow. If the limit is unlimited, it is `capacity` for every level.
#[inline]
pub fn threshold(limit: u64, level: u8, capacity: u64) -> u64 {
    if level == u8::MAX || limit == UNLIMITED {
        return limit.min(capacity);
    }
    let share = u64::from(level) + 1;
    // limit = 256 * high + low, so share * limit / 256 = share * high + share * low / 256.
    let (high, low) = (limit / 256, limit % 256);
    (share * high + share * low / 256).min(capacity)
}

impl MemoryGauge {
    /// A gauge with a limit for either slot.
    pub fn new(limits: [LimitValue; 2]) -> Self {
        Self {
            used: AtomicU64::new(0),
            limit: LimitSlots::new(limits.map(|limit| [limit])),
            peak: Peak::new(),
            missed: MissedCell::default(),
        }
    }

    pub fn missed(&self) -> &MissedCell {
        &self.missed
    }

    /// The usage, if there is room for `size` more within the share of the limit that this priority
    /// level may use.
    #[inline]
    pub fn check(&self, version: LimitsVersion, size: u64, level: u8) -> Result<u64, LimitReached> {
        let limit = self.limit(version);
        // Acquire: a charge reads the version after the counter.
        let used = self.used.load(Ordering::Acquire);
        match used.checked_add(size) {
            Some(sum) if sum <= threshold(limit, level, u64::MAX) => Ok(used),
            _ => Err(LimitReached::new(Resource::Memory, used, limit)),
        }
    }

    /// Whether the usage is within the share of the limit that this priority level may use.
    #[inline]
    pub fn is_within(&self, version: LimitsVersion, level: u8) -> bool {
        let limit = self.limit(version);
        // The usage is read after credit was taken. That was Acquire, so the usage includes it.
        let used = self.used();
        // A cheap comparison first. It is at most 255 bytes too strict.
        if used <= limit / 256 * (u64::from(level) + 1) {
            return true;
        }
        cold_path();
        used <= threshold(limit, level, u64::MAX)
    }

    /// Whether there would be room for `size` if nothing were used. The error has the usage.
    pub fn check_alone(
        &self,
        version: LimitsVersion,
        size: u64,
        level: u8,
    ) -> Result<(), LimitReached> {
        let limit = self.limit(version);
        if size <= threshold(limit, level, u64::MAX) {
            return Ok(());
        }
        Err(LimitReached::new(Resource::Memory, self.used(), limit))
    }

    /// Counts `size` more, if the usage has not changed since the check.
    #[inline]
    pub fn commit(&self, seen: u64, size: u64) -> bool {
        // SeqCst: see `CurrentVersion::is_current`. Relaxed on failure: the caller checks again.
        self.used
            .compare_exchange_weak(seen, seen + size, Ordering::SeqCst, Ordering::Relaxed)
            .is_ok()
    }

    /// Takes back a charge that was never granted. It leaves no peak.
    #[inline]
    pub fn cancel(&self, size: u64) {
        // SeqCst: a thread that makes room then looks for requests that wait (`waiting/waiters.rs`).
        // It is AcqRel, too: a thread that uses the room sees the version of the limits that this
        // thread saw.
        self.used.fetch_sub(size, Ordering::SeqCst);
    }

    /// Gives back an amount that was granted, and notes the peak.
    #[inline]
    pub fn release(&self, size: u64) {
        // SeqCst: as in `cancel`.
        let before = self.used.fetch_sub(size, Ordering::SeqCst);
        debug_assert!(before >= size, "released {size} of {before} bytes");
        self.peak.note(before);
    }

    pub fn used(&self) -> u64 {
        // SeqCst: a thread that changed a limit and then reads sees all charges under the old one.
        self.used.load(Ordering::SeqCst)
    }

    pub fn peak(&self) -> u64 {
        self.peak.get(self.used())
    }

    /// The limit, as the number in a slot.
    #[inline]
    pub fn limit(&self, version: LimitsVersion) -> u64 {
        self.limit.get_one(version, 0)
    }

    pub fn set_limit(&self, version: LimitsVersion, limit: LimitValue) {
        self.limit.set(version, [limit]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_the_share_of_the_limit_rounded_down() {
        for limit in [0, 1, 255, 256, 257, 1000, u64::MAX - 1] {
            for level in [0, 50, 101, 152, 203, 254, 255] {
                let exact = (u128::from(limit) * (u128::from(level) + 1)) / 256;
                assert_eq!(u128::from(threshold(limit, level, u64::MAX)), exact);
            }
        }
        assert_eq!(threshold(UNLIMITED, 0, 77), 77);
        assert_eq!(threshold(100, 255, 77), 77);
    }
}
