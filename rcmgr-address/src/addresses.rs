//! All limits by remote address in one type, for an engine.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use ahash::RandomState;
use arc_swap::ArcSwap;
use ipnet::IpNet;
use parking_lot::Mutex;

use rcmgr_core::address::canonical_ip_with;
use rcmgr_core::{Clock, Endpoint, Error, LimitValue, Result};

use crate::allowlist::Allowlist;
use crate::bare_permit::BarePermit;
use crate::limits_in_force::{Active, Source, verification_rates};
use crate::permit::Permit;
use crate::rate_limiter::RateLimiter;
use crate::stat::{AddressStat, RefusedNetwork};
use crate::subnet::Address;
use crate::subnet_limiter::{self, SubnetLimiter};
use crate::{AddressConfig, AddressLimits};

/// All decisions that depend only on the remote address: trusted networks, the rate limits, the
/// subnet limits and the allowlist.
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
    /// All limits in force, in one pointer: each connection loads it once. So it sees all of the
    /// old limits or all of the new ones.
    active: ArcSwap<Active>,
    /// The source of the limits in force. It is not locked while the limits change, so that the
    /// code of a caller can read the limits that it changes.
    source: ArcSwap<Source>,
    /// Locked during every change of limits.
    changes: Mutex<()>,
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
        let source = Source {
            limits,
            conns: allowlisted_conns,
        };
        let canonical = source.canonical();
        let limits = &source.limits;
        let subnets = source.subnets();
        // The limiters use the same hasher, so that a subnet is hashed once for both.
        let hasher = RandomState::new();
        let rate_limiter =
            |rates| RateLimiter::of_checked(rates, &canonical, Arc::clone(&clock), hasher.clone());
        let unverified = rate_limiter(verification_rates(&subnets));
        let rates = rate_limiter(limits.rates.clone());
        let subnets = subnet_limiter::Active::new(subnets, &canonical);
        let subnets = SubnetLimiter::of_checked(subnets, hasher.clone());
        let active = Active::new(
            limits,
            rates.active(),
            subnets.active(),
            unverified.active(),
        );
        let allowlist = Allowlist::new(&[]);
        allowlist.configure(&limits.allowlist, &limits.nat64);
        Self {
            allowlist,
            rates,
            subnets: Arc::new(subnets),
            unverified,
            active: ArcSwap::from_pointee(active),
            source: ArcSwap::from_pointee(source),
            changes: Mutex::default(),
        }
    }

    /// Admits a connection with this remote endpoint: checks the rate limits, then the subnet
    /// limits. An endpoint without an IP address is not limited and gets no permit. An address in a
    /// trusted network is not limited either; its permit counts nothing.
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
        if matches!(endpoint, Endpoint::None) {
            return Ok(BarePermit::none());
        }
        let active = self.active.load();
        let Some(address) = active.address(endpoint) else {
            return Ok(BarePermit::none());
        };
        if active.may_be_special(address) {
            return self.admit_special(&active, address);
        }
        let Active { rates, subnets, .. } = &**active;
        let of_rates = rates.rules().by_size(address);
        let known = self.rates.allow_by(rates, of_rates, address)?;
        let of_subnets = subnets.rules().by_size(address);
        Ok(self.subnets.open_by(of_subnets, address, known)?)
    }

    /// Admits an address that may be in a trusted or named network.
    #[inline(never)]
    fn admit_special(&self, active: &Active, address: Address) -> Result<BarePermit> {
        if active.trusts(address) {
            return Ok(BarePermit::none());
        }
        let Active { rates, subnets, .. } = active;
        let of_rates = rates.rules().applicable(address);
        let known = self.rates.allow_by(rates, of_rates, address)?;
        let of_subnets = subnets.rules().applicable(address);
        Ok(self.subnets.open_by(of_subnets, address, known)?)
    }

    /// For a dry run: counts a connection that is open, and returns the error with which
    /// [`admit_bare`](Self::admit_bare) would have refused it. The caller must return the permit
    /// with [`give_back`](Self::give_back), also with an error.
    ///
    /// The counts are those of all open connections, so the limits are compared with real usage. A
    /// connection that a rate refuses takes no token, as where the rate is enforced.
    pub fn evaluate(&self, endpoint: Endpoint) -> (BarePermit, Option<Error>) {
        let active = self.active.load();
        let address = active.address(endpoint);
        let limited = |&address: &Address| !active.trusts(address);
        let Some(address) = address.filter(limited) else {
            return (BarePermit::none(), None);
        };
        let Active { rates, subnets, .. } = &**active;
        let of_rates = rates.rules().applicable(address);
        let by_rate = self.rates.allow_by(rates, of_rates, address).err();
        let of_subnets = subnets.rules().applicable(address);
        // A connection is refused once.
        let (permit, by_subnet) = self
            .subnets
            .evaluate(of_subnets, address, by_rate.is_none());
        let refused = by_rate.map(Error::from).or(by_subnet.map(Error::from));
        (permit, refused)
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
    /// unlimited or the network is trusted, and always true where fewer than two are allowed. The
    /// numbers are go-libp2p's.
    pub fn verify_source_address(&self, ip: IpAddr) -> bool {
        let active = self.active.load();
        let Some(address) = active.address(ip.into()) else {
            return false;
        };
        if active.trusts(address) {
            return false;
        }
        let rates = &active.unverified;
        let rules = rates.rules().applicable(address);
        self.unverified.allow_by(rates, rules, address).is_err()
    }

    /// The address that a remote counts as here: see [`canonical_ip_with`], with the prefixes of
    /// NAT64 in the limits.
    pub fn canonical_ip(&self, ip: IpAddr) -> IpAddr {
        canonical_ip_with(ip, self.active.load().nat64())
    }

    /// The allowlist. It can be changed at any time.
    pub const fn allowlist(&self) -> &Allowlist {
        &self.allowlist
    }

    /// The limits that were set last.
    pub fn limits(&self) -> AddressLimits {
        self.source.load().limits.clone()
    }

    /// Replaces all limits, and the configured entries of the allowlist. `allowlisted_conns` is as
    /// in [`new`](Self::new). Connections that are open keep their permits, and entries of the
    /// allowlist that were added or removed by hand stay so.
    ///
    /// A connection that opens meanwhile gets all of the old limits or all of the new ones.
    pub fn set(&self, limits: AddressLimits, allowlisted_conns: LimitValue) {
        let conns = allowlisted_conns;
        let _one_at_a_time = self.changes.lock();
        self.replace(Source { limits, conns });
    }

    /// The caller holds the lock of changes.
    fn replace(&self, next: Source) {
        let source = self.source.load();
        if next.limits == source.limits && next.conns == source.conns {
            return;
        }
        let canonical = next.canonical();
        let Source { limits, .. } = &next;
        let subnets = next.subnets();
        let verification = verification_rates(&subnets);
        let subnets = Arc::new(subnet_limiter::Active::new(subnets, &canonical));
        self.subnets.set(Arc::clone(&subnets));
        // The new limits are in force before the buckets of the old ones go.
        self.rates
            .change(limits.rates.clone(), &canonical, |rates| {
                self.unverified
                    .change(verification, &canonical, |unverified| {
                        let active = Active::new(limits, rates, subnets, unverified);
                        self.active.store(Arc::new(active));
                    });
            });
        if limits.allowlist != source.limits.allowlist || limits.nat64 != source.limits.nat64 {
            self.allowlist.configure(&limits.allowlist, &limits.nat64);
        }
        self.source.store(Arc::new(next));
    }

    /// Changes the limits; see [`set`](Self::set). `change` may read the limits, but it must not set
    /// them: other changes wait until it returns.
    ///
    /// # Errors
    ///
    /// As [`AddressLimits::new`]; then nothing has changed.
    pub fn change(&self, change: impl FnOnce(&mut AddressConfig)) -> Result<()> {
        let _one_at_a_time = self.changes.lock();
        let source = self.source.load_full();
        let mut config = AddressConfig::clone(&source.limits);
        change(&mut config);
        let limits = AddressLimits::new(config)?;
        let conns = source.conns;
        self.replace(Source { limits, conns });
        Ok(())
    }

    /// The counters. This locks every shard of the limiters: for metrics and tests, not for each
    /// connection.
    pub fn stat(&self) -> AddressStat {
        AddressStat {
            refused_by_rate: self.rates.refused(),
            refused_by_subnet: self.subnets.refused(),
            verifications_asked: self.unverified.refused(),
            permits: self.subnets.permits(),
            tracked_subnets: self.subnets.tracked(),
            tracked_buckets: self.rates.tracked() + self.unverified.tracked(),
        }
    }

    /// The networks that were refused most often, at most `most` of them, the most refused first.
    ///
    /// This is for people who look for the source of a flood. The counts are kept in bounded
    /// memory, for 512 networks of each limiter. A network that loses its place to others starts
    /// again at zero, so a count may be too low, never too high. A network with one in 500 of all
    /// refusals keeps its place.
    ///
    /// This locks every shard of the limiters: for metrics and tests, not for each connection.
    pub fn most_refused(&self, most: usize) -> Vec<RefusedNetwork> {
        let mut refused: HashMap<IpNet, RefusedNetwork> = HashMap::new();
        let mut count = |network: IpNet, by_subnet, by_rate| {
            let entry = refused.entry(network).or_insert(RefusedNetwork {
                network,
                by_subnet: 0,
                by_rate: 0,
            });
            entry.by_subnet += by_subnet;
            entry.by_rate += by_rate;
        };
        self.subnets
            .most_refused(|subnet, by_subnet| count(subnet.into(), by_subnet, 0));
        self.rates
            .most_refused(|subnet, by_rate| count(subnet.into(), 0, by_rate));
        let mut refused: Vec<_> = refused.into_values().collect();
        refused.sort_by_key(|network| (Reverse(network.total()), network.network));
        refused.truncate(most);
        refused
    }
}
