use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::joint::JointPrefixMap;

use crate::BadConfiguration;

use super::subnet::canonical;

/// The most subnet sizes that a family may have.
pub(super) const MAX_SIZES: usize = 8;

/// 127.0.0.0/8 and ::1/128, which the defaults leave unlimited.
pub(super) const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// What a configuration lists, a value (a limit, a rate) each.
pub(super) struct Listed<V> {
    /// Which configuration it is, for errors.
    pub(super) name: &'static str,
    pub(super) v4: Vec<(u8, V)>,
    pub(super) v6: Vec<(u8, V)>,
    /// A network without a value is unlimited.
    pub(super) v4_networks: Vec<(IpNet, Option<V>)>,
    pub(super) v6_networks: Vec<(IpNet, Option<V>)>,
}

/// Where a value applies: to each subnet of a size, or to one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum At {
    V4(u8),
    V6(u8),
    Network(IpNet),
}

/// What is in force for which addresses, ready to be looked up.
#[derive(Debug)]
pub(super) struct Rules<T> {
    v4: Vec<Rule<T>>,
    v6: Vec<Rule<T>>,
    networks: JointPrefixMap<IpNet, Option<Rule<T>>>,
}

/// A value for the subnets of one size, or for one network of it.
#[derive(Debug)]
pub(super) struct Rule<T> {
    pub(super) prefix_len: u8,
    pub(super) value: T,
}

/// The rules for one address, most specific first.
pub(super) struct Applying<'a, T> {
    pub(super) rules: &'a [Rule<T>],
    /// Whether a network prefix decided: then there is one rule, or none if it is unlimited.
    pub(super) by_network: bool,
}

impl<T> Rules<T> {
    /// Checks what is listed, and makes what each value becomes.
    ///
    /// # Errors
    ///
    /// If a prefix is longer than the family's addresses, a size or a network is there twice, a
    /// family has more than [`MAX_SIZES`], or a network is of the other family.
    pub(super) fn new<V>(
        listed: Listed<V>,
        mut make: impl FnMut(At, V) -> T,
    ) -> Result<Self, BadConfiguration> {
        let Listed { name, .. } = listed;
        check_sizes(&format!("{name}.v4"), &listed.v4, 32)?;
        check_sizes(&format!("{name}.v6"), &listed.v6, 128)?;
        check_networks(&format!("{name}.v4_networks"), &listed.v4_networks, true)?;
        check_networks(&format!("{name}.v6_networks"), &listed.v6_networks, false)?;

        let mut networks = JointPrefixMap::new();
        for (network, value) in listed.v4_networks.into_iter().chain(listed.v6_networks) {
            let network = canonical(network);
            let rule = value.map(|value| Rule {
                prefix_len: network.prefix_len(),
                value: make(At::Network(network), value),
            });
            networks.insert(network, rule);
        }
        Ok(Self {
            v4: sizes(listed.v4, |len, value| make(At::V4(len), value)),
            v6: sizes(listed.v6, |len, value| make(At::V6(len), value)),
            networks,
        })
    }

    /// The rules for a canonical address.
    #[inline]
    pub(super) fn applying(&self, ip: IpAddr) -> Applying<'_, T> {
        if let Some((_, rule)) = self.networks.get_lpm(&IpNet::from(ip)) {
            return Applying {
                rules: rule.as_slice(),
                by_network: true,
            };
        }
        let rules = match ip {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => &self.v6,
        };
        Applying {
            rules,
            by_network: false,
        }
    }
}

fn sizes<V, T>(mut listed: Vec<(u8, V)>, mut make: impl FnMut(u8, V) -> T) -> Vec<Rule<T>> {
    listed.sort_by_key(|&(len, _)| std::cmp::Reverse(len));
    let rule = |(prefix_len, value)| Rule {
        prefix_len,
        value: make(prefix_len, value),
    };
    listed.into_iter().map(rule).collect()
}

pub(super) fn bad(field: &str, reason: String) -> BadConfiguration {
    BadConfiguration {
        field: field.to_owned(),
        reason,
        ..BadConfiguration::default()
    }
}

fn check_sizes<V>(field: &str, sizes: &[(u8, V)], longest: u8) -> Result<(), BadConfiguration> {
    if sizes.len() > MAX_SIZES {
        let reason = format!(
            "{} subnet sizes, at most {MAX_SIZES} are possible",
            sizes.len()
        );
        return Err(bad(field, reason));
    }
    let mut seen = HashSet::new();
    for &(len, _) in sizes {
        if len > longest {
            let reason = format!("prefix length {len}, the longest is {longest}");
            return Err(bad(field, reason));
        }
        if !seen.insert(len) {
            return Err(bad(field, format!("prefix length {len} is there twice")));
        }
    }
    Ok(())
}

fn check_networks<V>(
    field: &str,
    networks: &[(IpNet, V)],
    v4: bool,
) -> Result<(), BadConfiguration> {
    let mut seen = HashSet::new();
    for &(given, _) in networks {
        let network = canonical(given);
        if matches!(network, IpNet::V4(_)) != v4 {
            let family = if v4 { "IPv4" } else { "IPv6" };
            return Err(bad(field, format!("{given} is no network of {family}")));
        }
        if !seen.insert(network) {
            return Err(bad(field, format!("{network} is there twice")));
        }
    }
    Ok(())
}
