//! The limits by address: how many connections a network may have, and the allowlist.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use rcmgr_address::{AddressConfig, Listing};
use rcmgr_core::address::canonical_network_with;
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{LimitValue, PeerId, Result, SubnetLimitExceeded};

/// The addresses of a model. Rates are not limited here.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// Networks that no limit applies to.
    trusted: Vec<IpNet>,
    /// Networks, for anyone or for one peer, and peers at any address.
    allowlist: Vec<(Option<IpNet>, Option<PeerId>)>,
    /// The networks that have a limit of their own.
    networks: BTreeMap<IpNet, LimitValue>,
    /// Those of the networks that have the allowlisted system scope's limit.
    of_allowlist: BTreeSet<IpNet>,
    /// Prefix lengths and limits of subnets: of IPv4, and of IPv6.
    subnets: [Vec<(u8, u64)>; 2],
    /// How many connections each limited network or subnet has.
    used: BTreeMap<IpNet, u64>,
    permits: u64,
}

impl Addresses {
    pub fn new(config: &AddressConfig, allowlisted_conns: LimitValue) -> Self {
        let canonical = |&network: &IpNet| canonical_network_with(network, &config.nat64);
        let entries = config.allowlist.iter();
        let allowlist: Vec<_> = entries
            .map(|entry| (entry.network.as_ref().map(canonical), entry.peer))
            .collect();
        let limits = &config.subnets;
        let networks = limits.v4_networks.iter().chain(&limits.v6_networks);
        let mut networks: BTreeMap<_, _> = networks
            .map(|limit| (canonical(&limit.network), limit.conns))
            .collect();
        let mut of_allowlist = BTreeSet::new();
        let open = allowlist.iter().filter(|(_, peer)| peer.is_none());
        for network in open.filter_map(|(network, _)| *network) {
            if let Entry::Vacant(vacant) = networks.entry(network) {
                vacant.insert(allowlisted_conns);
                of_allowlist.insert(network);
            }
        }
        let subnets = [&limits.v4, &limits.v6].map(|sizes| {
            let sizes = sizes.iter().map(|size| (size.prefix_len, size.conns));
            let mut sizes: Vec<_> = sizes.collect();
            // The most specific subnet is asked first.
            sizes.sort_by(|a, b| b.cmp(a));
            sizes
        });
        Self {
            trusted: config
                .trusted_networks()
                .map(|network| canonical(&network))
                .collect(),
            allowlist,
            networks,
            of_allowlist,
            subnets,
            used: BTreeMap::new(),
            permits: 0,
        }
    }

    /// The allowlisted system scope may have so many connections from now on.
    pub fn set_allowlisted_conns(&mut self, conns: LimitValue) {
        for network in &self.of_allowlist {
            self.networks.insert(*network, conns);
        }
    }

    pub const fn permits(&self) -> u64 {
        self.permits
    }

    /// The networks that a connection from here is counted in, with their limits: the most specific
    /// network that has a limit of its own, else every subnet.
    fn limits(&self, ip: IpAddr) -> Vec<(IpNet, LimitValue)> {
        if self.trusted.iter().any(|net| net.contains(&ip)) {
            return Vec::new();
        }
        let around = self.networks.iter().filter(|(net, _)| net.contains(&ip));
        if let Some((network, limit)) = around.max_by_key(|(net, _)| net.prefix_len()) {
            return vec![(*network, *limit)];
        }
        let sizes = &self.subnets[usize::from(ip.is_ipv6())];
        let subnet = |&(prefix_len, conns): &(u8, u64)| {
            let subnet = IpNet::new(ip, prefix_len).expect("the prefix fits the address");
            (subnet.trunc(), LimitValue::Limited(conns))
        };
        sizes.iter().map(subnet).collect()
    }

    /// Counts a connection. Whether it has a permit, which it has to give back.
    pub fn take_permit(&mut self, ip: IpAddr) -> Result<bool> {
        self.check(ip)?;
        Ok(self.count(ip))
    }

    /// Counts a connection in a dry run. Whether it has a permit, and whether it would have been
    /// refused.
    pub fn evaluate(&mut self, ip: IpAddr) -> (bool, bool) {
        let is_refused = self.check(ip).is_err();
        (self.count(ip), is_refused)
    }

    fn limited(&self, ip: IpAddr) -> Vec<(IpNet, u64)> {
        let limits = self.limits(ip).into_iter();
        let limited = limits.filter_map(|(network, limit)| match limit {
            LimitValue::Limited(limit) => Some((network, limit)),
            LimitValue::Unlimited => None,
        });
        limited.collect()
    }

    fn check(&self, ip: IpAddr) -> Result<()> {
        for (network, limit) in self.limited(ip) {
            let used = self.used.get(&network).copied().unwrap_or_default();
            if used >= limit {
                return Err(SubnetLimitExceeded {
                    ip,
                    network,
                    used,
                    limit,
                }
                .into());
            }
        }
        Ok(())
    }

    fn count(&mut self, ip: IpAddr) -> bool {
        let limited = self.limited(ip);
        for (network, _) in &limited {
            *self.used.entry(*network).or_default() += 1;
        }
        self.permits += u64::from(!limited.is_empty());
        !limited.is_empty()
    }

    /// Gives back a permit. The networks that it was taken in are still the same: limits may change,
    /// but no network gets a limit of its own.
    pub fn give_back(&mut self, ip: IpAddr) {
        for (network, _) in self.limits(ip) {
            *self.used.get_mut(&network).expect("it was counted") -= 1;
        }
        self.permits -= 1;
    }

    /// What the allowlist says about a remote whose peer is not known yet.
    pub fn listing(&self, ip: Option<IpAddr>) -> Listing {
        let around = self.allowlist.iter().filter(|(net, _)| contains(*net, ip));
        let listing = around.map(|(network, peer)| match (network, peer) {
            (_, None) => Listing::EveryPeer,
            (Some(_), Some(_)) => Listing::SomePeersHere,
            (None, Some(_)) => Listing::SomePeers,
        });
        listing.max().unwrap_or(Listing::NotListed)
    }

    /// Whether the remote is in an entry for anyone, or in one for this peer.
    pub fn is_allowlisted_for(&self, peer: &PeerId, ip: Option<IpAddr>) -> bool {
        let is_for = |of: &Option<PeerId>| of.as_ref().is_none_or(|of| of == peer);
        let mut entries = self.allowlist.iter();
        entries.any(|(net, of)| contains(*net, ip) && is_for(of))
    }
}

/// Whether the network of an entry contains an address. An entry without one holds everywhere.
fn contains(network: Option<IpNet>, ip: Option<IpAddr>) -> bool {
    network.is_none_or(|network| ip.is_some_and(|ip| network.contains(&ip)))
}
