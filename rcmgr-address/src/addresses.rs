//! All limits by remote address in one type, for an engine.

use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::{Mutex, MutexGuard};

use rcmgr_core::address::canonical_network;
use rcmgr_core::{Clock, Endpoint, LimitValue, Result};

use crate::allowlist::Allowlist;
use crate::bare_permit::BarePermit;
use crate::permit::Permit;
use crate::rate_limiter::{self, RateLimiter};
use crate::subnet::Address;
use crate::subnet_limiter::{self, SubnetLimiter};
use crate::{
    AddressConfig, AddressLimits, NetworkLimit, NetworkRate, Rate, RateLimits, SubnetLimit,
    SubnetLimits, SubnetRate,
};

/// All decisions that depend only on the remote address: the rate limits, the subnet limits and the
/// allowlist.
///
/// ```
/// use std::sync::Arc;
/// use rcmgr_core::{Endpoint, LimitValue};
/// use rcmgr_address::{AddressConfig, AddressLimits, Addresses};
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
/// let limits = AddressLimits::new(AddressConfig::reference_defaults())?;
/// let addresses = Addresses::new(limits, LimitValue::Limited(128), Arc::new(clock));
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
    /// The source of the limits in force. Locked during every change of limits.
    source: Mutex<Source>,
}

#[derive(Debug, Clone)]
struct Active {
    rates: Arc<rate_limiter::Active>,
    subnets: Arc<subnet_limiter::Active>,
}

/// The source of the limits in force.
#[derive(Debug, Clone)]
struct Source {
    limits: AddressLimits,
    /// The limit of open connections for each network from which the configured allowlist admits
    /// every peer.
    conns: LimitValue,
}

impl Source {
    /// The configured subnet limits, plus one limit for each allowlisted network that they do not
    /// name.
    fn subnets(&self) -> SubnetLimits {
        let mut limits = self.limits.subnets.clone();
        let open = self.limits.allowlist.iter();
        let open = open.filter(|entry| entry.peer.is_none());
        for network in open.map(|entry| canonical_network(entry.network)) {
            let of_family = match network {
                IpNet::V4(_) => &mut limits.v4_networks,
                IpNet::V6(_) => &mut limits.v6_networks,
            };
            if !of_family
                .iter()
                .any(|named| canonical_network(named.network) == network)
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
    /// Creates the limiters.
    ///
    /// A network from which the configured allowlist admits every peer is limited to
    /// `allowlisted_conns` connections, the number that the allowlisted system scope allows; the
    /// subnet limits do not apply to it. This limit stays even if the allowlist entry is removed. A
    /// network that has its own limit keeps that limit. Entries added later bring no such limit.
    /// All this is as in go-libp2p, except that the number [can change](Self::set).
    pub fn new(
        limits: AddressLimits,
        allowlisted_conns: LimitValue,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let allowlist = Allowlist::new(&limits.allowlist);
        let rates = limits.rates.clone();
        let source = Source {
            limits,
            conns: allowlisted_conns,
        };
        let subnets = source.subnets();
        let unverified = RateLimiter::new(verification_rates(&subnets), Arc::clone(&clock));
        // Both limiters use the same hasher, so that a subnet is hashed once for both.
        let hasher = RandomState::new();
        let rates = RateLimiter::with_hasher(rates, clock, hasher.clone());
        let subnets = SubnetLimiter::with_hasher(subnets, hasher);
        let checked = "the limits were checked";
        let (unverified, rates) = (unverified.expect(checked), rates.expect(checked));
        let subnets = subnets.expect(checked);
        let active = Active {
            rates: rates.active(),
            subnets: subnets.active(),
        };
        Self {
            allowlist,
            rates,
            subnets: Arc::new(subnets),
            unverified,
            active: ArcSwap::from_pointee(active),
            source: Mutex::new(source),
        }
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

    /// The limits that were set last.
    pub fn limits(&self) -> AddressLimits {
        self.source().limits.clone()
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock()
    }

    /// Replaces all limits and the allowlist. `allowlisted_conns` is as in [`new`](Self::new).
    /// Connections that are open keep their permits.
    pub fn set(&self, limits: AddressLimits, allowlisted_conns: LimitValue) {
        let conns = allowlisted_conns;
        self.replace(&mut self.source(), Source { limits, conns });
    }

    fn replace(&self, source: &mut Source, next: Source) {
        if next.limits == source.limits && next.conns == source.conns {
            return;
        }
        let checked = "the limits were checked";
        let subnets = next.subnets();
        let unverified = verification_rates(&subnets);
        if next.limits.allowlist != source.limits.allowlist {
            self.allowlist.replace(&next.limits.allowlist);
        }
        self.subnets.set_limits(subnets).expect(checked);
        let changed = self.rates.change(next.limits.rates.clone(), |rates| {
            let subnets = self.subnets.active();
            self.active.store(Arc::new(Active { rates, subnets }));
        });
        changed.expect(checked);
        self.unverified.set_limits(unverified).expect(checked);
        *source = next;
    }

    /// Changes the limits; see [`set`](Self::set).
    ///
    /// # Errors
    ///
    /// As [`AddressLimits::new`]; then nothing has changed.
    pub fn change(&self, change: impl FnOnce(&mut AddressConfig)) -> Result<()> {
        let mut source = self.source();
        let mut config = AddressConfig::clone(&source.limits);
        change(&mut config);
        let limits = AddressLimits::new(config)?;
        let conns = source.conns;
        self.replace(&mut source, Source { limits, conns });
        Ok(())
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
