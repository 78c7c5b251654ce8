//! The refusals of each class of scopes, beside those that the live scopes count themselves.

use rcmgr_core::{Refusals, ScopeClass};

use super::refusals::RefusalCounts;

/// The refusals of each class of scopes, beside those that the live scopes count themselves.
#[derive(Debug)]
pub struct ClassRefusals {
    /// Refusals by spans, and by scopes that were collected.
    past: [RefusalCounts; ScopeClass::ALL.len()],
    /// The largest numbers that were reported.
    reported: [RefusalCounts; ScopeClass::ALL.len()],
}

impl ClassRefusals {
    pub fn new() -> Self {
        let zeros = || std::array::from_fn(|_| RefusalCounts::new());
        Self {
            past: zeros(),
            reported: zeros(),
        }
    }

    /// Refusals by spans, and by scopes that were collected.
    pub fn past(&self, class: ScopeClass) -> &RefusalCounts {
        &self.past[class as usize]
    }

    /// All refusals of a class, by the sum that was just counted. The numbers never decrease: a
    /// scope that is being collected is in no sum for a moment, and then the numbers that were
    /// reported before are returned.
    pub fn report(&self, class: ScopeClass, sum: Refusals) -> Refusals {
        self.reported[class as usize].raise(sum)
    }
}
