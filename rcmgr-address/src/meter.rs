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
    /// for the subnet that `refused` makes of it.
    ///
    /// # Errors
    ///
    /// The time until the next token.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        subnet: Hashed,
        now: u64,
        refused: impl FnOnce(Subnet) -> Subnet,
    ) -> Result<(), Wait> {
        let Some(quota) = &self.quota else {
            self.buckets.count_refusal(subnet, refused);
            return Err(Wait::FOREVER);
        };
        let subnet = subnet.of_rule(self.rule);
        self.buckets.take(subnet, quota, now, refused)
    }

    /// The time until the subnet's bucket has a token, or `at_least`, if that is longer.
    pub(crate) fn wait(&self, at_least: Wait, subnet: Hashed, now: u64) -> Wait {
        let Some(quota) = &self.quota else {
            return Wait::FOREVER;
        };
        // Most buckets refill faster than the wait that is known already: do not lock them.
        if quota.longest_wait() <= at_least {
            return at_least;
        }
        let full_at = self.buckets.full_at(subnet.of_rule(self.rule));
        quota.wait_for_token(full_at, now).max(at_least)
    }
}
