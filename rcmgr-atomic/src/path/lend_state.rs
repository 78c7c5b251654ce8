//! Whether a path lends credit, and when it may.

use crate::sync::{AtomicU64, Ordering};

/// Whether a path lends credit, or after how many charges it may.
#[derive(Debug)]
pub struct LendState(AtomicU64);

/// The next step of lending, after a charge of the nodes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LendStep {
    Nothing,
    /// The path was charged often enough to lend.
    Begin,
    /// The path lends: its stock may be filled.
    Fill,
}

const LENDS: u64 = u64::MAX - 1;
const COLLECTED: u64 = u64::MAX;

// One word decides between a path that begins to lend and one that is collected: each step of one
// (AcqRel) sees the earlier steps of the other.
impl LendState {
    /// The path may lend after this many charges.
    pub fn after(charges: u64) -> Self {
        Self(AtomicU64::new(charges))
    }

    fn swap(&self, from: u64, to: u64) -> bool {
        // AcqRel, and Acquire on failure: see above.
        self.0
            .compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Counts a charge of the nodes, as so many. Returns the next step of lending.
    pub fn count_charge(&self, times: u64) -> LendStep {
        // Acquire: with the stocks of a path that lends.
        match self.0.load(Ordering::Acquire) {
            COLLECTED => LendStep::Nothing,
            LENDS => LendStep::Fill,
            0 => LendStep::Begin,
            charges => {
                // If another thread was faster, its charge was counted in place of this one.
                self.swap(charges, charges.saturating_sub(times));
                LendStep::Nothing
            }
        }
    }

    pub fn may_begin(&self) -> bool {
        // Acquire: see above.
        self.0.load(Ordering::Acquire) == 0
    }

    /// The path lends from now on, unless it was collected.
    pub fn begin(&self) -> bool {
        self.swap(0, LENDS)
    }

    /// The path could not begin: it may try again after this many charges.
    pub fn postpone(&self, charges: u64) {
        self.swap(0, charges);
    }

    /// The path stops lending, unless it is already collected. It may begin again after this many
    /// charges. Returns whether it stopped.
    pub fn end(&self, charges: u64) -> bool {
        self.swap(LENDS, charges)
    }

    /// The path is collected. Returns whether it was lending.
    pub fn set_collected(&self) -> bool {
        // AcqRel: see above.
        self.0.swap(COLLECTED, Ordering::AcqRel) == LENDS
    }

    pub fn lends(&self) -> bool {
        // Acquire: with the stocks of a path that lends.
        self.0.load(Ordering::Acquire) == LENDS
    }
}
