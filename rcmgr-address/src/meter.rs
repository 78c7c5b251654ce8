//! One rate, applied to the token buckets of its subnets by `governor`.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::{Quota, RateLimiter};

use crate::buckets::{Buckets, Request, Store};
use crate::rate_limits::Rate;
use crate::shards::Hashed;

/// A bucket takes at most this long to fill, in nanoseconds, so that no sum overflows.
const LONGEST_FILL: u64 = 1 << 62;

/// One rate, for any number of buckets.
#[derive(Debug)]
pub(crate) struct Meter {
    rate: Rate,
    /// Tells the buckets of this rule from others of the same subnets.
    rule: u32,
    buckets: Arc<Buckets>,
    /// `None` if a bucket holds no token.
    limiter: Option<RateLimiter<Request, Store, Standing, NoOpMiddleware<Nanos>>>,
}

impl Meter {
    /// A meter of a rate that was checked.
    pub(crate) fn new(rate: Rate, rule: u32, buckets: &Arc<Buckets>) -> Self {
        let limiter = NonZeroU32::new(rate.burst).and_then(|burst| {
            let longest = LONGEST_FILL / u64::from(burst.get());
            let period = if rate.per_second > 0.0 {
                // The conversion saturates.
                ((1e9 / rate.per_second).round() as u64).clamp(1, longest)
            } else {
                longest
            };
            let quota = Quota::with_period(Duration::from_nanos(period))?;
            let store = Store(Arc::clone(buckets));
            Some(RateLimiter::new(quota.allow_burst(burst), store, Standing))
        });
        Self {
            rate,
            rule,
            buckets: Arc::clone(buckets),
            limiter,
        }
    }

    /// Takes a token from the subnet's bucket at that moment, in nanoseconds.
    ///
    /// # Errors
    ///
    /// How long it takes until there is one.
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

/// Governor's clock: always at zero, since each [`Request`] brings its own time.
#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        Nanos::default()
    }
}
