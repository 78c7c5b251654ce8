//! What the limits by address refused, for metrics and views.

use ipnet::IpNet;

/// Counters of [`Addresses`](crate::Addresses).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AddressStat {
    /// Connections that the rate limiter refused.
    pub refused_by_rate: u64,
    /// Connections that the subnet limiter refused.
    pub refused_by_subnet: u64,
    /// How often [`Addresses::verify_source_address`](crate::Addresses::verify_source_address) was true.
    pub verifications_asked: u64,
    /// Connections that hold a permit in a limited subnet or network.
    pub permits: u64,
    /// Subnets and networks that have open connections.
    pub tracked_subnets: u64,
    /// Token buckets of subnets and networks, for rates and for address verification.
    pub tracked_buckets: u64,
}

/// A network whose connections were refused, and how often: see [`Addresses::most_refused`](crate::Addresses::most_refused).
///
/// ```
/// use rcmgr_address::RefusedNetwork;
///
/// let scanner = RefusedNetwork { network: "192.0.2.7/32".parse()?, by_subnet: 0, by_rate: 12 };
/// assert_eq!(scanner.total(), 12);
/// # Ok::<(), rcmgr_core::ipnet::AddrParseError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusedNetwork {
    /// The subnet or network whose limit was reached. For the global rate, the address, or the /64
    /// of an IPv6 address.
    pub network: IpNet,
    /// Connections that the subnet limiter refused.
    pub by_subnet: u64,
    /// Connections that the rate limiter refused.
    pub by_rate: u64,
}

impl RefusedNetwork {
    /// Connections that were refused.
    pub const fn total(&self) -> u64 {
        self.by_subnet.saturating_add(self.by_rate)
    }
}
