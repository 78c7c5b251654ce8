//! Limits on the rate of new connections by remote address.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use arc_swap::ArcSwap;
use parking_lot::Mutex;

use rcmgr_core::address::canonical_network;
use rcmgr_core::{Clock, RateLimitExceeded, Result};

use crate::buckets::{Buckets, MAX_BUCKETS};
use crate::meter::Meter;
use crate::quota::Wait;
use crate::rules::{Applicable, Canonical, Listed, Rule, Rules, Target};
use crate::shards::{Hashed, SHARDS};
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
    /// The largest step of the clock, in nanoseconds.
    tick: u64,
    hasher: RandomState,
    buckets: Arc<Buckets>,
    /// Holds only the global bucket, separately, because it must never be evicted.
    global: Arc<Buckets>,
    active: ArcSwap<Active>,
    /// Serializes changes. Holds the number of the last rule.
    last_rule: Mutex<u32>,
}

/// The limits as they were set, and in the form that lookups use.
#[derive(Debug, Default)]
pub(crate) struct Active {
    limits: RateLimits,
    rules: Rules<Meter>,
    global: Option<Meter>,
    /// For each place where a rate applies (`None` is the global rate), the rate and its rule's
    /// number.
    numbers: HashMap<Option<Target>, (Rate, u32)>,
}

impl Active {
    /// The form that lookups use.
    #[inline]
    pub(crate) const fn rules(&self) -> &Rules<Meter> {
        &self.rules
    }

    /// The global rate, if it applies too. An address in a named network skips it.
    #[inline]
    fn global_for(&self, applicable: Applicable<'_, Meter>) -> Option<&Meter> {
        self.global.as_ref().filter(|_| !applicable.by_network)
    }
}

