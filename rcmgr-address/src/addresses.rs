//! All limits by remote address in one type, for an engine.

use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::{Mutex, MutexGuard};

use rcmgr_core::{Clock, Endpoint, LimitValue, Result};

use crate::allowlist::Allowlist;
use crate::allowlist_entry::AllowlistEntry;
use crate::bare_permit::BarePermit;
use crate::permit::Permit;
use crate::rate_limiter::{self, RateLimiter};
use crate::rate_limits::{NetworkRate, Rate, RateLimits, SubnetRate};
use crate::subnet::{Address, canonical};
use crate::subnet_limiter::{self, SubnetLimiter};
use crate::subnet_limits::{NetworkLimit, SubnetLimit, SubnetLimits};

/// The configuration of [`Addresses`]. The default has the default limits and an empty allowlist.
///
/// ```
/// use rcmgr_address::{AddressConfig, RateLimits};
///
/// let config = AddressConfig {
///     allowlist: vec!["/ip4/192.0.2.0/ipcidr/24".parse()?],
///     rates: RateLimits::none(),
///     ..AddressConfig::default()
/// };
/// # let _ = config;
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AddressConfig {
    /// Networks and peers that are admitted when the standard scopes refuse; see [`Allowlist`].
    pub allowlist: Vec<AllowlistEntry>,
    /// Limits on the number of open connections.
    pub subnets: SubnetLimits,
    /// Limits on the rate of new connections.
    pub rates: RateLimits,
}

impl AddressConfig {
    /// No limits and an empty allowlist.
    pub const fn none() -> Self {
        Self {
            allowlist: Vec::new(),
            subnets: SubnetLimits::none(),
            rates: RateLimits::none(),
        }
    }
}

/// All decisions that depend only on the remote address: the rate limits, the subnet limits and the
/// allowlist.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_core::{Endpoint, LimitValue};
/// use rcmgr_address::{AddressConfig, Addresses};
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
/// let addresses = Addresses::new(AddressConfig::default(), LimitValue::Limited(128), Arc::new(clock))?;
///
/// let remote: Endpoint = "192.0.2.7:4001".parse::<std::net::SocketAddr>()?.into();
/// let permit = addresses.admit(remote)?;
/// assert!(permit.is_some());
/// assert!(addresses.admit(Endpoint::None)?.is_none());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Addresses {
    allowlist: Allowlist,
    rates: RateLimiter,
    subnets: Arc<SubnetLimiter>,
    /// Has no token left when a remote must prove its address first.
    unverified: RateLimiter,
    /// The limits in force of both limiters, in one pointer: each connection loads it once.
    active: ArcSwap<Active>,
    /// The source of the subnet limits. Locked during every change of limits.
    source: Mutex<SubnetSource>,
}

#[derive(Debug, Clone)]
struct Active {
    rates: Arc<rate_limiter::Active>,
    subnets: Arc<subnet_limiter::Active>,
}

/// The source of the subnet limits.
#[derive(Debug, Clone)]
struct SubnetSource {
    limits: SubnetLimits,
    /// The networks from which the configured allowlist admits every peer.
    allowlisted: Vec<IpNet>,
    /// The limit of open connections for each of these networks.
    conns: LimitValue,
}

impl SubnetSource {
    /// The configured limits, plus one limit for each allowlisted network that they do not name.
    fn merged(&self) -> SubnetLimits {
        let mut limits = self.limits.clone();
        for &network in &self.allowlisted {
            let of_family = match network {
                IpNet::V4(_) => &mut limits.v4_networks,
                IpNet::V6(_) => &mut limits.v6_networks,
            };
            if !of_family
                .iter()
                .any(|named| canonical(named.network) == network)
            {
                let conns = self.conns;
                of_family.push(NetworkLimit { network, conns });
            }
        }
        limits
    }
}

/// Counters of [`Addresses`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressStat {
    /// Connections that the rate limiter refused.
    pub refused_by_rate: u64,
    /// Connections that the subnet limiter refused.
    pub refused_by_subnet: u64,
    /// Connections that hold a permit in a limited subnet or network.
    pub permits: u64,
    /// Subnets and networks that have open connections.
    pub tracked_subnets: u64,
    /// Token buckets of subnets and networks, for rates and for address verification.
    pub tracked_buckets: u64,
}

