//! All limits by remote address together, as an engine holds them.

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

/// What [`Addresses`] is made from. The default has the default limits and nobody on the allowlist.
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
    /// Who is let in where others are refused, as [`Allowlist`] tells.
    pub allowlist: Vec<AllowlistEntry>,
    /// How many connections may be open at a time.
    pub subnets: SubnetLimits,
    /// How fast connections may come.
    pub rates: RateLimits,
}

impl AddressConfig {
    /// No limits, and nobody on the allowlist.
    pub const fn none() -> Self {
        Self {
            allowlist: Vec::new(),
            subnets: SubnetLimits::none(),
            rates: RateLimits::none(),
        }
    }
}

/// Everything that is decided by remote address alone, as an engine holds it.
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
/// // The clock is rcmgr-atomic's `SystemClock`, say.
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
    /// Has no token where a remote is to prove its address first.
    unverified: RateLimiter,
    /// What is in force in both limiters, which is looked for once for each connection.
    active: ArcSwap<Active>,
    /// What the subnet limits are made of. Locked while anything changes.
    given: Mutex<Given>,
}

#[derive(Debug, Clone)]
struct Active {
    rates: Arc<rate_limiter::Active>,
    subnets: Arc<subnet_limiter::Active>,
}

/// What the subnet limits are made of.
#[derive(Debug, Clone)]
struct Given {
    limits: SubnetLimits,
    /// The networks from which the configuration allowed anyone.
    allowlisted: Vec<IpNet>,
    /// How many connections each of these may have.
    conns: LimitValue,
}

impl Given {
    /// The limits, with those of the allowlist's networks that they do not name.
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

/// What [`Addresses`] holds and has refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressStat {
    /// How many connections the rate limiter refused.
    pub refused_by_rate: u64,
    /// How many connections the subnet limiter refused.
    pub refused_by_subnet: u64,
    /// How many connections have a permit in a limited subnet or network.
    pub permits: u64,
    /// How many subnets and networks have open connections.
    pub tracked_subnets: u64,
    /// How many subnets and networks have a token bucket, for rates and for verification.
    pub tracked_buckets: u64,
}

