use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How many bits of an IPv4-mapped IPv6 address come before the IPv4 address.
const MAPPED: u8 = 96;

/// A subnet as a key: small, and quick to hash.
///
/// IPv4 is kept as IPv4-mapped IPv6. No IPv6 address can meet it there, since those that are
/// mapped are taken for IPv4 before a key is made.
// Words, not bytes: reading parts of what was just written as bytes stalls the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet {
    high: u64,
    low: u64,
    rule: u32,
    len: u8,
}

impl Subnet {
    /// All addresses, of both families.
    pub(super) const ALL: Self = Self {
        high: 0,
        low: 0,
        rule: 0,
        len: 0,
    };

    /// The subnet of that size (in the address's own family) around a canonical address.
    #[inline]
    pub(super) fn around(ip: IpAddr, prefix_len: u8) -> Self {
        match ip {
            IpAddr::V4(ip) => {
                let mask = u64::MAX << (32 - prefix_len);
                Self {
                    high: 0,
                    low: 0xffff << 32 | u64::from(ip.to_bits()) & mask,
                    rule: 0,
                    len: MAPPED + prefix_len,
                }
            }
            IpAddr::V6(ip) => Self::new(ip.to_bits(), prefix_len),
        }
    }

    #[inline]
    fn new(bits: u128, len: u8) -> Self {
        let mask = u128::MAX.checked_shl(u32::from(128 - len)).unwrap_or(0);
        let bits = bits & mask;
        Self {
            high: (bits >> 64) as u64,
            low: bits as u64,
            rule: 0,
            len,
        }
    }

    /// The same subnet, told from those of other rules. Without this its rule is 0.
    #[inline]
    pub(super) const fn of_rule(self, rule: u32) -> Self {
        Self { rule, ..self }
    }

    pub(super) const fn rule(self) -> u32 {
        self.rule
    }

    /// The subnet of this length (as [`len`](Self::len) gives it) around this one.
    #[inline]
    pub(super) fn widened(self, len: u8) -> Self {
        Self::new(self.bits(), len)
    }

    /// The prefix length, counted in IPv6 bits.
    pub(super) const fn len(self) -> u8 {
        self.len
    }

    const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }
}

/// Without the rule, so that one hash does for all.
impl Hash for Subnet {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.bits());
        state.write_u8(self.len);
    }
}

impl From<Subnet> for IpNet {
    fn from(subnet: Subnet) -> Self {
        let ip = Ipv6Addr::from_bits(subnet.bits());
        match ip.to_ipv4_mapped() {
            Some(ip) if subnet.len >= MAPPED => Ipv4Net::new_assert(ip, subnet.len - MAPPED).into(),
            _ => Ipv6Net::new_assert(ip, subnet.len).into(),
        }
    }
}

/// The network without host bits, and as one of IPv4 where all of it stands for IPv4 addresses.
pub(super) fn canonical(network: IpNet) -> IpNet {
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
    fn a_subnet_reads_as_the_network_it_is() {
        let cases = [
            ("192.0.2.7", 32, "192.0.2.7/32"),
            ("192.0.2.7", 24, "192.0.2.0/24"),
            ("192.0.2.7", 0, "0.0.0.0/0"),
            ("2001:db8:0:1ff::7", 56, "2001:db8:0:100::/56"),
            ("2001:db8::7", 128, "2001:db8::7/128"),
            ("2001:db8::7", 0, "::/0"),
        ];
        for (ip, len, network) in cases {
            let subnet = Subnet::around(ip.parse().unwrap(), len);
            assert_eq!(IpNet::from(subnet).to_string(), network);
        }
    }

    #[test]
    fn a_network_of_mapped_addresses_is_one_of_ipv4() {
        let cases = [
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:192.0.2.7/96", "0.0.0.0/0"),
            ("::ffff:192.0.2.7/95", "::fffe:0:0/95"),
            ("10.1.2.3/8", "10.0.0.0/8"),
        ];
        for (given, meant) in cases {
            assert_eq!(canonical(given.parse().unwrap()).to_string(), meant);
        }
    }
}