impl Addresses {
    /// Checks a configuration and creates the limiters.
    ///
    /// A network from which the configuration admits every peer is limited to `allowlisted_conns`
    /// connections, the number that the allowlisted system scope allows; the subnet limits do not
    /// apply to it. This limit stays even if the allowlist entry is removed. A network that has its
    /// own limit keeps that limit. Entries added later bring no such limit. All this is as in
    /// go-libp2p, except that the number [can change](Self::set_allowlisted_conns).
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if [`SubnetLimits`] or [`RateLimits`] are
    /// not valid.
    pub fn new(
        config: AddressConfig,
        allowlisted_conns: LimitValue,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let allowlist = Allowlist::new(&config.allowlist);
        let source = SubnetSource {
            limits: config.subnets,
            allowlisted: allowlist.networks(),
            conns: allowlisted_conns,
        };
        let limits = source.merged();
        let unverified = RateLimiter::new(verification_rates(&limits), Arc::clone(&clock))?;
        // Both limiters use the same hasher, so that a subnet is hashed once for both.
        let hasher = RandomState::new();
        let rates = RateLimiter::with_hasher(config.rates, clock, hasher.clone())?;
        let subnets = SubnetLimiter::with_hasher(limits, hasher)?;
        let active = Active {
            rates: rates.active(),
            subnets: subnets.active(),
        };
        Ok(Self {
            allowlist,
            rates,
            subnets: Arc::new(subnets),
            unverified,
            active: ArcSwap::from_pointee(active),
            source: Mutex::new(source),
        })
    }

    /// Admits a connection with this remote endpoint: checks the rate limits, then the subnet
    /// limits. An endpoint without an IP address is not limited and gets no permit.
    ///
    /// # Errors
    ///
    /// [`RateLimit`](rcmgr_core::Error::RateLimit) or
    /// [`SubnetLimit`](rcmgr_core::Error::SubnetLimit). If the subnet limiter refuses, the token
    /// that the rate limiter gave is still spent.
    pub fn admit(&self, endpoint: Endpoint) -> Result<Option<Permit>> {
        let permit = self.admit_bare(endpoint)?;
        let limited = endpoint.ip().is_some();
        Ok(limited.then(|| Permit::new(Arc::clone(&self.subnets), permit)))
    }

    /// Same as [`admit`](Self::admit), but the caller must return the permit with
    /// [`give_back`](Self::give_back). Without an IP address the permit is empty, and returning it
    /// does nothing.
    ///
    /// # Errors
    ///
    /// As [`admit`](Self::admit).
    #[inline(always)]
    pub fn admit_bare(&self, endpoint: Endpoint) -> Result<BarePermit> {
        match endpoint.ip() {
            Some(ip) => self.admit_address(ip.into()),
            None => Ok(BarePermit::none()),
        }
    }

    #[inline(always)]
    fn admit_address(&self, address: Address) -> Result<BarePermit> {
        let active = self.active.load();
        let known = self.rates.allow_by(&active.rates, address)?;
        Ok(self.subnets.open_by(&active.subnets, address, known)?)
    }

    /// Returns a permit of this `Addresses`, in all subnets at once. Any thread may call it any
    /// number of times; only the first call has an effect.
    #[inline]
    pub fn give_back(&self, permit: &BarePermit) {
        self.subnets.give_back(permit);
    }

    /// Same as [`give_back`](Self::give_back), for a caller that owns the permit; slightly cheaper.
    #[inline]
    pub fn give_back_last(&self, permit: &mut BarePermit) {
        self.subnets.give_back_last(permit);
    }

    /// Whether the transport should make the remote prove its address first, for example with a
    /// QUIC Retry packet: true while more connections than usual arrive from its subnets.
    ///
    /// Each call takes a token from the bucket of each subnet or network that limits the address. A
    /// bucket holds half as many tokens as the limit allows connections, and gains one every ten
    /// seconds. The result is true if a bucket is empty. So it is never true where connections are
    /// unlimited, and always true where fewer than two are allowed. The numbers are go-libp2p's.
    pub fn verify_source_address(&self, ip: IpAddr) -> bool {
        self.unverified.allow(ip).is_err()
    }

