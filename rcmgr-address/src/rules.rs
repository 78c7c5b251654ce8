//! The rules that apply to an address: the most specific named network, else one rule for each
//! subnet size.

use std::net::IpAddr;

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use crate::subnet::{Address, MAPPED, shared_bits};
use crate::{NetworkLimit, NetworkRate, Rate, RateLimits, SubnetLimit, SubnetLimits, SubnetRate};

/// The maximum number of subnet sizes of an address family.
pub(crate) const MAX_SIZES: usize = SubnetLimits::MAX_SIZES;

/// The lists of a configuration that was checked, each with values (limits or rates).
pub(crate) struct Listed<V> {
    pub(crate) v4: Vec<(u8, V)>,
    pub(crate) v6: Vec<(u8, V)>,
    /// A network without a value is unlimited.
    pub(crate) v4_networks: Vec<(IpNet, Option<V>)>,
    pub(crate) v6_networks: Vec<(IpNet, Option<V>)>,
}

impl Listed<u64> {
    pub(crate) fn of_limits(limits: &SubnetLimits) -> Self {
        let sizes = |limits: &[SubnetLimit]| {
            let size = |limit: &SubnetLimit| (limit.prefix_len, limit.conns);
            limits.iter().map(size).collect()
        };
        let networks = |limits: &[NetworkLimit]| {
            let network = |limit: &NetworkLimit| (limit.network, limit.conns.number());
            limits.iter().map(network).collect()
        };
        Self {
            v4: sizes(&limits.v4),
            v6: sizes(&limits.v6),
            v4_networks: networks(&limits.v4_networks),
            v6_networks: networks(&limits.v6_networks),
        }
    }
}

impl Listed<Rate> {
    pub(crate) fn of_rates(rates: &RateLimits) -> Self {
        let sizes = |rates: &[SubnetRate]| {
            let size = |subnet: &SubnetRate| (subnet.prefix_len, subnet.rate);
            rates.iter().map(size).collect()
        };
        let networks = |rates: &[NetworkRate]| {
            let network = |rate: &NetworkRate| (rate.network, rate.rate);
            rates.iter().map(network).collect()
        };
        Self {
            v4: sizes(&rates.v4),
            v6: sizes(&rates.v6),
            v4_networks: networks(&rates.v4_networks),
            v6_networks: networks(&rates.v6_networks),
        }
    }
}

/// Where a value applies: to each subnet of one size, or to one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    V4(u8),
    V6(u8),
    Network(IpNet),
}

/// The rules in force, in the form that lookups use.
#[derive(Debug)]
pub(crate) struct Rules<T> {
    v4: Vec<Rule<T>>,
    v6: Vec<Rule<T>>,
    networks: JointPrefixMap<IpNet, Option<Rule<T>>>,
    named: FirstBytesOf,
}

/// No rules.
impl<T> Default for Rules<T> {
    fn default() -> Self {
        Self {
            v4: Vec::new(),
            v6: Vec::new(),
            networks: JointPrefixMap::new(),
            named: FirstBytesOf::default(),
        }
    }
}

/// How networks are brought to canonical form.
pub(crate) type Canonical<'a> = &'a dyn Fn(IpNet) -> IpNet;

/// The first bytes of some networks, by address family. Most addresses are in none of these
/// networks, and this spares them the lookup.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct FirstBytesOf {
    v4: FirstBytes,
    v6: FirstBytes,
}

impl FirstBytesOf {
    /// Adds a network in canonical form.
    pub(crate) fn add(&mut self, network: &IpNet) {
        match network {
            IpNet::V4(v4) => self.v4.add(v4.network().octets()[0], v4.prefix_len()),
            IpNet::V6(v6) => self.v6.add(v6.network().octets()[0], v6.prefix_len()),
        }
    }

    /// Adds the networks of another set.
    pub(crate) fn add_all(&mut self, other: &Self) {
        self.v4.add_all(&other.v4);
        self.v6.add_all(&other.v6);
    }

    /// Whether one of the networks may contain the address.
    #[inline]
    pub(crate) const fn may_contain(&self, address: Address) -> bool {
        let first = if address.is_v4() { &self.v4 } else { &self.v6 };
        first.contains(address.first_byte())
    }
}

/// A set of bytes.
#[derive(Debug, Default, Clone, Copy)]
struct FirstBytes([u64; 4]);

