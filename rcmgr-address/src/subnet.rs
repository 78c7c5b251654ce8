//! Addresses and subnets as keys of maps, in one form for IPv4 and IPv6.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// How many bits of an IPv4-mapped IPv6 address come before the IPv4 address.
pub(crate) const MAPPED: u8 = 96;

/// A canonical address, as two words.
///
/// IPv4 is kept as IPv4-mapped IPv6. No IPv6 address can meet it there, since those that are mapped
/// stand for the IPv4 addresses that they are.
// Words, not bytes: reading parts of what was just written as bytes stalls the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address {
    high: u64,
    low: u64,
}

impl Address {
    #[inline]
    pub(crate) const fn from_bits(bits: u128) -> Self {
        Self {
            high: (bits >> 64) as u64,
            low: bits as u64,
        }
    }

    #[inline]
    pub(crate) const fn bits(self) -> u128 {
        (self.high as u128) << 64 | self.low as u128
    }

    #[inline]
    pub(crate) const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == 0xffff
    }

    /// What it begins with, in its own family.
    #[inline]
    pub(crate) const fn first_byte(self) -> u8 {
        if self.is_v4() {
            (self.low >> 24) as u8
        } else {
            (self.high >> 56) as u8
        }
    }
}

impl From<IpAddr> for Address {
    #[inline]
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self {
                high: 0,
                low: 0xffff << 32 | u64::from(ip.to_bits()),
            },
            IpAddr::V6(ip) => Self::from_bits(ip.to_bits()),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from_bits(address.bits()).to_canonical()
    }
}

/// How many bits a network's addresses share, counted as [`Address`] keeps them: in IPv6 bits.
pub(crate) const fn shared_bits(network: &IpNet) -> u8 {
    match network {
        IpNet::V4(network) => MAPPED + network.prefix_len(),
        IpNet::V6(network) => network.prefix_len(),
    }
}

/// A subnet as a key: small, and quick to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// The lowest one.
    address: Address,
    rule: u32,
    len: u8,
}

impl Subnet {
    /// All addresses, of both families.
    pub(crate) const ALL: Self = Self {
        address: Address::from_bits(0),
        rule: 0,
        len: 0,
    };

    /// The subnet of that size, in IPv6 bits, around an address.
    #[inline]
    pub(crate) fn around(address: Address, len: u8) -> Self {
        let mask = u128::MAX.checked_shl(u32::from(128 - len)).unwrap_or(0);
        Self {
            address: Address::from_bits(address.bits() & mask),
            rule: 0,
            len,
        }
    }

    /// The same subnet, told from those of other rules. Without this its rule is 0.
    #[inline]
    pub(crate) const fn of_rule(self, rule: u32) -> Self {
        Self { rule, ..self }
    }

    pub(crate) const fn rule(self) -> u32 {
        self.rule
    }

    /// The lowest address.
    pub(crate) const fn address(self) -> Address {
        self.address
    }

    /// The prefix length, counted in IPv6 bits.
    pub(crate) const fn len(self) -> u8 {
        self.len
    }
}

/// Without the rule, so that one hash does for all.
impl Hash for Subnet {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.address.bits());
        state.write_u8(self.len);
    }
}

impl From<Subnet> for IpNet {
    fn from(subnet: Subnet) -> Self {
        let ip = Ipv6Addr::from_bits(subnet.address.bits());
        match ip.to_ipv4_mapped() {
            Some(ip) if subnet.len >= MAPPED => Ipv4Net::new_assert(ip, subnet.len - MAPPED).into(),
            _ => Ipv6Net::new_assert(ip, subnet.len).into(),
        }
    }
}

/// The network without host bits, and as one of IPv4 where all of it stands for IPv4 addresses.
pub(crate) fn canonical(network: IpNet) -> IpNet {
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
            let ip: IpAddr = ip.parse().unwrap();
            let network: IpNet = network.parse().unwrap();
            let subnet = Subnet::around(ip.into(), shared_bits(&IpNet::new(ip, len).unwrap()));
            assert_eq!(IpNet::from(subnet), network);
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
