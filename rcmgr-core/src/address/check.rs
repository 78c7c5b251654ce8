//! Checks the lists of a configuration: subnet sizes, networks, and prefixes of NAT64.

use std::collections::{HashMap, HashSet};

use ipnet::{IpNet, Ipv6Net};

use super::network::{
    NAT64_LENGTHS, STANDARD_CARRIERS, canonical_network_with, is_carried_in_part,
};
use crate::BadConfiguration;

/// The maximum number of subnet sizes of an address family.
pub(super) const MAX_SIZES: usize = 8;

/// The lists of a configuration, for their errors under its name.
pub(super) struct Lists<'a> {
    /// The name of the configuration: `subnets` or `rates`.
    pub(super) name: &'static str,
    /// The prefix lengths of each family.
    pub(super) v4: Vec<u8>,
    pub(super) v6: Vec<u8>,
    pub(super) v4_networks: Vec<IpNet>,
    pub(super) v6_networks: Vec<IpNet>,
    /// Prefixes of NAT64 that are configured.
    pub(super) nat64: &'a [Ipv6Net],
}

impl Lists<'_> {
    /// # Errors
    ///
    /// If a prefix is longer than the family's addresses, a size or a network is listed twice, a
    /// family has more than [`MAX_SIZES`] sizes, or a network is of the other family.
    pub(super) fn check(self) -> Result<(), BadConfiguration> {
        let name = self.name;
        check_sizes(&format!("{name}.v4"), &self.v4, 32)?;
        check_sizes(&format!("{name}.v6"), &self.v6, 128)?;
        // A network of IPv6 addresses may be an IPv4 network of the other list.
        let mut networks = Networks::new(self.nat64);
        for (family, listed) in [("v4", self.v4_networks), ("v6", self.v6_networks)] {
            let field = format!("{name}.{family}_networks");
            for given in listed {
                let network = networks.add(&field, given)?;
                let is_v4 = |network: &IpNet| matches!(network, IpNet::V4(_));
                let wanted = family == "v4";
                if is_v4(&given) != wanted && is_v4(&network) != wanted {
                    let family = if wanted { "IPv4" } else { "IPv6" };
                    return Err(bad(&field, format!("{given} is not an {family} network")));
                }
            }
        }
        Ok(())
    }
}

/// Networks in canonical form, to find those that are listed twice.
struct Networks<'a> {
    nat64: &'a [Ipv6Net],
    /// Each network, and how it was written.
    seen: HashMap<IpNet, IpNet>,
}

impl<'a> Networks<'a> {
    fn new(nat64: &'a [Ipv6Net]) -> Self {
        Self {
            nat64,
            seen: HashMap::new(),
        }
    }

    /// Adds a network of this field. Returns its canonical form.
    fn add(&mut self, field: &str, given: IpNet) -> Result<IpNet, BadConfiguration> {
        if is_carried_in_part(given, self.nat64) {
            let reason = format!(
                "addresses in {given} count as the IPv4 addresses that they carry: name IPv4 networks"
            );
            return Err(bad(field, reason));
        }
        let network = canonical_network_with(given, self.nat64);
        match self.seen.insert(network, given) {
            None => Ok(network),
            Some(before) if before == given => Err(bad(field, format!("{given} is listed twice"))),
            Some(before) => {
                let reason = format!("{network} is listed twice, as {before} and as {given}");
                Err(bad(field, reason))
            }
        }
    }
}

/// Checks the trusted networks.
pub(super) fn check_trusted(trusted: &[IpNet], nat64: &[Ipv6Net]) -> Result<(), BadConfiguration> {
    let mut networks = Networks::new(nat64);
    let mut trusted = trusted.iter();
    trusted.try_for_each(|&network| networks.add("trusted", network).map(drop))
}

/// Checks the prefixes of NAT64. An address must not carry two IPv4 addresses.
pub(super) fn check_nat64(prefixes: &[Ipv6Net]) -> Result<(), BadConfiguration> {
    let field = "nat64";
    let well_known = STANDARD_CARRIERS[0];
    for (at, given) in prefixes.iter().enumerate() {
        let prefix = given.trunc();
        if !NAT64_LENGTHS.contains(&prefix.prefix_len()) {
            let [others @ .., last] = NAT64_LENGTHS.map(|len| len.to_string());
            let reason = format!(
                "{given} has a prefix of {} bits; a NAT64 prefix has {} or {last} (RFC 6052)",
                prefix.prefix_len(),
                others.join(", "),
            );
            return Err(bad(field, reason));
        }
        let mut before = prefixes[..at].iter().map(Ipv6Net::trunc);
        if before.any(|other| other == prefix) {
            return Err(bad(field, format!("{prefix} is listed twice")));
        }
        let standard = STANDARD_CARRIERS
            .into_iter()
            .filter(|_| prefix != well_known);
        let before = prefixes[..at].iter().map(Ipv6Net::trunc).chain(standard);
        let overlaps = |other: &Ipv6Net| other.contains(&prefix) || prefix.contains(other);
        if let Some(other) = before.into_iter().find(overlaps) {
            let reason = format!("{given} overlaps {other}, where addresses carry other bits");
            return Err(bad(field, reason));
        }
    }
    Ok(())
}

pub(super) fn bad(field: &str, reason: String) -> BadConfiguration {
    BadConfiguration {
        field: field.to_owned(),
        reason,
        ..BadConfiguration::default()
    }
}

fn check_sizes(field: &str, sizes: &[u8], longest: u8) -> Result<(), BadConfiguration> {
    if sizes.len() > MAX_SIZES {
        let reason = format!(
            "{} subnet sizes are listed, at most {MAX_SIZES} are allowed",
            sizes.len()
        );
        return Err(bad(field, reason));
    }
    let mut seen = HashSet::new();
    for &len in sizes {
        if len > longest {
            let reason = format!("prefix length {len} is too long, the longest is {longest}");
            return Err(bad(field, reason));
        }
        if !seen.insert(len) {
            return Err(bad(field, format!("prefix length {len} is listed twice")));
        }
    }
    Ok(())
}
