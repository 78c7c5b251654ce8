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
use crate::rate_limits::{Rate, RateLimits};
use crate::rules::{At, Rule, Rules};
use crate::shards::Hashed;
use crate::subnet::{Address, Subnet};

/// Limits how fast connections come from a remote address, from the subnets around it, and from
/// everywhere: a token bucket each.
///
/// There is a bucket for every subnet seen lately. One that has been full for a minute is dropped:
/// each call drops those of at most one part of the limiter, where that is due, so that there is
/// no background thread, and the calls after a flood clean up behind it. There are never more than
/// [`MAX_TRACKED`](Self::MAX_TRACKED): where there is no room for another, the fullest bucket
/// among a few picked at random is forgotten, which is the one that says the least.
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
/// // The clock is rcmgr-atomic's `SystemClock`, say.
/// let limiter = RateLimiter::new(RateLimits::default(), Arc::new(clock))?;
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
    /// Only the one of all together, which must not be forgotten for want of room.
    global: Arc<Buckets>,
    active: ArcSwap<Active>,
    /// Changes come one by one. Holds the last rule's number.
    last_rule: Mutex<u32>,
}

/// The limits as they were given, and as they are looked up.
#[derive(Debug)]
pub(crate) struct Active {
    limits: RateLimits,
    rules: Rules<Meter>,
    global: Option<Meter>,
    /// Where each rate applies (`None` for all together), and its rule's number.
    numbers: HashMap<Option<At>, (Rate, u32)>,
}

impl Active {
    /// A rule that was there before with the same rate keeps its number, and so its buckets.
    fn new(
        limits: RateLimits,
        before: &HashMap<Option<At>, (Rate, u32)>,
        last_rule: &mut u32,
        [subnets, together]: [&Arc<Buckets>; 2],
    ) -> Result<Self> {
        limits.check_rates()?;
        let mut numbers = HashMap::new();
        let mut meter = |at: Option<At>, rate: Rate, buckets| {
            let number = match before.get(&at) {
                Some(&(same, number)) if same == rate => number,
                _ => {
                    *last_rule = last_rule.wrapping_add(1);
                    *last_rule
                }
            };
            numbers.insert(at, (rate, number));
            Meter::new(rate, number, buckets)
        };
        let rules = Rules::new(limits.listed(), |at, rate| meter(Some(at), rate, subnets))?;
        let global = limits.global.map(|rate| meter(None, rate, together));
        Ok(Self {
            limits,
            rules,
            global,
            numbers,
        })
    }
}

impl RateLimiter {
    /// The most subnets and networks that are tracked, about 100 bytes each.
    pub const MAX_TRACKED: usize = MAX_BUCKETS;

    /// A limiter whose buckets are all full.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration), as [`RateLimits`] tells.
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

    /// Puts other limits in force.
    ///
    /// The buckets of a size or network that stays with the same rate stay as they are. All others
    /// start full: a new rate forgets what came before it.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration), as [`RateLimits`] tells; then nothing has
    /// changed.
    pub fn set_limits(&self, limits: RateLimits) -> Result<()> {
        self.change(limits, |_| ())
    }

    pub(crate) fn active(&self) -> Arc<Active> {
        self.active.load_full()
    }

    /// Puts other limits in force, and says so before the buckets of the old ones go.
    pub(crate) fn change(&self, limits: RateLimits, tell: impl FnOnce(Arc<Active>)) -> Result<()> {
        // A panic under the lock has changed nothing but the number.
        let mut last_rule = self.last_rule.lock();
        let before = self.active.load_full();
        let buckets = [&self.buckets, &self.global];
        let active = Active::new(limits, &before.numbers, &mut last_rule, buckets)?;
        let numbers: HashSet<u32> = active.numbers.values().map(|&(_, rule)| rule).collect();
        let active = Arc::new(active);
        self.active.store(Arc::clone(&active));
        tell(active);
        for buckets in buckets {
            buckets.keep_rules(|rule| numbers.contains(&rule));
        }
        Ok(())
    }

    /// Takes a token for a connection with this remote address.
    ///
    /// The most specific network prefix that contains it decides alone. Else its subnets are asked,
    /// most specific first, and all together last; the first without a token refuses, so that who
    /// is refused by his own subnet takes nothing from a wider one. (A token taken from a bucket
    /// before a wider one refused is not put back.)
    ///
    /// # Errors
    ///
    /// Which bucket is empty, and until when. The address in the error is in the form that counts:
    /// IPv4, if it stood for one.
    pub fn allow(&self, ip: IpAddr) -> Result<(), RateLimitExceeded> {
        self.allow_by(&self.active.load(), ip.into())?;
        Ok(())
    }

    /// Takes a token for a connection with this address, by these limits. Returns the most specific
    /// subnet that was asked, if any was.
    #[inline(always)]
    pub(crate) fn allow_by(
        &self,
        active: &Active,
        address: Address,
    ) -> Result<Option<Hashed>, RateLimitExceeded> {
        let now = nanos(self.clock.now());
        self.buckets.sweep_if_due(now);

        let applying = active.rules.applying(address);
        let global = active.global.as_ref().filter(|_| !applying.by_network);
        let mut first = None;
        let mut wider = applying.rules;
        if let [rule, others @ ..] = wider {
            first = Some(self.take(rule, address, now)?);
            wider = others;
        }
        // Mostly there is no more than one.
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
        let subnet = Hashed::new(Subnet::around(address, rule.len), &self.hasher);
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

    /// How many subnets and networks have a bucket: those seen lately.
    pub fn tracked(&self) -> u64 {
        self.buckets.tracked()
    }

    /// How many connections were refused so far.
    pub fn refused(&self) -> u64 {
        self.buckets.refused() + self.global.refused()
    }
}

#[inline]
fn nanos(time: Duration) -> u64 {
    let seconds = time.as_secs().checked_mul(1_000_000_000);
    let nanos = seconds.and_then(|nanos| nanos.checked_add(time.subsec_nanos().into()));
    nanos.unwrap_or(u64::MAX)
}
