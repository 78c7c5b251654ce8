//! Limits on the rate of new connections by remote address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

use rcmgr_core::{Clock, RateLimitExceeded, Result};

use crate::buckets::{Buckets, MAX_BUCKETS};
use crate::meter::Meter;
use crate::rules::{Listed, Rule, Rules, Target};
use crate::shards::Hashed;
use crate::subnet::{Address, Subnet};
use crate::{Rate, RateLimits};

/// Limits the rate of new connections from a remote address, from the subnets that contain it, and
/// from all addresses together, each with a token bucket.
///
/// Every subnet that was seen recently has a bucket. A bucket that has been full for a minute is
/// dropped. There is no background thread: each call sweeps at most one shard of the limiter if
/// that is due, so the calls after a flood clean up after it. The number of buckets is bounded by
/// [`MAX_TRACKED`](Self::MAX_TRACKED). When a new bucket finds no room, the fullest of a few
/// randomly sampled buckets is evicted, because it carries the least information.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_address::{RateLimiter, RateLimits};
///
/// # #[derive(Debug)]
/// # struct SystemClock(std::time::Instant);
/// # impl rcmgr_core::Clock for SystemClock {
/// #     fn now(&self) -> std::time::Duration {
/// #         self.0.elapsed()
/// #     }
/// # }
/// # let clock = SystemClock(std::time::Instant::now());
/// // For example, the `SystemClock` of rcmgr-atomic.
/// let limiter = RateLimiter::new(RateLimits::reference_defaults(), Arc::new(clock))?;
/// let ip = "192.0.2.7".parse()?;
/// for _ in 0..16 {
///     limiter.allow(ip)?;
/// }
/// let refused = limiter.allow(ip).unwrap_err();
/// assert!(refused.retry_after.as_secs() <= 5);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct RateLimiter {
    clock: Arc<dyn Clock>,
    hasher: RandomState,
    buckets: Arc<Buckets>,
    /// Holds only the global bucket, separately, because it must never be evicted.
    global: Arc<Buckets>,
    active: ArcSwap<Active>,
    /// Serializes changes. Holds the number of the last rule.
    last_rule: Mutex<u32>,
}

/// The limits as they were set, and in the form that lookups use.
#[derive(Debug)]
pub(crate) struct Active {
    limits: RateLimits,
    rules: Rules<Meter>,
    global: Option<Meter>,
    /// For each place where a rate applies (`None` is the global rate), the rate and its rule's
    /// number.
    numbers: HashMap<Option<Target>, (Rate, u32)>,
}

impl Active {
    /// A rule that existed before with the same rate keeps its number, and with it its buckets.
    fn new(
        limits: RateLimits,
        before: &HashMap<Option<Target>, (Rate, u32)>,
        last_rule: &mut u32,
        [subnets, global_bucket]: [&Arc<Buckets>; 2],
    ) -> Result<Self> {
        limits.check()?;
        let mut numbers = HashMap::new();
        let mut meter = |target: Option<Target>, rate: Rate, buckets| {
            let number = match before.get(&target) {
                Some(&(same, number)) if same == rate => number,
                _ => {
                    *last_rule = last_rule.wrapping_add(1);
                    *last_rule
                }
            };
            numbers.insert(target, (rate, number));
            Meter::new(rate, number, buckets)
        };
        let rules = Rules::new(Listed::of_rates(&limits), |target, rate| {
            meter(Some(target), rate, subnets)
        });
        let global = limits.global.map(|rate| meter(None, rate, global_bucket));
        Ok(Self {
            limits,
            rules,
            global,
            numbers,
        })
    }
}

impl RateLimiter {
    /// The maximum number of tracked subnets and networks. Each takes about 100 bytes.
    pub const MAX_TRACKED: usize = MAX_BUCKETS;

    /// A limiter with full buckets.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if the limits are not valid, see
    /// [`RateLimits`].
    pub fn new(limits: RateLimits, clock: Arc<dyn Clock>) -> Result<Self> {
        Self::with_hasher(limits, clock, RandomState::new())
    }

    pub(crate) fn with_hasher(
        limits: RateLimits,
        clock: Arc<dyn Clock>,
        hasher: RandomState,
    ) -> Result<Self> {
        let now = nanos(clock.now());
        let [buckets, global] = [(); 2].map(|()| Arc::new(Buckets::new(now, &hasher)));
        let mut last_rule = 0;
        let before = HashMap::new();
        let active = Active::new(limits, &before, &mut last_rule, [&buckets, &global])?;
        Ok(Self {
            clock,
            hasher,
            buckets,
            global,
            active: ArcSwap::from_pointee(active),
            last_rule: Mutex::new(last_rule),
        })
    }

    /// The limits in force.
    pub fn limits(&self) -> RateLimits {
        self.active.load().limits.clone()
    }

