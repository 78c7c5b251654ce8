//! The subnet limits as plain values.

use ipnet::IpNet;

use rcmgr_core::LimitValue;

use crate::rules::Listed;

/// The limit of open connections for each subnet of one size.
///
/// ```
/// use rcmgr_address::SubnetLimit;
///
/// let per_address = SubnetLimit { prefix_len: 32, conns: 8 };
/// # assert_eq!(per_address, rcmgr_address::SubnetLimits::default().v4[0]);
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
/// use rcmgr_address::NetworkLimit;
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
/// [`SubnetLimiter`](crate::SubnetLimiter).
///
/// Each field replaces the default of its kind and address family, and leaves the others. The
/// defaults are go-libp2p's: 8 connections for an IPv4 address, 8 for an IPv6 /56, 64 for an IPv6
/// /48, and no limit on loopback.
///
/// A limiter checks that prefix lengths are at most 32 for IPv4 and 128 for IPv6, that a family has
/// at most 8 sizes and none twice, and that no network is listed twice or under the wrong family.
///
/// ```
/// use rcmgr_core::LimitValue;
/// use rcmgr_address::{NetworkLimit, SubnetLimit, SubnetLimits};
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
    /// Each IPv4 subnet, by size. By default /32: 8.
    pub v4: Vec<SubnetLimit>,
    /// Each IPv6 subnet, by size. By default /56: 8, and /48: 64.
    pub v6: Vec<SubnetLimit>,
    /// IPv4 networks that are limited as a whole instead. By default 127.0.0.0/8: unlimited.
    pub v4_networks: Vec<NetworkLimit>,
    /// IPv6 networks that are limited as a whole instead. By default ::1/128: unlimited.
    pub v6_networks: Vec<NetworkLimit>,
}

impl SubnetLimits {
    /// No limits.
    pub const fn none() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
            v4_networks: Vec::new(),
            v6_networks: Vec::new(),
        }
    }

    pub(crate) fn listed(&self) -> Listed<u64> {
        let sizes = |limits: &[SubnetLimit]| {
            let size = |limit: &SubnetLimit| (limit.prefix_len, limit.conns);
            limits.iter().map(size).collect()
        };
        let networks = |limits: &[NetworkLimit]| {
            let network = |limit: &NetworkLimit| match limit.conns {
                LimitValue::Limited(conns) => (limit.network, Some(conns)),
                LimitValue::Unlimited => (limit.network, None),
            };
            limits.iter().map(network).collect()
        };
        Listed {
            name: "subnets",
            v4: sizes(&self.v4),
            v6: sizes(&self.v6),
            v4_networks: networks(&self.v4_networks),
            v6_networks: networks(&self.v6_networks),
        }
    }
}

impl Default for SubnetLimits {
    fn default() -> Self {
        let [v4, v6] = crate::rules::LOOPBACK.map(|network| {
            vec![NetworkLimit {
                network,
                conns: LimitValue::Unlimited,
            }]
        });
        Self {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 8,
            }],
            v6: vec![
                SubnetLimit {
                    prefix_len: 56,
                    conns: 8,
                },
                SubnetLimit {
                    prefix_len: 48,
                    conns: 64,
                },
            ],
            v4_networks: v4,
            v6_networks: v6,
        }
    }
}
