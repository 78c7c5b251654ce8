//! The names of the settings by address, and their values.

use std::fmt;

use rcmgr_core::address::{NetworkLimit, NetworkRate, Rate, SubnetLimit, SubnetRate};
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{AddressConfig, LimitValue};

/// One setting of the limits by address. Its text is the path of the setting in a limits file.
///
/// ```
/// use rcmgr_config::AddressKey;
///
/// assert_eq!(AddressKey::SubnetV4(32).to_string(), "Addresses.Subnets.\"IPv4/32\"");
/// assert_eq!(AddressKey::GlobalRate.to_string(), "Addresses.Rates.Global");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressKey {
    /// The networks that neither subnet limits nor rates apply to, in addition to loopback.
    Trusted,
    /// Whether loopback is trusted, too.
    TrustLoopback,
    /// The networks and peers that are admitted when the standard scopes refuse.
    Allowlist,
    /// The prefixes of NAT64 gateways.
    Nat64,
    /// The connections of each IPv4 subnet of a prefix length.
    SubnetV4(u8),
    /// The connections of each IPv6 subnet of a prefix length.
    SubnetV6(u8),
    /// The connections of one network.
    Network(IpNet),
    /// The rate of all addresses together.
    GlobalRate,
    /// The rate of each IPv4 subnet of a prefix length.
    RateV4(u8),
    /// The rate of each IPv6 subnet of a prefix length.
    RateV6(u8),
    /// The rate of one network.
    NetworkRate(IpNet),
}

/// A list of settings by address. If a file sets one setting of a list, the whole list is the
/// file's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressList {
    /// [`AddressConfig::trusted`].
    Trusted,
    /// [`AddressConfig::trust_loopback`].
    TrustLoopback,
    /// [`AddressConfig::allowlist`].
    Allowlist,
    /// [`AddressConfig::nat64`].
    Nat64,
    /// The IPv4 subnet sizes of [`AddressConfig::subnets`].
    SubnetsV4,
    /// The IPv6 subnet sizes of [`AddressConfig::subnets`].
    SubnetsV6,
    /// The networks of [`AddressConfig::subnets`].
    Networks,
    /// The global rate of [`AddressConfig::rates`].
    GlobalRate,
    /// The IPv4 subnet sizes of [`AddressConfig::rates`].
    RatesV4,
    /// The IPv6 subnet sizes of [`AddressConfig::rates`].
    RatesV6,
    /// The networks of [`AddressConfig::rates`].
    NetworkRates,
}

impl AddressList {
    /// All lists, in the order of limits files.
    pub const ALL: [Self; 11] = [
        Self::Trusted,
        Self::TrustLoopback,
        Self::Allowlist,
        Self::Nat64,
        Self::SubnetsV4,
        Self::SubnetsV6,
        Self::Networks,
        Self::GlobalRate,
        Self::RatesV4,
        Self::RatesV6,
        Self::NetworkRates,
    ];

    /// Replaces this list in `to` with that of `from`.
    pub(crate) fn copy(self, from: &AddressConfig, to: &mut AddressConfig) {
        match self {
            Self::Trusted => to.trusted.clone_from(&from.trusted),
            Self::TrustLoopback => to.trust_loopback = from.trust_loopback,
            Self::Allowlist => to.allowlist.clone_from(&from.allowlist),
            Self::Nat64 => to.nat64.clone_from(&from.nat64),
            Self::SubnetsV4 => to.subnets.v4.clone_from(&from.subnets.v4),
            Self::SubnetsV6 => to.subnets.v6.clone_from(&from.subnets.v6),
            Self::Networks => {
                let (from, to) = (&from.subnets, &mut to.subnets);
                to.v4_networks.clone_from(&from.v4_networks);
                to.v6_networks.clone_from(&from.v6_networks);
            }
            Self::GlobalRate => to.rates.global = from.rates.global,
            Self::RatesV4 => to.rates.v4.clone_from(&from.rates.v4),
            Self::RatesV6 => to.rates.v6.clone_from(&from.rates.v6),
            Self::NetworkRates => {
                let (from, to) = (&from.rates, &mut to.rates);
                to.v4_networks.clone_from(&from.v4_networks);
                to.v6_networks.clone_from(&from.v6_networks);
            }
        }
    }

    /// The text of this list where it has no entries: the key that a limits file sets to
    /// `"unlimited"`, or to an empty list.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trusted => "Trusted",
            Self::TrustLoopback => "TrustLoopback",
            Self::Allowlist => "Allowlist",
            Self::Nat64 => "NAT64",
            Self::SubnetsV4 | Self::RatesV4 => "IPv4",
            Self::SubnetsV6 | Self::RatesV6 => "IPv6",
            Self::Networks | Self::NetworkRates => "Networks",
            Self::GlobalRate => "Global",
        }
    }
}

impl AddressKey {
    /// The list that the setting belongs to.
    pub const fn list(&self) -> AddressList {
        match self {
            Self::Trusted => AddressList::Trusted,
            Self::TrustLoopback => AddressList::TrustLoopback,
            Self::Allowlist => AddressList::Allowlist,
            Self::Nat64 => AddressList::Nat64,
            Self::SubnetV4(_) => AddressList::SubnetsV4,
            Self::SubnetV6(_) => AddressList::SubnetsV6,
            Self::Network(_) => AddressList::Networks,
            Self::GlobalRate => AddressList::GlobalRate,
            Self::RateV4(_) => AddressList::RatesV4,
            Self::RateV6(_) => AddressList::RatesV6,
            Self::NetworkRate(_) => AddressList::NetworkRates,
        }
    }