    /// Replaces the limits.
    ///
    /// If a subnet size or network keeps its rate, its buckets stay as they are. All other buckets
    /// start full.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if the limits are not valid, see
    /// [`RateLimits`]; then nothing has changed.
    pub fn set_limits(&self, limits: RateLimits) -> Result<()> {
        self.change(limits, |_| ())
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Replaces the limits, and calls `publish` before the buckets of the old rules are dropped.
    pub(crate) fn change(
        &self,
        limits: RateLimits,
        publish: impl FnOnce(Arc<Active>),
    ) -> Result<()> {
        // If an earlier change panicked under the lock, it changed only this number.
        let mut last_rule = self.last_rule.lock();
        let before = self.active.load_full();
        let buckets = [&self.buckets, &self.global];
        let active = Active::new(limits, &before.numbers, &mut last_rule, buckets)?;
        let numbers: HashSet<u32> = active.numbers.values().map(|&(_, rule)| rule).collect();
        // The new rules are in force before the old buckets go: a call that still uses the old
        // rules may create a bucket again, which is swept once it is full.
        let active = Arc::new(active);
        self.active.store(Arc::clone(&active));
        publish(active);
        for buckets in buckets {
            buckets.keep_rules(|rule| numbers.contains(&rule));
        }
        Ok(())
    }

    /// Takes a token for a connection with this remote address.
    ///
    /// The most specific network prefix that contains the address decides alone. Otherwise a token
    /// is taken from the bucket of each of its subnets, most specific first, and last from the
    /// global bucket. The first empty bucket refuses, so that an address refused by its own subnet
    /// takes nothing from wider ones. A token that was taken before a wider bucket refused is not
    /// put back.
    ///
    /// # Errors
    ///
    /// Names the bucket that is empty, and the time until the next token. An IPv4-mapped address
    /// appears in the error as IPv4.
    pub fn allow(&self, ip: IpAddr) -> Result<(), RateLimitExceeded> {
        self.allow_by(&self.active.load(), ip.into())?;
        Ok(())
    }

    /// Takes a token for a connection with this address, under these limits. Returns the most
    /// specific subnet that was checked, if any, so that the caller can reuse its hash.
    #[inline(always)]
    pub(crate) fn allow_by(
        &self,
        active: &Active,
        address: Address,
    ) -> Result<Option<Hashed>, RateLimitExceeded> {
        // Read the clock once for all buckets.
        let now = nanos(self.clock.now());
        self.buckets.sweep_if_due(now);

        // An address in a named network skips the global rate.
        let applicable = active.rules.applicable(address);
        let global = active.global.as_ref().filter(|_| !applicable.by_network);
        // The most specific bucket comes first: in a flood it refuses, and no other is locked.
        let mut first = None;
        let mut wider = applicable.rules;
        if let [rule, others @ ..] = wider {
            first = Some(self.take(rule, address, now)?);
            wider = others;
        }
        // By default an IPv4 address has only one rule.
        if !wider.is_empty() || global.is_some() {
            self.take_from_wider(wider, global, address, now)?;
        }
        Ok(first)
    }

    #[inline(always)]
    fn take(
        &self,
        rule: &Rule<Meter>,
        address: Address,
        now: u64,
    ) -> Result<Hashed, RateLimitExceeded> {
        let subnet = Hashed::new(Subnet::containing(address, rule.len), &self.hasher);
        match rule.value.take(subnet, now) {
            Ok(()) => Ok(subnet),
            Err(retry_after) => Err(RateLimitExceeded {
                ip: address.into(),
                network: Some(subnet.subnet.into()),
                retry_after,
            }),
        }
    }

    #[inline(never)]
    fn take_from_wider(
        &self,
        rules: &[Rule<Meter>],
        global: Option<&Meter>,
        address: Address,
        now: u64,
    ) -> Result<(), RateLimitExceeded> {
        for rule in rules {
            self.take(rule, address, now)?;
        }
        let Some(global) = global else {
            return Ok(());
        };
        let all = Hashed::new(Subnet::ALL, &self.hasher);
        global
            .take(all, now)
            .map_err(|retry_after| RateLimitExceeded {
                ip: address.into(),
                network: None,
                retry_after,
            })
    }

    /// The number of subnets and networks that have a bucket: those seen recently.
    pub fn tracked(&self) -> u64 {
        self.buckets.tracked()
    }

    /// The number of connections refused so far.
    pub fn refused(&self) -> u64 {
        self.buckets.refused() + self.global.refused()
    }
}

/// A time in nanoseconds; the largest number if it does not fit.
#[inline]
fn nanos(time: Duration) -> u64 {
    let seconds = time.as_secs().checked_mul(1_000_000_000);
    let nanos = seconds.and_then(|nanos| nanos.checked_add(time.subsec_nanos().into()));
    nanos.unwrap_or(u64::MAX)
}
