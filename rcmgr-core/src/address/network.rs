//! Networks in their one canonical form.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The number of bits before the IPv4 address in an IPv4-mapped IPv6 address.
const MAPPED: u8 = 96;

/// 127.0.0.0/8 and ::1/128.
pub(super) const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// The network without host bits. A network of IPv4-mapped addresses becomes an IPv4 network.
///
/// ```
/// use rcmgr_core::address::canonical_network;
///
/// let mapped = "::ffff:192.0.2.7/120".parse()?;
/// assert_eq!(canonical_network(mapped), "192.0.2.0/24".parse()?);
/// # Ok::<(), rcmgr_core::ipnet::AddrParseError>(())
/// ```
#[must_use]
pub fn canonical_network(network: IpNet) -> IpNet {
    let network = network.trunc();
    let (ip, len): (Option<Ipv4Addr>, u8) = match network {
        IpNet::V4(_) => (None, 0),
        IpNet::V6(network) => (network.network().to_ipv4_mapped(), network.prefix_len()),
    };
    match ip {
        Some(ip) if len >= MAPPED => Ipv4Net::new_assert(ip, len - MAPPED).into(),
        _ => network,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_of_mapped_addresses_becomes_an_ipv4_network() {
        let cases = [
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.7/95", "::fffe:0:0/95"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ];
        for (given, meant) in cases {
            assert_eq!(canonical_network(given.parse().unwrap()).to_string(), meant);
        }
    }
}