impl Addresses {
    /// Puts a configuration to use.
    ///
    /// The networks from which the configuration allows anyone are limited to as many connections
    /// as the allowlisted system scope may have, `allowlisted_conns`, and not by their subnets.
    /// That holds as long as this does, whatever becomes of the entries, except for a network that
    /// has a limit of its own. Entries added later bring no such limit. (So far it is as in the
    /// reference; here the number [can change](Self::set_allowlisted_conns).)
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration), as [`SubnetLimits`] and
    /// [`RateLimits`] tell.
    pub fn new(
        config: AddressConfig,
        allowlisted_conns: LimitValue,
        clock: Arc<dyn Clock>,
    ) -> Result<Self> {
        let allowlist = Allowlist::new(&config.allowlist);
        let given = Given {
            limits: config.subnets,
            allowlisted: allowlist.networks(),
            conns: allowlisted_conns,
        };
        let limits = given.merged();
        let unverified = RateLimiter::new(verification_rates(&limits), Arc::clone(&clock))?;
        // One hash serves both.
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
            given: Mutex::new(given),
        })
    }

    /// Asks the rate limiter, then the subnet limiter, for a connection with this remote endpoint.
    /// One without an IP address is not limited here, and gets no permit.
    ///
    /// # Errors
    ///
    /// [`RateLimit`](rcmgr_core::Error::RateLimit) or [`SubnetLimit`](rcmgr_core::Error::SubnetLimit). Where
    /// the subnet limiter refuses, the token that the rate limiter gave is spent.
    pub fn admit(&self, endpoint: Endpoint) -> Result<Option<Permit>> {
        let permit = self.admit_bare(endpoint)?;
        let limited = endpoint.ip().is_some();
        Ok(limited.then(|| Permit::new(Arc::clone(&self.subnets), permit)))
    }

    /// As [`admit`](Self::admit), for who gives the permit back [here](Self::give_back). Without an IP
    /// address it is a permit of which nothing has to be given back.
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

    /// Gives a permit back that is from here, in all subnets at once. Any thread may call it, any
    /// number of times: the first call counts.
    #[inline]
    pub fn give_back(&self, permit: &BarePermit) {
        self.subnets.give_back(permit);
    }

    /// The same when a permit's holder goes, which is a little cheaper.
    #[inline]
    pub fn give_back_last(&self, permit: &mut BarePermit) {
        self.subnets.give_back_last(permit);
    }

    /// Whether the transport should make a remote prove its address (by a QUIC retry, say) before
    /// it spends anything on it: where more connections than usual are tried from around there.
    ///
    /// Each call takes a token from a bucket for each subnet or network that limits the address's
    /// connections, which holds half as many as connections are allowed there, and gets one back
    /// every ten seconds; without a token in one of them it is true. So it never is where
    /// connections are unlimited, and always where less than two are allowed. The numbers are the
    /// reference's.
    pub fn verify_source_address(&self, ip: IpAddr) -> bool {
        self.unverified.allow(ip).is_err()
    }

    /// The allowlist, which may be changed at any time.
    pub const fn allowlist(&self) -> &Allowlist {
        &self.allowlist
    }

    /// The subnet limits that were given last. The networks that the allowlist brought are not
    /// among them.
    pub fn subnet_limits(&self) -> SubnetLimits {
        self.given().limits.clone()
    }

    fn given(&self) -> MutexGuard<'_, Given> {
        self.given.lock()
    }

    /// Puts other subnet limits in force, as [`SubnetLimiter::set_limits`] tells, for connections
    /// and for [`verify_source_address`](Self::verify_source_address). The networks that the
    /// allowlist brought stay, where the new limits do not name them.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration), as [`SubnetLimits`] tells; then nothing has
    /// changed.
    pub fn set_subnet_limits(&self, limits: SubnetLimits) -> Result<()> {
        self.change(|given| given.limits = limits)
    }

    /// Limits the networks that the allowlist brought to so many connections, those that have a
    /// limit of their own apart: an engine says so when the limit of its allowlisted system scope
    /// changes. It counts for what is opened from now on, as
    /// [`set_limits`](SubnetLimiter::set_limits) tells.
    pub fn set_allowlisted_conns(&self, conns: LimitValue) {
        if self.given().conns == conns {
            return;
        }
        self.change(|given| given.conns = conns)
            .expect("other numbers for the same networks are as good");
    }

    /// Puts what is given in force with a change, if that can work.
    fn change(&self, change: impl FnOnce(&mut Given)) -> Result<()> {
        let mut given = self.given();
        let mut next = given.clone();
        change(&mut next);
        let limits = next.merged();
        let rates = verification_rates(&limits);
        self.subnets.set_limits(limits)?;
        self.active.store(Arc::new(Active {
            rates: self.rates.active(),
            subnets: self.subnets.active(),
        }));
        self.unverified.set_limits(rates)?;
        *given = next;
        Ok(())
    }

    /// The rates in force.
    pub fn rate_limits(&self) -> RateLimits {
        self.rates.limits()
    }

    /// Puts other rates in force, as [`RateLimiter::set_limits`] tells.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`](rcmgr_core::BadConfiguration), as [`RateLimits`] tells; then nothing has
    /// changed.
    pub fn set_rate_limits(&self, limits: RateLimits) -> Result<()> {
        let _one_by_one = self.given();
        self.rates.change(limits, |rates| {
            let subnets = self.subnets.active();
            self.active.store(Arc::new(Active { rates, subnets }));
        })
    }

    /// What is held and was refused. It looks into every part of the limiters: for metrics and
    /// tests, not for each connection.
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
