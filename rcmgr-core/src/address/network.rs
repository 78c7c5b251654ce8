//! Addresses and networks in their one canonical form.
//!
//! Several kinds of IPv6 addresses carry an IPv4 address. To a server, such an address is the
//! IPv4 address that it carries: one client must not count twice, and must not escape a limit or
//! an entry by another spelling of its address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// 127.0.0.0/8 and ::1/128.
pub(super) const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// The number of bits before the IPv4 address in a mapped, a v4-compatible, and a well-known NAT64
/// address.
const LOW: u8 = 96;

/// 2002::/16, the prefix of 6to4 addresses (RFC 3056). The IPv4 address follows it.
const SIX_TO_FOUR: u8 = 16;

/// The high 64 bits of 64:ff9b::/96, the well-known prefix of NAT64 (RFC 6052).
const WELL_KNOWN_NAT64: u64 = 0x0064_ff9b << 32;

/// The prefix lengths that RFC 6052 allows for NAT64.
pub(super) const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// The address that an address counts as: the IPv4 address that an IPv6 address carries, if it
/// carries one, else the address itself.
///
/// These carry one: IPv4-mapped addresses (`::ffff:192.0.2.7`, as a dual-stack socket reports an
/// IPv4 peer), NAT64 addresses with the well-known prefix (`64:ff9b::192.0.2.7`), 6to4 addresses
/// (`2002:c000:207::1`), and v4-compatible addresses (`::192.0.2.7`; not `::`, `::1` and the rest
/// of `::0.0.0.0/104`). Other prefixes of NAT64 can be configured:
/// [`AddressConfig::canonical_ip`](super::AddressConfig::canonical_ip) knows them.
///
/// ```
/// use std::net::IpAddr;
/// use rcmgr_core::address::canonical_ip;
///
/// let ipv4: IpAddr = "192.0.2.7".parse()?;
/// for same in ["::ffff:192.0.2.7", "64:ff9b::192.0.2.7", "2002:c000:207::1", "::192.0.2.7"] {
///     assert_eq!(canonical_ip(same.parse()?), ipv4);
/// }
/// let ipv6: IpAddr = "2001:db8::7".parse()?;
/// assert_eq!(canonical_ip(ipv6), ipv6);
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
#[inline]
pub fn canonical_ip(ip: IpAddr) -> IpAddr {
    carried_ip(ip, &[])
}

/// The network without host bits. A network of IPv6 addresses that all carry an IPv4 address
/// becomes the IPv4 network that they carry; see [`canonical_ip`].
///
/// ```
/// use rcmgr_core::address::canonical_network;
///
/// let mapped = "::ffff:192.0.2.7/120".parse()?;
/// assert_eq!(canonical_network(mapped), "192.0.2.0/24".parse()?);
/// let six_to_four = "2002:c000:200::/40".parse()?;
/// assert_eq!(canonical_network(six_to_four), "192.0.2.0/24".parse()?);
/// # Ok::<(), rcmgr_core::ipnet::AddrParseError>(())
/// ```
#[must_use]
pub fn canonical_network(network: IpNet) -> IpNet {
    carried_network(network, &[])
}

/// As [`canonical_ip`], with these prefixes of NAT64 besides the well-known one.
#[inline]
pub(super) fn carried_ip(ip: IpAddr, nat64: &[Ipv6Net]) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => embedded_ipv4(v6, nat64).map_or(ip, IpAddr::V4),
    }
}

/// As [`canonical_network`], with these prefixes of NAT64 besides the well-known one.
pub(super) fn carried_network(network: IpNet, nat64: &[Ipv6Net]) -> IpNet {
    let network = network.trunc();
    let IpNet::V6(v6) = network else {
        return network;
    };
    let Some(prefix) = carrier(v6.network(), nat64).filter(|&prefix| prefix <= v6.prefix_len())
    else {
        return network;
    };
    let ip = carried_after(v6.network().to_bits(), prefix);
    let len = carried_bits(v6.prefix_len(), prefix);
    Ipv4Net::new_assert(ip, len).trunc().into()
}

/// The IPv4 address that an IPv6 address carries. `nat64` are prefixes of NAT64 besides the
/// well-known one; they were checked.
#[must_use]
#[inline]
pub fn embedded_ipv4(ip: Ipv6Addr, nat64: &[Ipv6Net]) -> Option<Ipv4Addr> {
    let prefix = carrier(ip, nat64)?;
    Some(carried_after(ip.to_bits(), prefix))
}

/// The length of the prefix before the IPv4 address that the address carries.
#[inline]
fn carrier(ip: Ipv6Addr, nat64: &[Ipv6Net]) -> Option<u8> {
    let bits = ip.to_bits();
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    // Mapped, or v4-compatible: 0.0.0.0/8 is nobody's address, and ::1 is IPv6 loopback.
    if high == 0 && (low >> 32 == 0xffff || low >> 32 == 0 && low >> 24 != 0) {
        return Some(LOW);
    }
    if high >> 48 == 0x2002 {
        return Some(SIX_TO_FOUR);
    }
    if high == WELL_KNOWN_NAT64 && low >> 32 == 0 {
        return Some(LOW);
    }
    let configured = nat64.iter().find(|prefix| prefix.contains(&ip));
    configured.map(Ipv6Net::prefix_len)
}

