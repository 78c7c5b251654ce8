//! The IPv4 address that an IPv6 address carries.

use std::net::{IpAddr, Ipv4Addr};

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
#[inline]
pub const fn canonical_ip(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else {
        return ip;
    };
    let octets = v6.octets();
    let (is_mapped, [a, b, c, d]) = match octets {
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d] => (true, [a, b, c, d]),
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0x20, 0x02, a, b, c, d, ..] => (false, [a, b, c, d]),
        _ => return ip,
    };
    if !is_mapped && matches!(a, 0 | 127) {
        return ip;
    }
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_carries_no_ipv4_address_stays_as_it_is() {
        let addresses = [
            "192.0.2.7",
            "2001:db8::7",
            "fe80::7",
            // The prefixes end where their documents say.
            "64:ff9b:0:0:0:1:192.0.2.7",
            "64:ff9b:1::192.0.2.7",
            "::fffe:192.0.2.7",
            "::1:ffff:192.0.2.7",
            "2003:c000:207::1",
            "::0.255.255.255",
            "2002:7f00:1::1",
            "::127.0.0.1",
        ];
        for text in addresses {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(canonical_ip(ip), ip, "{text}");
        }
    }

    #[test]
    fn a_mapped_address_carries_any_ipv4_address() {
        for text in ["127.0.0.1", "0.0.0.0", "255.255.255.255"] {
            let v4: Ipv4Addr = text.parse().unwrap();
            assert_eq!(canonical_ip(v4.to_ipv6_mapped().into()), IpAddr::V4(v4));
        }
    }
}