impl RateLimiter {
    /// The limits in the form that lookups use. They were checked. A rule that existed before with
    /// the same rate keeps its number, and with it its buckets.
    fn active_form(
        &self,
        limits: RateLimits,
        canonical: Canonical<'_>,
        before: &HashMap<Option<Target>, (Rate, u32)>,
        last_rule: &mut u32,
    ) -> Active {
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
            Meter::new(rate, self.tick, number, buckets)
        };
        let rules = Rules::new(Listed::of_rates(&limits), canonical, |target, rate| {
            meter(Some(target), rate, &self.buckets)
        });
        let global = limits.global.map(|rate| meter(None, rate, &self.global));
        Active {
            limits,
            rules,
            global,
            numbers,
        }
    }

    /// The maximum number of tracked subnets and networks. Each takes about 100 bytes.
    pub const MAX_TRACKED: usize = MAX_BUCKETS;

    /// A limiter with full buckets.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if the limits are not valid, see
    /// [`RateLimits`].
    pub fn new(limits: RateLimits, clock: Arc<dyn Clock>) -> Result<Self> {
        limits.check()?;
        Ok(Self::of_checked(
            limits,
            &canonical_network,
            clock,
            RandomState::new(),
        ))
    }

    /// A limiter with limits that were checked.
    pub(crate) fn of_checked(
        limits: RateLimits,
        canonical: Canonical<'_>,
        clock: Arc<dyn Clock>,
        hasher: RandomState,
    ) -> Self {
        let now = nanos(clock.now());
        let buckets = |shards| Arc::new(Buckets::new(shards, now, &hasher));
        let limiter = Self {
            tick: nanos(clock.resolution()),
            buckets: buckets(SHARDS),
            global: buckets(1),
            clock,
            hasher,
            active: ArcSwap::default(),
            last_rule: Mutex::new(0),
        };
        limiter.change(limits, canonical, |_| ());
        limiter
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
        limits.check()?;
        self.change(limits, &canonical_network, |_| ());
        Ok(())
    }

    /// Replaces the limits by others that were checked, and calls `publish` before the buckets of
    /// the old rules are dropped.
    pub(crate) fn change(
        &self,
        limits: RateLimits,
        canonical: Canonical<'_>,
        publish: impl FnOnce(Arc<Active>),
    ) {
        // If an earlier change panicked under the lock, it changed only this number.
        let mut last_rule = self.last_rule.lock();
        let before = self.active.load_full();
        let active = self.active_form(limits, canonical, &before.numbers, &mut last_rule);
        let numbers: HashSet<u32> = active.numbers.values().map(|&(_, rule)| rule).collect();
        // The new rules are in force before the old buckets go: a call that still uses the old
        // rules may create a bucket again, which is swept once it is full.
        let active = Arc::new(active);
        self.active.store(Arc::clone(&active));
        publish(active);
        for buckets in [&self.buckets, &self.global] {
            buckets.keep_rules(|rule| numbers.contains(&rule));
        }
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.active.load_full()
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
    /// Names the bucket that is empty, and the time until all buckets of the address have a token,
    /// if no other connection takes it. A caller that waits so long is not refused if it is the
    /// only one. An IPv6 address that carries an IPv4 address appears in the error as IPv4.
    pub fn allow(&self, ip: IpAddr) -> Result<(), RateLimitExceeded> {
        let active = self.active.load();
        let address = Address::from(ip);
        self.allow_by(&active, active.rules.applicable(address), address)?;
        Ok(())
    }

    /// Takes a token for a connection with this address, under the rules that apply to it. Returns
    /// the most specific subnet that was checked, if any, so that the caller can reuse its hash.
    #[inline(always)]
    pub(crate) fn allow_by(
        &self,
        active: &Active,
        applicable: Applicable<'_, Meter>,
        address: Address,
    ) -> Result<Option<Hashed>, RateLimitExceeded> {
        if active.numbers.is_empty() {
            return Ok(None);
        }
        // Read the clock once for all buckets.
        let now = nanos(self.clock.now());
        self.buckets.sweep_if_due(now);

        // The most specific bucket comes first: in a flood it refuses, and no other is locked.
        let [first, wider @ ..] = applicable.rules else {
            self.take_wider(&[], active.global_for(applicable), address, now)?;
            return Ok(None);
        };
        let subnet = self.subnet(address, first);
        let global = active.global_for(applicable);
        // An IPv4 address usually has only one rule.
        let is_only = wider.is_empty() && global.is_none();
        if let Err(mut wait) = first.value.take(subnet, now, itself) {
            if !is_only {
                wait = self.wait_for(wider, global, address, now, wait);
            }
            return Err(refusal(address, Some(subnet), wait));
        }
        if !is_only {
            self.take_wider(applicable.rules, global, address, now)?;
        }
        Ok(Some(subnet))
    }

    /// Takes a token from all buckets but the first.
    #[inline(never)]
    fn take_wider(
        &self,
        rules: &[Rule<Meter>],
        global: Option<&Meter>,
        address: Address,
        now: u64,
    ) -> Result<(), RateLimitExceeded> {
        for (at, rule) in rules.iter().enumerate().skip(1) {
            let subnet = self.subnet(address, rule);
            if let Err(wait) = rule.value.take(subnet, now, itself) {
                // Also for the buckets that gave a token.
                let wait = self.wait_for(&rules[..at], None, address, now, wait);
                let wait = self.wait_for(&rules[at + 1..], global, address, now, wait);
                return Err(refusal(address, Some(subnet), wait));
            }
        }
        let Some(global) = global else {
            return Ok(());
        };
        let taken = global.take(Hashed::ALL, now, |_| Subnet::typical(address));
        taken.map_err(|wait| {
            let wait = self.wait_for(rules, None, address, now, wait);
            refusal(address, None, wait)
        })
    }

    #[inline(always)]
    fn subnet(&self, address: Address, rule: &Rule<Meter>) -> Hashed {
        Hashed::new(Subnet::containing(address, rule.len), &self.hasher)
    }

    /// The time until all these buckets have a token, or `at_least`, if that is longer.
    #[inline(never)]
    fn wait_for(
        &self,
        rules: &[Rule<Meter>],
        global: Option<&Meter>,
        address: Address,
        now: u64,
        at_least: Wait,
    ) -> Wait {
        let wait = rules.iter().fold(at_least, |wait, rule| {
            rule.value.wait(wait, self.subnet(address, rule), now)
        });
        global.map_or(wait, |global| global.wait(wait, Hashed::ALL, now))
    }

    /// The number of subnets and networks that have a bucket: those seen recently.
    pub fn tracked(&self) -> u64 {
        self.buckets.tracked()
    }

    /// The number of connections refused so far.
    pub fn refused(&self) -> u64 {
        self.buckets.refused() + self.global.refused()
    }

    /// Calls `count` with the subnets that were refused most, and how often they were. A refusal by
    /// the global rate counts for the address.
    pub(crate) fn most_refused(&self, mut count: impl FnMut(Subnet, u64)) {
        self.buckets.most_refused(&mut count);
        self.global.most_refused(count);
    }
}

/// The subnet that counts the refusals of its bucket.
#[inline]
const fn itself(subnet: Subnet) -> Subnet {
    subnet.of_rule(0)
}

/// The error of a subnet's bucket, or of the global one.
#[inline(always)]
fn refusal(address: Address, subnet: Option<Hashed>, wait: Wait) -> RateLimitExceeded {
    RateLimitExceeded {
        ip: address.into(),
        network: subnet.map(|subnet| subnet.subnet.into()),
        retry_after: wait.duration(),
    }
}

/// A time in nanoseconds; the largest number if it does not fit.
#[inline]
fn nanos(time: Duration) -> u64 {
    let seconds = time.as_secs().checked_mul(1_000_000_000);
    let nanos = seconds.and_then(|nanos| nanos.checked_add(time.subsec_nanos().into()));
    nanos.unwrap_or(u64::MAX)
}
