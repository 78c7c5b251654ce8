//! One rate, applied to the token buckets of its subnets.

use std::sync::Arc;

use crate::Rate;
use crate::buckets::Buckets;
use crate::quota::{Quota, Wait};
use crate::shards::Hashed;
use crate::subnet::Subnet;

/// One rate, for any number of buckets.
#[derive(Debug)]
pub(crate) struct Meter {
    /// Distinguishes the buckets of this rule from those of other rules for the same subnets.
    rule: u32,
    buckets: Arc<Buckets>,
    /// `None` if the burst is zero: every connection is refused.
    quota: Option<Quota>,
}

impl Meter {
    /// A meter for a rate that was checked, with a clock of this tick in nanoseconds.
    pub(crate) fn new(rate: Rate, tick: u64, rule: u32, buckets: &Arc<Buckets>) -> Self {
        Self {
            rule,
            buckets: Arc::clone(buckets),
            quota: Quota::new(rate, tick),
        }
    }

    /// Takes a token from the subnet's bucket at the time `now`, in nanoseconds. A refusal counts
    /// for the subnet `refused`.
    ///
    /// # Errors
    ///
    /// The time until the next token.
    #[inline(always)]
    pub(crate) fn take(&self, subnet: Hashed, refused: Subnet, now: u64) -> Result<(), Wait> {
        let Some(quota) = &self.quota else {
            self.buckets.count_refusal(subnet, refused);
            return Err(None);
        };
        self.buckets
            .take(subnet.of_rule(self.rule), quota, refused, now)
    }

    /// The time until the subnet's bucket has a token, if that is longer than `at_least`.
    pub(crate) fn wait_over(&self, at_least: u64, subnet: Hashed, now: u64) -> Wait {
        let quota = self.quota.as_ref()?;
        // Most buckets refill faster than the wait that is known already: do not lock them.
        if quota
            .longest_wait()
            .is_some_and(|longest| longest <= at_least)
        {
            return Some(at_least);
        }
        let full_at = self.buckets.full_at(subnet.of_rule(self.rule));
        let wait = quota.wait_for_token(full_at, now)?;
        Some(wait.max(at_least))
    }
}
