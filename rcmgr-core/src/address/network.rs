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

/// The prefixes of addresses that carry an IPv4 address: NAT64, 6to4, mapped and v4-compatible.
pub(super) const STANDARD_CARRIERS: [Ipv6Net; 4] = [
    Ipv6Net::new_assert(Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), LOW),
    Ipv6Net::new_assert(Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), SIX_TO_FOUR),
    Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), LOW),
    Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, LOW),
];

/// 0.0.0.0/8 and 127.0.0.0/8. An address that comes from the network must not count as one of these,
/// so only a mapped address can carry one.
const THIS_MACHINE: [Ipv4Net; 2] = [
    Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 8),
    Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8),
];

/// The prefix lengths that RFC 6052 allows for NAT64.
pub(super) const NAT64_LENGTHS: [u8; 6] = [32, 40, 48, 56, 64, 96];

/// The address that a remote counts as: the IPv4 address that an IPv6 address carries, else the
/// address itself. So a client is one client, whichever way it comes.
///
/// | carries an IPv4 address | as in |
/// | --- | --- |
/// | IPv4-mapped, `::ffff:0:0/96` | `::ffff:192.0.2.7` |
/// | NAT64, `64:ff9b::/96` | `64:ff9b::192.0.2.7` |
/// | 6to4, `2002::/16` | `2002:c000:207::1` |
/// | IPv4-compatible, `::/96` | `::192.0.2.7` |
///
/// Only a mapped address can carry an address of `127.0.0.0/8` or `0.0.0.0/8`: the other three come
/// from the network, and must not count as this machine. So `::1` and `::` stay as they are.
///
/// [`canonical_ip_with`] knows other prefixes of NAT64, which can be configured.
///
/// ```
/// use std::net::IpAddr;
/// use rcmgr_core::canonical_ip;
///
/// let client: IpAddr = "192.0.2.7".parse()?;
/// for text in ["::ffff:192.0.2.7", "64:ff9b::c000:207", "2002:c000:207::1", "::192.0.2.7"] {
///     assert_eq!(canonical_ip(text.parse()?), client);
/// }
/// for text in ["2001:db8::7", "::1", "::", "64:ff9b::127.0.0.1"] {
///     assert_eq!(canonical_ip(text.parse()?), text.parse::<IpAddr>()?);
/// }
/// # Ok::<(), std::net::AddrParseError>(())
/// ```
#[must_use]
#[inline]
pub const fn canonical_ip(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else {
        return ip;
    };
    match standard_carrier(v6) {
        Some(carrier) => carrier.canonical_ip(v6),
        None => ip,
    }
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
    canonical_network_with(network, &[])
}

/// As [`canonical_ip`], with these prefixes of NAT64 besides the well-known one, for example
/// [`AddressConfig::nat64`](super::AddressConfig::nat64). Their lengths must be those of RFC 6052.
///
/// ```
/// use rcmgr_core::address::canonical_ip_with;
///
/// let nat64 = ["2001:db8:64::/96".parse()?];
/// let behind_the_gateway = "2001:db8:64::192.0.2.7".parse()?;
/// assert_eq!(canonical_ip_with(behind_the_gateway, &nat64).to_string(), "192.0.2.7");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
#[inline]
pub fn canonical_ip_with(ip: IpAddr, nat64: &[Ipv6Net]) -> IpAddr {
    let IpAddr::V6(v6) = ip else {
        return ip;
    };
    carrier(v6, nat64).map_or(ip, |carrier| carrier.canonical_ip(v6))
}

/// As [`canonical_network`], with these prefixes of NAT64 besides the well-known one. Their lengths
/// must be those of RFC 6052.
///
/// ```
/// use rcmgr_core::address::canonical_network_with;
///
/// let nat64 = ["2001:db8:64::/96".parse()?];
/// let behind_the_gateway = "2001:db8:64::192.0.2.0/120".parse()?;
/// assert_eq!(canonical_network_with(behind_the_gateway, &nat64).to_string(), "192.0.2.0/24");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn canonical_network_with(network: IpNet, nat64: &[Ipv6Net]) -> IpNet {
    let network = network.trunc();
    match carried_network(network, nat64) {
        Some((carrier, carried))
            if carrier.is_mapped || !THIS_MACHINE.iter().any(overlaps(carried)) =>
        {
            carried.into()
        }
        _ => network,
    }
}

