//! What subnet limits and rates have in common when they are checked: lists of subnet sizes and of
//! networks.

use std::collections::HashSet;

use ipnet::IpNet;

use super::network::canonical_network;
use crate::BadConfiguration;

/// The maximum number of subnet sizes of an address family.
pub(super) const MAX_SIZES: usize = 8;

/// The lists of a configuration, for their errors under its name.
pub(super) struct Lists {
    /// The name of the configuration: `subnets` or `rates`.
    pub(super) name: &'static str,
    /// The prefix lengths of each family.
    pub(super) v4: Vec<u8>,
    pub(super) v6: Vec<u8>,
    pub(super) v4_networks: Vec<IpNet>,
    pub(super) v6_networks: Vec<IpNet>,
}

impl Lists {
    /// # Errors
    ///
    /// If a prefix is longer than the family's addresses, a size or a network is listed twice, a
    /// family has more than [`MAX_SIZES`] sizes, or a network is of the other family.
    pub(super) fn check(self) -> Result<(), BadConfiguration> {
        let name = self.name;
        check_sizes(&format!("{name}.v4"), &self.v4, 32)?;
        check_sizes(&format!("{name}.v6"), &self.v6, 128)?;
        check_networks(&format!("{name}.v4_networks"), &self.v4_networks, true)?;
        check_networks(&format!("{name}.v6_networks"), &self.v6_networks, false)
    }
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

fn check_networks(field: &str, networks: &[IpNet], v4: bool) -> Result<(), BadConfiguration> {
    let mut seen = HashSet::new();
    for &given in networks {
        let network = canonical_network(given);
        if matches!(network, IpNet::V4(_)) != v4 {
            let family = if v4 { "IPv4" } else { "IPv6" };
            return Err(bad(field, format!("{given} is not an {family} network")));
        }
        if !seen.insert(network) {
            return Err(bad(field, format!("{network} is listed twice")));
        }
    }
    Ok(())
}
