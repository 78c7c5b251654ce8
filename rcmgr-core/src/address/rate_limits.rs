//! The rate limits as plain values, and their validation.

use ipnet::{IpNet, Ipv6Net};

use super::check::{Lists, bad};
use super::network::LOOPBACK;
use crate::BadConfiguration;

/// The rate at which connections may arrive: a token bucket. Each connection takes one token.
///
/// A limiter checks that `per_second` is finite and not negative. With 0, the first `burst`
/// connections are admitted and all later ones refused. The rate is stored as nanoseconds per
/// token: more than a billion per second counts as a billion, and the time to fill a bucket is
/// capped at 146 years (2^62 ns).
///
/// ```
/// use rcmgr_core::address::Rate;
///
/// // 16 at once, then one every five seconds.
/// let rate = Rate { per_second: 0.2, burst: 16 };
/// # let _ = rate;
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens gained per second.
    pub per_second: f64,
    /// The capacity of the bucket, in tokens. It starts full. With 0, every connection is refused.
    pub burst: u32,
}

impl Rate {
    fn check(self, field: &str) -> Result<(), BadConfiguration> {
        if self.per_second.is_finite() && self.per_second >= 0.0 {
            return Ok(());
        }
        let reason = format!(
            "{} connections per second is not a valid rate: use a finite number, 0 or more",
            self.per_second
        );
        Err(bad(field, reason))
    }
}

/// The rate for each subnet of one size.
///
/// ```
/// use rcmgr_core::address::{Rate, SubnetRate};
///
/// let per_address = SubnetRate { prefix_len: 32, rate: Rate { per_second: 0.2, burst: 16 } };
/// # assert_eq!(per_address, rcmgr_core::address::RateLimits::reference_defaults().v4[0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SubnetRate {
    /// The size: the number of leading bits that the addresses of a subnet share.
    pub prefix_len: u8,
    /// The rate of each subnet of this size.
    pub rate: Rate,
}

/// The rate for one network.
///
/// ```
/// use rcmgr_core::address::NetworkRate;
///
/// let office = NetworkRate { network: "198.51.100.0/24".parse()?, rate: None };
/// # let _ = office;
/// # Ok::<(), rcmgr_core::ipnet::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NetworkRate {
    /// The network. Bits after its prefix are ignored.
    pub network: IpNet,
    /// The rate of all its addresses together; `None` for no limit.
    pub rate: Option<Rate>,
}

/// Limits on the rate of new connections by remote address: the configuration of a
/// `RateLimiter` of `rcmgr-address`. By default there are none.
///
/// [`check`](Self::check) and a limiter check each [`Rate`], that prefix lengths are at most 32 for
/// IPv4 and 128 for IPv6, that a family has at most 8 sizes and none twice, and that no network is
/// listed twice or under the wrong family. An IPv6 network of IPv4-mapped, 6to4 or NAT64 addresses
/// is an IPv4 network, and may stand in either list.
///
/// ```
/// use rcmgr_core::address::{Rate, RateLimits};
///
/// let limits = RateLimits {
///     global: Some(Rate { per_second: 1000.0, burst: 4000 }),
///     ..RateLimits::default()
/// };
/// # let _ = limits;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RateLimits {
    /// All addresses together, except those in the networks below.
    pub global: Option<Rate>,
    /// Each IPv4 subnet, by size.
    pub v4: Vec<SubnetRate>,
    /// Each IPv6 subnet, by size.
    pub v6: Vec<SubnetRate>,
    /// IPv4 networks that are limited as a whole instead.
    pub v4_networks: Vec<NetworkRate>,
    /// IPv6 networks that are limited as a whole instead.
    pub v6_networks: Vec<NetworkRate>,
}

impl RateLimits {
    /// No limits.
    pub const fn none() -> Self {
        Self {
            global: None,
            v4: Vec::new(),
            v6: Vec::new(),
            v4_networks: Vec::new(),
            v6_networks: Vec::new(),
        }
    }

    /// The defaults of go-libp2p: 0.2 per second and 16 at once for an IPv4 address and an IPv6
    /// /56, 0.5 and 80 for an IPv6 /48, and no limit on loopback or on all addresses together.
    pub fn reference_defaults() -> Self {
        const NARROW: Rate = Rate {
            per_second: 0.2,
            burst: 16,
        };
        const WIDE: Rate = Rate {
            per_second: 0.5,
            burst: 80,
        };
        let size = |prefix_len, rate| SubnetRate { prefix_len, rate };
        let [v4_networks, v6_networks] = LOOPBACK.map(|network| {
            vec![NetworkRate {
                network,
                rate: None,
            }]
        });
        Self {
            global: None,
            v4: vec![size(32, NARROW)],
            v6: vec![size(56, NARROW), size(48, WIDE)],
            v4_networks,
            v6_networks,
        }
    }

    /// Checks the rates and the lists.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`] if a rate is negative or not finite, a prefix length is over 32 for
    /// IPv4 or 128 for IPv6, a family has more than 8 sizes or one twice, or a network is listed
    /// twice or under the wrong family.
    pub fn check(&self) -> Result<(), BadConfiguration> {
        self.check_with(&[])
    }

    /// Checks the lists, with these prefixes of NAT64.
    pub(super) fn check_with(&self, nat64: &[Ipv6Net]) -> Result<(), BadConfiguration> {
        self.check_rates()?;
        let sizes = |rates: &[SubnetRate]| rates.iter().map(|rate| rate.prefix_len).collect();
        let networks = |rates: &[NetworkRate]| rates.iter().map(|rate| rate.network).collect();
        Lists {
            name: "rates",
            v4: sizes(&self.v4),
            v6: sizes(&self.v6),
            v4_networks: networks(&self.v4_networks),
            v6_networks: networks(&self.v6_networks),
            nat64,
        }
        .check()
    }

    fn check_rates(&self) -> Result<(), BadConfiguration> {
        let sizes = |field, rates: &[SubnetRate]| {
            rates.iter().try_for_each(|subnet| subnet.rate.check(field))
        };
        let networks = |field, rates: &[NetworkRate]| {
            let mut rates = rates.iter().filter_map(|network| network.rate);
            rates.try_for_each(|rate| rate.check(field))
        };
        self.global
            .map_or(Ok(()), |rate| rate.check("rates.global"))?;
        sizes("rates.v4", &self.v4)?;
        sizes("rates.v6", &self.v6)?;
        networks("rates.v4_networks", &self.v4_networks)?;
        networks("rates.v6_networks", &self.v6_networks)
    }
}

/// [`RateLimits::none`].
impl Default for RateLimits {
    fn default() -> Self {
        Self::none()
    }
}