    /// The allowlist. It can be changed at any time.
    pub const fn allowlist(&self) -> &Allowlist {
        &self.allowlist
    }

    /// The subnet limits that were set last, without the limits of allowlisted networks.
    pub fn subnet_limits(&self) -> SubnetLimits {
        self.source().limits.clone()
    }

    fn source(&self) -> MutexGuard<'_, SubnetSource> {
        self.source.lock()
    }

    /// Replaces the subnet limits, both for connections and for
    /// [`verify_source_address`](Self::verify_source_address); see [`SubnetLimiter::set_limits`].
    /// The limits of allowlisted networks stay, unless the new limits name these networks.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if the limits are not valid, see
    /// [`SubnetLimits`]; then nothing has changed.
    pub fn set_subnet_limits(&self, limits: SubnetLimits) -> Result<()> {
        self.change(|source| source.limits = limits)
    }

    /// Limits each network that the configured allowlist brought to this many connections, except
    /// those that have their own limit. An engine calls this when the limit of its allowlisted
    /// system scope changes. It applies to connections opened from now on; see
    /// [`SubnetLimiter::set_limits`].
    pub fn set_allowlisted_conns(&self, conns: LimitValue) {
        if self.source().conns == conns {
            return;
        }
        self.change(|source| source.conns = conns)
            .expect("a new number for the same networks is a valid configuration");
    }

    /// Applies a change to the source of the limits, and puts the result in force if it is valid.
    fn change(&self, change: impl FnOnce(&mut SubnetSource)) -> Result<()> {
        let mut source = self.source();
        let mut next = source.clone();
        change(&mut next);
        let limits = next.merged();
        let rates = verification_rates(&limits);
        // Fails before anything has changed. The rates below are derived from valid limits.
        self.subnets.set_limits(limits)?;
        self.active.store(Arc::new(Active {
            rates: self.rates.active(),
            subnets: self.subnets.active(),
        }));
        self.unverified.set_limits(rates)?;
        *source = next;
        Ok(())
    }

    /// The rates in force.
    pub fn rate_limits(&self) -> RateLimits {
        self.rates.limits()
    }

    /// Replaces the rates; see [`RateLimiter::set_limits`].
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration) if the rates are not valid, see
    /// [`RateLimits`]; then nothing has changed.
    pub fn set_rate_limits(&self, limits: RateLimits) -> Result<()> {
        // Changes of both limiters are serialized, because both store `active`.
        let _changing = self.source();
        self.rates.change(limits, |rates| {
            let subnets = self.subnets.active();
            self.active.store(Arc::new(Active { rates, subnets }));
        })
    }

    /// The counters. This locks every shard of the limiters: for metrics and tests, not for each
    /// connection.
    pub fn stat(&self) -> AddressStat {
        AddressStat {
            refused_by_rate: self.rates.refused(),
            refused_by_subnet: self.subnets.refused(),
            permits: self.subnets.permits(),
            tracked_subnets: self.subnets.tracked(),
            tracked_buckets: self.rates.tracked() + self.unverified.tracked(),
        }
    }
}

/// The rates behind `verify_source_address`: half the connections at once, one more every ten
/// seconds.
fn verification_rates(limits: &SubnetLimits) -> RateLimits {
    let rate = |conns: u64| Rate {
        per_second: 0.1,
        burst: u32::try_from(conns / 2).unwrap_or(u32::MAX),
    };
    let subnet = |limit: &SubnetLimit| SubnetRate {
        prefix_len: limit.prefix_len,
        rate: rate(limit.conns),
    };
    let network = |limit: &NetworkLimit| NetworkRate {
        network: limit.network,
        rate: match limit.conns {
            LimitValue::Limited(conns) => Some(rate(conns)),
            LimitValue::Unlimited => None,
        },
    };
    RateLimits {
        global: None,
        v4: limits.v4.iter().map(subnet).collect(),
        v6: limits.v6.iter().map(subnet).collect(),
        v4_networks: limits.v4_networks.iter().map(network).collect(),
        v6_networks: limits.v6_networks.iter().map(network).collect(),
    }
}
