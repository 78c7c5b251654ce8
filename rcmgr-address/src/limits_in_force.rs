//! The limits by address in force, and their source.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv6Net};
use prefix_trie::joint::JointPrefixSet;

use rcmgr_core::address::{canonical_ip_with, canonical_network_with};
use rcmgr_core::{Endpoint, LimitValue, canonical_ip};

use crate::rules::FirstBytesOf;
use crate::subnet::Address;
use crate::{
    AddressLimits, NetworkLimit, NetworkRate, Rate, RateLimits, SubnetLimit, SubnetLimits,
    SubnetRate, rate_limiter, subnet_limiter,
};

/// The limits in force.
#[derive(Debug)]
pub(crate) struct Active {
    limits: AddressLimits,
    has_nat64: bool,
    /// The first bytes of all networks that are trusted or named.
    special: FirstBytesOf,
    trusted: JointPrefixSet<IpNet>,
    pub(crate) rates: Arc<rate_limiter::Active>,
    pub(crate) subnets: Arc<subnet_limiter::Active>,
    pub(crate) unverified: Arc<rate_limiter::Active>,
}

impl Active {
    pub(crate) fn new(
        limits: &AddressLimits,
        rates: Arc<rate_limiter::Active>,
        subnets: Arc<subnet_limiter::Active>,
        unverified: Arc<rate_limiter::Active>,
    ) -> Self {
        let mut special = FirstBytesOf::default();
        special.add_all(rates.rules().named());
        // The networks for verification are those of the subnet limits.
        special.add_all(subnets.rules().named());
        let mut trusted = JointPrefixSet::new();
        for network in limits.trusted_networks() {
            let network = canonical_network_with(network, &limits.nat64);
            special.add(&network);
            trusted.insert(network);
        }
        Self {
            limits: limits.clone(),
            has_nat64: !limits.nat64.is_empty(),
            special,
            trusted,
            rates,
            subnets,
            unverified,
        }
    }

    /// The address of an endpoint, if it has one.
    #[inline(always)]
    pub(crate) fn address(&self, endpoint: Endpoint) -> Option<Address> {
        Address::of(endpoint, |ip| match self.has_nat64 {
            true => canonical_ip_with(ip, &self.limits.nat64),
            false => canonical_ip(ip),
        })
    }

    /// The prefixes of NAT64 besides the well-known one.
    pub(crate) fn nat64(&self) -> &[Ipv6Net] {
        &self.limits.nat64
    }

    /// Whether the address may be in a trusted or named network. Most addresses are in none.
    #[inline(always)]
    pub(crate) const fn may_be_special(&self, address: Address) -> bool {
        self.special.may_contain(address)
    }

    #[inline(never)]
    pub(crate) fn trusts(&self, address: Address) -> bool {
        if !self.may_be_special(address) {
            return false;
        }
        let host = IpNet::from(IpAddr::from(address));
        self.trusted.get_spm(&host).is_some()
    }
}

/// The source of the limits in force.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) limits: AddressLimits,
    /// The limit of open connections for each network from which the configured allowlist admits
    /// every peer.
    pub(crate) conns: LimitValue,
}

impl Source {
    pub(crate) fn canonical(&self) -> impl Fn(IpNet) -> IpNet + use<> {
        let nat64 = self.limits.nat64.clone();
        move |network| canonical_network_with(network, &nat64)
    }

    /// The configured subnet limits, plus one limit for each allowlisted network that they do not
    /// name.
    pub(crate) fn subnets(&self) -> SubnetLimits {
        let canonical = self.canonical();
        let mut limits = self.limits.subnets.clone();
        let open = self.limits.allowlist.iter();
        let open = open.filter(|entry| entry.peer.is_none());
        let named = limits.v4_networks.iter().chain(&limits.v6_networks);
        let mut named: HashSet<IpNet> = named.map(|named| canonical(named.network)).collect();
        for network in open.filter_map(|entry| entry.network).map(&canonical) {
            if !named.insert(network) {
                continue;
            }
            let conns = self.conns;
            let of_family = match network {
                IpNet::V4(_) => &mut limits.v4_networks,
                IpNet::V6(_) => &mut limits.v6_networks,
            };
            of_family.push(NetworkLimit { network, conns });
        }
        limits
    }
}

/// The rates behind `verify_source_address`: half the connections at once, one more every ten
/// seconds.
pub(crate) fn verification_rates(limits: &SubnetLimits) -> RateLimits {
    let rate = |conns: u64| Rate {
        per_second: 0.1,
        burst: u32::try_from(conns / 2).unwrap_or(u32::MAX),
    };
    let subnet = |limit: &SubnetLimit| SubnetRate {
        prefix_len: limit.prefix_len,
        rate: rate(limit.conns),
    };
    let network = |limit: &NetworkLimit| NetworkRate {
        network: limit.network,
        rate: limit.conns.number().map(rate),
    };
    RateLimits {
        global: None,
        v4: limits.v4.iter().map(subnet).collect(),
        v6: limits.v6.iter().map(subnet).collect(),
        v4_networks: limits.v4_networks.iter().map(network).collect(),
        v6_networks: limits.v6_networks.iter().map(network).collect(),
    }
}