    /// The last part of the text, without quotes: `IPv4/32`, a network, or a name.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::SubnetV4(len) | Self::RateV4(len) => format!("IPv4/{len}"),
            Self::SubnetV6(len) | Self::RateV6(len) => format!("IPv6/{len}"),
            Self::Network(network) | Self::NetworkRate(network) => network.to_string(),
            named => named.list().name().to_owned(),
        }
    }
}

impl fmt::Display for AddressKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = match self.list() {
            AddressList::Trusted
            | AddressList::TrustLoopback
            | AddressList::Allowlist
            | AddressList::Nat64 => "",
            AddressList::SubnetsV4 | AddressList::SubnetsV6 => "Subnets.",
            AddressList::Networks => "Networks.",
            _ => "Rates.",
        };
        let name = self.name();
        match name.contains('/') {
            true => f.pad(&format!("Addresses.{table}\"{name}\"")),
            false => f.pad(&format!("Addresses.{table}{name}")),
        }
    }
}

/// The value of one setting by address.
#[derive(Debug, Clone, PartialEq)]
pub enum AddressValue {
    /// The maximum number of open connections.
    Conns(LimitValue),
    /// The rate of new connections; `None` for no limit.
    Rate(Option<Rate>),
    /// The entries of a list, as text.
    List(Vec<String>),
    /// Yes or no.
    Flag(bool),
}

impl fmt::Display for AddressValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conns(value) => fmt::Display::fmt(value, f),
            Self::Rate(None) => f.pad("unlimited"),
            Self::Rate(Some(Rate { per_second, burst })) => {
                f.pad(&format!("{per_second} per second, {burst} at once"))
            }
            Self::List(entries) if entries.is_empty() => f.pad("none"),
            Self::List(entries) => f.pad(&entries.join(", ")),
            Self::Flag(value) => fmt::Display::fmt(value, f),
        }
    }
}

/// All settings of a configuration by address, in the order of limits files. A list of subnets,
/// networks or rates without entries has no setting.
///
/// ```
/// use rcmgr_config::address_settings;
/// use rcmgr_core::address::AddressConfig;
///
/// let config = AddressConfig::reference_defaults();
/// let settings = address_settings(&config).map(|(key, value)| format!("{key}: {value}"));
/// let lines: Vec<_> = settings.collect();
/// assert!(lines.contains(&"Addresses.Subnets.\"IPv4/32\": 8".into()));
/// assert!(lines.contains(&"Addresses.Rates.\"IPv4/32\": 0.2 per second, 16 at once".into()));
/// ```
pub fn address_settings(
    config: &AddressConfig,
) -> impl Iterator<Item = (AddressKey, AddressValue)> {
    fn list(entries: &[impl ToString]) -> AddressValue {
        AddressValue::List(entries.iter().map(ToString::to_string).collect())
    }
    fn sizes(
        key: fn(u8) -> AddressKey,
        subnets: &[SubnetLimit],
    ) -> impl Iterator<Item = (AddressKey, AddressValue)> {
        let setting = move |subnet: &SubnetLimit| {
            (
                key(subnet.prefix_len),
                AddressValue::Conns(subnet.conns.into()),
            )
        };
        subnets.iter().map(setting)
    }
    fn rates(
        key: fn(u8) -> AddressKey,
        subnets: &[SubnetRate],
    ) -> impl Iterator<Item = (AddressKey, AddressValue)> {
        let setting = move |subnet: &SubnetRate| {
            (
                key(subnet.prefix_len),
                AddressValue::Rate(Some(subnet.rate)),
            )
        };
        subnets.iter().map(setting)
    }
    let network = |limit: &NetworkLimit| {
        (
            AddressKey::Network(limit.network),
            AddressValue::Conns(limit.conns),
        )
    };
    let network_rate = |limit: &NetworkRate| {
        (
            AddressKey::NetworkRate(limit.network),
            AddressValue::Rate(limit.rate),
        )
    };
    let (subnets, limits) = (&config.subnets, &config.rates);
    let global = limits
        .global
        .map(|rate| (AddressKey::GlobalRate, AddressValue::Rate(Some(rate))));
    [
        (AddressKey::Trusted, list(&config.trusted)),
        (
            AddressKey::TrustLoopback,
            AddressValue::Flag(config.trust_loopback),
        ),
        (AddressKey::Allowlist, list(&config.allowlist)),
        (AddressKey::Nat64, list(&config.nat64)),
    ]
    .into_iter()
    .chain(sizes(AddressKey::SubnetV4, &subnets.v4))
    .chain(sizes(AddressKey::SubnetV6, &subnets.v6))
    .chain(subnets.v4_networks.iter().map(network))
    .chain(subnets.v6_networks.iter().map(network))
    .chain(global)
    .chain(rates(AddressKey::RateV4, &limits.v4))
    .chain(rates(AddressKey::RateV6, &limits.v6))
    .chain(limits.v4_networks.iter().map(network_rate))
    .chain(limits.v6_networks.iter().map(network_rate))
}
