//! Addresses and subnets as map keys, in one form for IPv4 and IPv6.

use std::hash::{Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use rcmgr_core::{Endpoint, canonical_ip};

/// The number of bits before the IPv4 address in an IPv4-mapped IPv6 address.
pub(crate) const MAPPED: u8 = 96;

/// The first ten bits of a link-local address, fe80::/10.
const LINK_LOCAL: u64 = 0xfe80 << 48;
const LINK_LOCAL_BITS: u32 = 10;

/// A canonical address, as two words.
///
/// An IPv4 address is stored as IPv4-mapped IPv6. It cannot collide with another IPv6 address,
/// because a mapped address counts as the IPv4 address.
///
/// A link-local address holds its zone in bits 10 to 41, which are zero on every link (RFC 4291).
// Words, not bytes: reading a word that was just written as bytes stalls the processor (failed
// store forwarding).
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
    const fn v4(ip: Ipv4Addr) -> Self {
        Self {
            high: 0,
            low: 0xffff << 32 | ip.to_bits() as u64,
        }
    }

    /// An address that carries no IPv4 address, with its zone; 0 is no zone.
    #[inline]
    const fn v6(ip: Ipv6Addr, zone: u32) -> Self {
        let mut address = Self::from_bits(ip.to_bits());
        if address.is_link_local() {
            // The lowest bits of the zone come first: then small zones differ in wide subnets too.
            let zone = (zone.reverse_bits() as u64) << (32 - LINK_LOCAL_BITS);
            address.high = LINK_LOCAL | zone;
        }
        address
    }

    /// The address of an endpoint, if it has one. `canonical` gives the address that an IPv6
    /// address counts as.
    #[inline(always)]
    pub(crate) fn of(endpoint: Endpoint, canonical: impl FnOnce(IpAddr) -> IpAddr) -> Option<Self> {
        let (ip, zone) = match endpoint {
            Endpoint::None => return None,
            Endpoint::Ip(IpAddr::V4(ip)) => return Some(Self::v4(ip)),
            Endpoint::Ip(IpAddr::V6(ip)) => (ip, 0),
            Endpoint::Socket(SocketAddr::V4(socket)) => return Some(Self::v4(*socket.ip())),
            Endpoint::Socket(SocketAddr::V6(socket)) => (*socket.ip(), socket.scope_id()),
        };
        Some(match canonical(ip.into()) {
            IpAddr::V4(ip) => Self::v4(ip),
            IpAddr::V6(ip) => Self::v6(ip, zone),
        })
    }

    #[inline]
    const fn is_link_local(self) -> bool {
        self.high >> (64 - LINK_LOCAL_BITS) == LINK_LOCAL >> (64 - LINK_LOCAL_BITS)
    }

    /// The address as the network has it: a link-local address without its zone.
    pub(crate) const fn without_zone(self) -> Self {
        match self.is_link_local() {
            true => Self {
                high: LINK_LOCAL,
                ..self
            },
            false => self,
        }
    }

    #[inline]
    pub(crate) const fn is_v4(self) -> bool {
        self.high == 0 && self.low >> 32 == 0xffff
    }

    /// The first byte of the address in its own family.
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
        match canonical_ip(ip) {
            IpAddr::V4(ip) => Self::v4(ip),
            IpAddr::V6(ip) => Self::v6(ip, 0),
        }
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from_bits(address.without_zone().bits()).to_canonical()
    }
}

/// The number of bits that a network's addresses share, in IPv6 bits as in [`Address`].
pub(crate) const fn shared_bits(network: &IpNet) -> u8 {
    match network {
        IpNet::V4(network) => MAPPED + network.prefix_len(),
        IpNet::V6(network) => network.prefix_len(),
    }
}

/// A subnet as a key: small and fast to hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subnet {
    /// The lowest address of the subnet.
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

    /// The subnet that contains an address, with a prefix length in IPv6 bits.
    #[inline]
    pub(crate) fn containing(address: Address, len: u8) -> Self {
        let mask = u128::MAX.checked_shl(u32::from(128 - len)).unwrap_or(0);
        Self {
            address: Address::from_bits(address.bits() & mask),
            rule: 0,
            len,
        }
    }

    /// The subnet that stands for an address where no rule tells its size: an IPv4 address, or an
    /// IPv6 /64.
    pub(crate) fn typical(address: Address) -> Self {
        Self::containing(address, if address.is_v4() { 128 } else { 64 })
    }

    /// The same subnet as a key of this rule. The default rule is 0.
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

    /// The prefix length, in IPv6 bits.
    pub(crate) const fn len(self) -> u8 {
        self.len
    }
}

/// Without the rule, so that one hash serves all rules of a subnet.
impl Hash for Subnet {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.address.bits());
        state.write_u8(self.len);
    }
}

impl From<Subnet> for IpNet {
    fn from(subnet: Subnet) -> Self {
        let ip = Ipv6Addr::from_bits(subnet.address.without_zone().bits());
        match ip.to_ipv4_mapped() {
            Some(ip) if subnet.len >= MAPPED => Ipv4Net::new_assert(ip, subnet.len - MAPPED).into(),
            _ => Ipv6Net::new_assert(ip, subnet.len).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_converts_to_its_network() {
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
            let subnet = Subnet::containing(ip.into(), shared_bits(&IpNet::new(ip, len).unwrap()));
            assert_eq!(IpNet::from(subnet), network);
        }
    }

    #[test]
    fn a_link_local_address_differs_in_each_zone_and_is_shown_without_it() {
        let address = |text: &str| {
            let socket: SocketAddr = text.parse().unwrap();
            Address::of(socket.into(), canonical_ip).unwrap()
        };
        let zones = [0, 1, 2, 3, 4, 1 << 16, u32::MAX];
        let one = zones.map(|zone| address(&format!("[fe80::7%{zone}]:1")));
        for (at, zoned) in one.iter().enumerate() {
            assert!(!one[..at].contains(zoned));
            assert_eq!(IpAddr::from(*zoned), "fe80::7".parse::<IpAddr>().unwrap());
            for len in [64, 128] {
                let network = IpNet::from(Subnet::containing(*zoned, len));
                assert_eq!(network.addr(), network.network());
                assert!(network.contains(&"fe80::7".parse::<IpAddr>().unwrap()));
            }
        }
        // Zones differ in the usual subnets too.
        let wide = |address| Subnet::containing(address, 48);
        assert_ne!(wide(one[1]), wide(one[2]));
        // Other addresses have no zone.
        assert_eq!(address("[2001:db8::7%2]:1"), address("[2001:db8::7]:1"));
    }
}
