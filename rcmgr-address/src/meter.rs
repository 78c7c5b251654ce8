//! One rate, applied to the token buckets of its subnets with `governor`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use crate::Rate;
use crate::buckets::{Buckets, Request, Store};
use crate::shards::Hashed;

/// The maximum time to fill a bucket, in nanoseconds, so that no sum overflows.
const LONGEST_FILL: u64 = 1 << 62;

/// One rate, for any number of buckets.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Rate,
    /// Distinguishes the buckets of this rule from those of other rules for the same subnets.
    rule: u32,
    buckets: Arc<Buckets>,
    /// `None` if the burst is zero: every connection is refused.
    limiter: Option<RateLimiter<Request, Store, ZeroClock, NoOpMiddleware<Nanos>>>,
}

impl Meter {
    /// A meter for a rate that has been checked.
    pub(crate) fn new(rate: Rate, rule: u32, buckets: &Arc<Buckets>) -> Self {
        let limiter = NonZeroU32::new(rate.burst).and_then(|burst| {
            let longest = LONGEST_FILL / u64::from(burst.get());
            let period = if rate.per_second > 0.0 {
                // The cast from a float saturates.
                ((1e9 / rate.per_second).round() as u64).clamp(1, longest)
            } else {
                longest
            };
            let quota = Quota::with_period(Duration::from_nanos(period))?;
            let store = Store(Arc::clone(buckets));
            Some(RateLimiter::new(quota.allow_burst(burst), store, ZeroClock))
        });
        Self {
            rate,
            rule,
            buckets: Arc::clone(buckets),
            limiter,
        }
    }

    /// Takes a token from the subnet's bucket at the time `now`, in nanoseconds.
    ///
    /// # Errors
    ///
    /// The time until the next token; [`Duration::MAX`] if there will never be one.
    #[inline(always)]
    pub(crate) fn take(&self, subnet: Hashed, now: u64) -> Result<(), Duration> {
        let Some(limiter) = &self.limiter else {
            self.buckets.count_refusal(subnet);
            return Err(Duration::MAX);
        };
        let subnet = subnet.of_rule(self.rule);
        limiter
            .check_key(&Request { subnet, now })
            .map_err(|not_until| {
                if self.rate.per_second == 0.0 {
                    Duration::MAX
                } else {
                    not_until.wait_time_from(Nanos::default())
                }
            })
    }
}

/// A clock for governor that always reads zero, because each [`Request`] carries the time.
#[derive(Debug)]
struct ZeroClock;

impl Clock for ZeroClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::default()
    }
}
