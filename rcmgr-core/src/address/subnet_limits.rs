//! The subnet limits as plain values.

use ipnet::{IpNet, Ipv6Net};

use super::check::{Lists, MAX_SIZES};
use super::network::LOOPBACK;
use crate::{BadConfiguration, LimitValue};

/// The limit of open connections for each subnet of one size.
///
/// ```
/// use rcmgr_core::address::SubnetLimit;
///
/// let per_address = SubnetLimit { prefix_len: 32, conns: 8 };
/// # assert_eq!(per_address, rcmgr_core::address::SubnetLimits::reference_defaults().v4[0]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SubnetLimit {
    /// The size: the number of leading bits that the addresses of a subnet share.
    pub prefix_len: u8,
    /// The maximum number of open connections of each subnet, both directions together.
    pub conns: u64,
}

/// The limit of open connections for one network.
///
/// ```
/// use rcmgr_core::address::NetworkLimit;
/// use rcmgr_core::LimitValue;
///
/// let office = NetworkLimit {
///     network: "198.51.100.0/24".parse()?,
///     conns: LimitValue::Limited(512),
/// };
/// # let _ = office;
/// # Ok::<(), rcmgr_core::ipnet::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct NetworkLimit {
    /// The network. Bits after its prefix are ignored.
    pub network: IpNet,
    /// The maximum number of open connections of all its addresses together.
    pub conns: LimitValue,
}

/// Limits on the number of open connections by remote address: the configuration of a
/// `SubnetLimiter` of `rcmgr-address`. By default there are none.
///
/// [`check`](Self::check) and a limiter check that prefix lengths are at most 32 for IPv4 and 128
/// for IPv6, that a family has at most 8 sizes and none twice, and that no network is listed twice
/// or under the wrong family. An IPv6 network of IPv4-mapped, 6to4 or NAT64 addresses is an IPv4
/// network, and may stand in either list.
///
/// ```
/// use rcmgr_core::LimitValue;
/// use rcmgr_core::address::{NetworkLimit, SubnetLimit, SubnetLimits};
///
/// let limits = SubnetLimits {
///     v4: vec![
///         SubnetLimit { prefix_len: 32, conns: 4 },
///         SubnetLimit { prefix_len: 24, conns: 64 },
///     ],
///     v4_networks: vec![NetworkLimit {
///         network: "10.0.0.0/8".parse()?,
///         conns: LimitValue::Unlimited,
///     }],
///     ..SubnetLimits::default()
/// };
/// # let _ = limits;
/// # Ok::<(), rcmgr_core::ipnet::AddrParseError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SubnetLimits {
    /// Each IPv4 subnet, by size.
    pub v4: Vec<SubnetLimit>,
    /// Each IPv6 subnet, by size.
    pub v6: Vec<SubnetLimit>,
    /// IPv4 networks that are limited as a whole instead.
    pub v4_networks: Vec<NetworkLimit>,
    /// IPv6 networks that are limited as a whole instead.
    pub v6_networks: Vec<NetworkLimit>,
}

impl SubnetLimits {
    /// The maximum number of subnet sizes of an address family.
    pub const MAX_SIZES: usize = MAX_SIZES;

    /// No limits.
    pub const fn none() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
            v4_networks: Vec::new(),
            v6_networks: Vec::new(),
        }
    }

    /// The defaults of go-libp2p: 8 connections for an IPv4 address, 8 for an IPv6 /56, 64 for an
    /// IPv6 /48, and no limit on loopback.
    pub fn reference_defaults() -> Self {
        let [v4_networks, v6_networks] = LOOPBACK.map(|network| {
            vec![NetworkLimit {
                network,
                conns: LimitValue::Unlimited,
            }]
        });
        let size = |prefix_len, conns| SubnetLimit { prefix_len, conns };
        Self {
            v4: vec![size(32, 8)],
            v6: vec![size(56, 8), size(48, 64)],
            v4_networks,
            v6_networks,
        }
    }

    /// Checks the lists.
    ///
    /// # Errors
    ///
    /// [`BadConfiguration`] if a prefix length is over 32 for IPv4 or 128 for IPv6, a family has
    /// more than 8 sizes or one twice, or a network is listed twice or under the wrong family.
    pub fn check(&self) -> Result<(), BadConfiguration> {
        self.check_with(&[])
    }

    /// Checks the lists, with these prefixes of NAT64.
    pub(super) fn check_with(&self, nat64: &[Ipv6Net]) -> Result<(), BadConfiguration> {
        let sizes = |limits: &[SubnetLimit]| limits.iter().map(|limit| limit.prefix_len).collect();
        let networks = |limits: &[NetworkLimit]| limits.iter().map(|limit| limit.network).collect();
        Lists {
            name: "subnets",
            v4: sizes(&self.v4),
            v6: sizes(&self.v6),
            v4_networks: networks(&self.v4_networks),
            v6_networks: networks(&self.v6_networks),
            nat64,
        }
        .check()
    }
}

/// [`SubnetLimits::none`].
impl Default for SubnetLimits {
    fn default() -> Self {
        Self::none()
    }
}