/// The IPv4 address behind a prefix of this length. Bits 64 to 71 hold none of it (RFC 6052).
const fn carried_after(bits: u128, prefix: u8) -> Ipv4Addr {
    // The 120 bits without that byte.
    let joined = bits >> 64 << 56 | bits & ((1 << 56) - 1);
    Ipv4Addr::from_bits((joined >> (88 - joined_bits(prefix))) as u32)
}

/// How many of the first `len` bits belong to the IPv4 address behind a prefix.
fn carried_bits(len: u8, prefix: u8) -> u8 {
    (joined_bits(len) - joined_bits(prefix)).min(32)
}

/// How many of the first `len` bits are left without bits 64 to 71.
const fn joined_bits(len: u8) -> u8 {
    match len {
        0..=64 => len,
        65..=72 => 64,
        _ => len - 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 6052, section 2.4.
    const NAT64: [(&str, &str); 6] = [
        ("2001:db8::/32", "2001:db8:c000:221::"),
        ("2001:db8:100::/40", "2001:db8:1c0:2:21::"),
        ("2001:db8:122::/48", "2001:db8:122:c000:2:2100::"),
        ("2001:db8:122:300::/56", "2001:db8:122:3c0:0:221::"),
        ("2001:db8:122:344::/64", "2001:db8:122:344:c0:2:2100::"),
        ("2001:db8:122:344::/96", "2001:db8:122:344::192.0.2.33"),
    ];

    #[test]
    fn an_address_counts_as_the_ipv4_address_that_it_carries() {
        let cases = [
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:0.0.0.1", "0.0.0.1"),
            ("64:ff9b::c000:207", "192.0.2.7"),
            ("64:ff9b::", "0.0.0.0"),
            ("64:ff9b:1::c000:207", "64:ff9b:1::c000:207"),
            ("64:ff9b:0:0:1::c000:207", "64:ff9b:0:0:1:0:c000:207"),
            ("2002:c000:207::", "192.0.2.7"),
            ("2002:c000:207:ffff:ffff:ffff:ffff:ffff", "192.0.2.7"),
            ("2003:c000:207::", "2003:c000:207::"),
            ("::192.0.2.7", "192.0.2.7"),
            ("::1.0.0.0", "1.0.0.0"),
            ("::0.255.255.255", "::ff:ffff"),
            ("::1", "::1"),
            ("::", "::"),
            ("::fffe:192.0.2.7", "::fffe:c000:207"),
            ("2001:db8::7", "2001:db8::7"),
            ("192.0.2.7", "192.0.2.7"),
        ];
        for (given, meant) in cases {
            let meant: IpAddr = meant.parse().unwrap();
            assert_eq!(canonical_ip(given.parse().unwrap()), meant, "{given}");
        }
    }

    #[test]
    fn a_configured_nat64_prefix_carries_the_address_where_rfc_6052_has_it() {
        let carried: IpAddr = "192.0.2.33".parse().unwrap();
        for (prefix, ip) in NAT64 {
            let prefix = [prefix.parse().unwrap()];
            let ip: IpAddr = ip.parse().unwrap();
            assert_eq!(carried_ip(ip, &prefix), carried, "{ip}");
            assert_eq!(carried_ip(ip, &[]), ip);
            let host = carried_network(IpNet::from(ip), &prefix);
            assert_eq!(host, IpNet::from(carried), "{ip}");
        }
    }

    #[test]
    fn a_network_of_carried_addresses_becomes_an_ipv4_network() {
        let cases = [
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.7/95", "::fffe:0:0/95"),
            ("64:ff9b::192.0.2.7/120", "192.0.2.0/24"),
            ("64:ff9b::/95", "64:ff9b::/95"),
            ("2002:c000:200::/40", "192.0.2.0/24"),
            ("2002:c000:207::/48", "192.0.2.7/32"),
            ("2002:c000:207:1::/64", "192.0.2.7/32"),
            ("2002::/15", "2002::/15"),
            ("::192.0.2.0/120", "192.0.2.0/24"),
            ("::/96", "::/96"),
            ("::/104", "::/104"),
            ("::1/128", "::1/128"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ];
        for (given, meant) in cases {
            let meant: IpNet = meant.parse().unwrap();
            assert_eq!(canonical_network(given.parse().unwrap()), meant, "{given}");
        }
    }

    #[test]
    fn a_network_in_a_configured_nat64_prefix_skips_the_byte_without_address() {
        let cases = [
            ("2001:db8:100::/40", "2001:db8:1c0::/48", "192.0.0.0/8"),
            ("2001:db8:100::/40", "2001:db8:1c0:2::/64", "192.0.2.0/24"),
            ("2001:db8:100::/40", "2001:db8:1c0:2::/68", "192.0.2.0/24"),
            ("2001:db8:100::/40", "2001:db8:1c0:2::/72", "192.0.2.0/24"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:20::/76", "192.0.2.32/28"),
            ("2001:db8:100::/40", "2001:db8:1c0:2:21::/128", "192.0.2.33/32"),
            ("2001:db8:122:344::/64", "2001:db8:122:344::/64", "0.0.0.0/0"),
        ];
        for (prefix, given, meant) in cases {
            let network = carried_network(given.parse().unwrap(), &[prefix.parse().unwrap()]);
            assert_eq!(network.to_string(), meant, "{given}");
        }
    }
}
