//! The configuration of all limits by address.

use ipnet::{IpNet, Ipv6Net};

use super::network::LOOPBACK;
use super::{AllowlistEntry, RateLimits, SubnetLimits};

/// All limits by address, before they are checked. [`AddressLimits`](super::AddressLimits) checks
/// them.
///
/// The default limits nothing, has an empty allowlist, and trusts loopback.
///
/// ```
/// use rcmgr_core::address::{AddressConfig, SubnetLimit, SubnetLimits};
///
/// let config = AddressConfig {
///     allowlist: vec!["192.0.2.0/24".parse()?],
///     subnets: SubnetLimits {
///         v4: vec![SubnetLimit { prefix_len: 32, conns: 16 }],
///         ..SubnetLimits::none()
///     },
///     ..AddressConfig::default()
/// };
/// # let _ = config;
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct AddressConfig {
    /// Networks that neither subnet limits nor rates apply to, in addition to loopback. By default
    /// there are none.
    pub trusted: Vec<IpNet>,
    /// Whether loopback is trusted, too: 127.0.0.0/8 and ::1/128. By default it is.
    pub trust_loopback: bool,
    /// Networks and peers that are admitted when the standard scopes refuse. An entry that is
    /// listed twice counts once.
    pub allowlist: Vec<AllowlistEntry>,
    /// Limits on the number of open connections.
    pub subnets: SubnetLimits,
    /// Limits on the rate of new connections.
    pub rates: RateLimits,
    /// Prefixes of NAT64 gateways, in addition to 64:ff9b::/96: an address in one of them counts
    /// as the IPv4 address that it carries. Their lengths are those of RFC 6052: 32, 40, 48, 56,
    /// 64 or 96 bits.
    pub nat64: Vec<Ipv6Net>,
}

impl AddressConfig {
    /// No limits and an empty allowlist. Loopback is trusted.
    pub fn none() -> Self {
        Self {
            trusted: Vec::new(),
            trust_loopback: true,
            allowlist: Vec::new(),
            subnets: SubnetLimits::none(),
            rates: RateLimits::none(),
            nat64: Vec::new(),
        }
    }

    /// The defaults of go-libp2p: [`SubnetLimits::reference_defaults`] and
    /// [`RateLimits::reference_defaults`], which leave loopback unlimited. No network is trusted.
    pub fn reference_defaults() -> Self {
        Self {
            trust_loopback: false,
            subnets: SubnetLimits::reference_defaults(),
            rates: RateLimits::reference_defaults(),
            ..Self::none()
        }
    }

    /// All trusted networks: [`trusted`](Self::trusted), and loopback if it is trusted.
    ///
    /// ```
    /// use rcmgr_core::address::AddressConfig;
    ///
    /// let mut config = AddressConfig::none();
    /// config.trusted.push("10.0.0.0/8".parse()?);
    /// let networks: Vec<_> = config.trusted_networks().map(|network| network.to_string()).collect();
    /// assert_eq!(networks, ["127.0.0.0/8", "::1/128", "10.0.0.0/8"]);
    /// # Ok::<(), rcmgr_core::ipnet::AddrParseError>(())
    /// ```
    pub fn trusted_networks(&self) -> impl Iterator<Item = IpNet> {
        let loopback = LOOPBACK.into_iter().filter(|_| self.trust_loopback);
        loopback.chain(self.trusted.iter().copied())
    }
}

impl Default for AddressConfig {
    fn default() -> Self {
        Self::none()
    }
}