/// Whether only some of the network's addresses carry an IPv4 address, because others would carry
/// one of this machine. Such a network names hardly any address.
pub(super) fn is_carried_in_part(network: IpNet, nat64: &[Ipv6Net]) -> bool {
    let carried = carried_network(network.trunc(), nat64);
    carried.is_some_and(|(carrier, carried)| {
        let within = THIS_MACHINE.iter().any(|own| own.contains(&carried));
        !carrier.is_mapped && !within && THIS_MACHINE.iter().any(overlaps(carried))
    })
}

fn overlaps(network: Ipv4Net) -> impl Fn(&Ipv4Net) -> bool {
    move |own| own.contains(&network) || network.contains(own)
}

/// The IPv4 network that a network of IPv6 addresses carries, whether or not it counts as it.
fn carried_network(network: IpNet, nat64: &[Ipv6Net]) -> Option<(Carrier, Ipv4Net)> {
    let IpNet::V6(v6) = network else {
        return None;
    };
    let carrier = carrier(v6.network(), nat64)?;
    if v6.prefix_len() < carrier.prefix_len {
        return None;
    }
    let bits = joined_bits(v6.prefix_len()) - joined_bits(carrier.prefix_len);
    let carried = Ipv4Net::new_assert(carrier.carried(v6.network()), bits.min(32));
    Some((carrier, carried.trunc()))
}

/// A kind of IPv6 addresses that carry an IPv4 address.
#[derive(Debug, Clone, Copy)]
struct Carrier {
    /// The number of bits before the IPv4 address.
    prefix_len: u8,
    is_mapped: bool,
}

impl Carrier {
    const fn new(prefix_len: u8) -> Self {
        Self {
            prefix_len,
            is_mapped: false,
        }
    }

    /// The IPv4 address behind the prefix. Bits 64 to 71 hold none of it (RFC 6052).
    #[inline]
    const fn carried(self, ip: Ipv6Addr) -> Ipv4Addr {
        let bits = ip.to_bits();
        // The 120 bits without that byte.
        let joined = bits >> 64 << 56 | bits & ((1 << 56) - 1);
        Ipv4Addr::from_bits((joined >> (88 - joined_bits(self.prefix_len))) as u32)
    }

    #[inline]
    const fn canonical_ip(self, ip: Ipv6Addr) -> IpAddr {
        let carried = self.carried(ip);
        match carried.octets()[0] {
            0 | 127 if !self.is_mapped => IpAddr::V6(ip),
            _ => IpAddr::V4(carried),
        }
    }
}

#[inline]
fn carrier(ip: Ipv6Addr, nat64: &[Ipv6Net]) -> Option<Carrier> {
    standard_carrier(ip).or_else(|| {
        let configured = nat64.iter().find(|prefix| prefix.contains(&ip));
        configured.map(|prefix| Carrier::new(prefix.prefix_len()))
    })
}

/// The kind of an address, except for configured prefixes of NAT64.
#[inline]
const fn standard_carrier(ip: Ipv6Addr) -> Option<Carrier> {
    let bits = ip.to_bits();
    let (high, low) = ((bits >> 64) as u64, bits as u64);
    match (high, low >> 32) {
        (0, 0xffff) => Some(Carrier {
            prefix_len: LOW,
            is_mapped: true,
        }),
        (0 | WELL_KNOWN_NAT64, 0) => Some(Carrier::new(LOW)),
        _ if high >> 48 == 0x2002 => Some(Carrier::new(SIX_TO_FOUR)),
        _ => None,
    }
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
            ("64:ff9b::", "64:ff9b::"),
            ("64:ff9b::127.0.0.1", "64:ff9b::7f00:1"),
            ("2002:7f00:1::1", "2002:7f00:1::1"),
            ("::127.0.0.1", "::7f00:1"),
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
            assert_eq!(canonical_ip_with(ip, &prefix), carried, "{ip}");
            assert_eq!(canonical_ip_with(ip, &[]), ip);
            let host = canonical_network_with(IpNet::from(ip), &prefix);
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
            ("2002::/16", "2002::/16"),
            ("2002:8000::/17", "128.0.0.0/1"),
            ("2002:7f00::/24", "2002:7f00::/24"),
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
            (
                "2001:db8:100::/40",
                "2001:db8:1c0:2:20::/76",
                "192.0.2.32/28",
            ),
            (
                "2001:db8:100::/40",
                "2001:db8:1c0:2:21::/128",
                "192.0.2.33/32",
            ),
            (
                "2001:db8:122:344::/64",
                "2001:db8:122:344:80::/73",
                "128.0.0.0/1",
            ),
        ];
        for (prefix, given, meant) in cases {
            let network =
                canonical_network_with(given.parse().unwrap(), &[prefix.parse().unwrap()]);
            assert_eq!(network.to_string(), meant, "{given}");
        }
    }
}