impl FirstBytes {
    fn add_all(&mut self, other: &Self) {
        let words = self.0.iter_mut().zip(other.0);
        words.for_each(|(word, other)| *word |= other);
    }

    fn add(&mut self, first: u8, prefix_len: u8) {
        let last = first | u8::MAX.checked_shr(prefix_len.into()).unwrap_or(0);
        for byte in first..=last {
            self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
        }
    }

    #[inline]
    const fn contains(&self, byte: u8) -> bool {
        self.0[(byte / 64) as usize] & 1 << (byte % 64) != 0
    }
}

/// A value for the subnets of one size, or for one network of that size.
#[derive(Debug)]
pub(crate) struct Rule<T> {
    /// The prefix length, in IPv6 bits.
    pub(crate) len: u8,
    pub(crate) value: T,
}

/// The rules for one address, most specific first.
#[derive(Debug)]
pub(crate) struct Applicable<'a, T> {
    pub(crate) rules: &'a [Rule<T>],
    /// Whether a named network decided. Then there is one rule, or none if the network is
    /// unlimited.
    pub(crate) by_network: bool,
}

// Not derived, because the values need not be `Copy`.
impl<T> Clone for Applicable<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Applicable<'_, T> {}

impl<T> Rules<T> {
    /// Converts each value with `make`.
    pub(crate) fn new<V>(
        listed: Listed<V>,
        canonical: Canonical<'_>,
        mut make: impl FnMut(Target, V) -> T,
    ) -> Self {
        // One map holds the networks of both families.
        let mut networks = JointPrefixMap::new();
        let mut named = FirstBytesOf::default();
        for (network, value) in listed.v4_networks.into_iter().chain(listed.v6_networks) {
            let network = canonical(network);
            let rule = value.map(|value| Rule {
                len: shared_bits(&network),
                value: make(Target::Network(network), value),
            });
            networks.insert(network, rule);
            named.add(&network);
        }
        Self {
            v4: sizes(listed.v4, MAPPED, |len, value| make(Target::V4(len), value)),
            v6: sizes(listed.v6, 0, |len, value| make(Target::V6(len), value)),
            networks,
            named,
        }
    }

    /// The first bytes of the named networks.
    pub(crate) const fn named(&self) -> &FirstBytesOf {
        &self.named
    }

    /// The rules for an address.
    #[inline]
    pub(crate) fn applicable(&self, address: Address) -> Applicable<'_, T> {
        if self.named.may_contain(address)
            && let Some(rules) = self.by_network(address)
        {
            return Applicable {
                rules,
                by_network: true,
            };
        }
        self.by_size(address)
    }

    /// The rules for an address that is in no named network.
    #[inline]
    pub(crate) fn by_size(&self, address: Address) -> Applicable<'_, T> {
        let rules = if address.is_v4() { &self.v4 } else { &self.v6 };
        Applicable {
            rules,
            by_network: false,
        }
    }

    /// The rule of the most specific network that contains the address, if there is one. The slice
    /// is empty if that network is unlimited.
    #[inline(never)]
    fn by_network(&self, address: Address) -> Option<&[Rule<T>]> {
        let ip = IpAddr::from(address);
        let (_, rule) = self.networks.get_lpm(&IpNet::from(ip))?;
        Some(rule.as_slice())
    }
}

/// The rules of one family, most specific first. `before` is the number of bits before the family's
/// addresses in IPv6 form.
fn sizes<V, T>(
    mut listed: Vec<(u8, V)>,
    before: u8,
    mut make: impl FnMut(u8, V) -> T,
) -> Vec<Rule<T>> {
    listed.sort_by_key(|&(len, _)| std::cmp::Reverse(len));
    let rule = |(prefix_len, value)| Rule {
        len: before + prefix_len,
        value: make(prefix_len, value),
    };
    listed.into_iter().map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_has_exactly_the_first_bytes_of_a_networks_addresses() {
        let cases = [
            (127, 8, 127..=127),
            (127, 32, 127..=127),
            (192, 2, 192..=255),
            (254, 7, 254..=255),
            (0, 0, 0..=255),
            (255, 128, 255..=255),
        ];
        for (first, prefix_len, bytes) in cases {
            let mut set = FirstBytes::default();
            set.add(first, prefix_len);
            for byte in 0..=255 {
                assert_eq!(
                    set.contains(byte),
                    bytes.contains(&byte),
                    "{first}/{prefix_len}"
                );
            }
        }
    }
}
