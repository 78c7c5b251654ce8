//! A group of limits in two slots: see `version.rs`.

use rcmgr_core::LimitValue;

use super::version::LimitsVersion;
use crate::sync::{AtomicU64, Ordering};

/// `N` limits in two slots each. No limit is [`UNLIMITED`].
#[derive(Debug)]
pub struct LimitSlots<const N: usize>([[AtomicU64; N]; 2]);

/// The number in a slot that stands for no limit.
pub const UNLIMITED: u64 = u64::MAX;

fn encode(limit: LimitValue) -> u64 {
    limit.number().unwrap_or(UNLIMITED)
}

/// The limit that a number in a slot stands for.
pub fn decode(limit: u64) -> LimitValue {
    LimitValue::of(limit)
}

impl<const N: usize> LimitSlots<N> {
    /// Limits for either slot.
    pub fn new(limits: [[LimitValue; N]; 2]) -> Self {
        Self(limits.map(|slot| slot.map(|limit| AtomicU64::new(encode(limit)))))
    }

    #[inline]
    pub fn get(&self, version: LimitsVersion) -> [u64; N] {
        std::array::from_fn(|at| self.get_one(version, at))
    }

    #[inline]
    pub fn get_one(&self, version: LimitsVersion, at: usize) -> u64 {
        // Acquire: a reader of a limit of a later version also sees that the version has changed.
        self.0[version.slot()][at].load(Ordering::Acquire)
    }

    /// Only one thread at a time may call this, from within
    /// [`CurrentVersion::change`](super::version::CurrentVersion::change).
    pub fn set(&self, version: LimitsVersion, limits: [LimitValue; N]) {
        for (slot, limit) in self.0[version.slot()].iter().zip(limits) {
            // Release: see `get_one`.
            slot.store(encode(limit), Ordering::Release);
        }
    }
}
