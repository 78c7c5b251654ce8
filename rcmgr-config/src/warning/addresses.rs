//! The checks of the limits by address.

use std::net::IpAddr;

use rcmgr_core::address::{Rate, canonical_network};
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{LimitField, LimitValue, Limits, LimitsKey, Resource};

use super::kind::{Setting, Warning, WarningKind};
use crate::AddressKey;

/// The warnings about the limits by address, in the order of limits files.
pub(super) fn warnings(limits: &Limits) -> Vec<Warning> {
    let mut found = Vec::new();
    found.extend(peers(limits));
    found.extend(allowlist(limits));
    found.extend(sizes(limits));
    found.extend(networks(limits));
    found.extend(rates(limits));
    found
}

fn warning(key: AddressKey, kind: WarningKind) -> Warning {
    Warning {
        setting: Setting::Address(key),
        kind,
    }
}

/// The limits of each subnet size of a family, as numbers.
fn subnet_sizes(limits: &Limits, v4: bool) -> Vec<(AddressKey, u8, u64)> {
    let subnets = &limits.addresses.subnets;
    let (sizes, key): (_, fn(u8) -> AddressKey) = match v4 {
        true => (&subnets.v4, AddressKey::SubnetV4),
        false => (&subnets.v6, AddressKey::SubnetV6),
    };
    let number = |conns| LimitValue::of(conns).number();
    let size = |len, conns| Some((key(len), len, number(conns)?));
    let sizes = sizes.iter();
    sizes
        .filter_map(|subnet| size(subnet.prefix_len, subnet.conns))
        .collect()
}

/// The peers that may have more connections than one address.
fn peers(limits: &Limits) -> Vec<Warning> {
    let mut found = Vec::new();
    for (key, limit) in limits.entries() {
        let ip = match &key {
            LimitsKey::PeerDefault => None,
            LimitsKey::Peer(peer) => peer.to_string().parse::<IpAddr>().ok(),
            _ => continue,
        };
        // Other names can come from any address: only a number over the default's is a mistake.
        if matches!(key, LimitsKey::Peer(_)) && ip.is_none() {
            continue;
        }
        let (resource, value) = match limit.conns_inbound < limit.conns {
            true => (Resource::ConnsInbound, limit.conns_inbound),
            false => (Resource::Conns, limit.conns),
        };
        let Some(number) = value.number() else {
            continue;
        };
        let first = match ip {
            Some(ip) => first_of(limits, ip),
            None => first_of_any(limits),
        };
        if let Some((by, allowed)) = first
            && allowed < number
        {
            let limit = number;
            found.push(Warning {
                setting: Setting::field(key, resource),
                kind: WarningKind::AddressFirst { limit, by, allowed },
            });
        }
    }
    found
}

/// The lowest limit for one address of either family.
fn first_of_any(limits: &Limits) -> Option<(AddressKey, u64)> {
    let of_families = [true, false].map(|v4| subnet_sizes(limits, v4));
    // A size that blocks everything has a warning of its own.
    let sizes = of_families.into_iter().flatten();
    let sizes = sizes.map(|(key, _, conns)| (key, conns));
    let sizes = sizes.filter(|(_, conns)| *conns > 0);
    // The first one, if several are equal.
    sizes.min_by_key(|(_, conns)| *conns)
}

/// The limit that an address reaches first.
fn first_of(limits: &Limits, ip: IpAddr) -> Option<(AddressKey, u64)> {
    let addresses = &limits.addresses;
    let contains = |network: &IpNet| canonical_network(*network).contains(&ip);
    if addresses
        .trusted_networks()
        .any(|network| contains(&network))
    {
        return None;
    }
    let subnets = &addresses.subnets;
    let networks = subnets.v4_networks.iter().chain(&subnets.v6_networks);
    let networks = networks.filter(|limit| contains(&limit.network));
    // The most specific network decides alone.
    if let Some(limit) = networks.max_by_key(|limit| limit.network.prefix_len()) {
        let conns = limit.conns.number()?;
        return Some((AddressKey::Network(limit.network), conns));
    }
    let sizes = subnet_sizes(limits, ip.is_ipv4()).into_iter();
    sizes
        .map(|(key, _, conns)| (key, conns))
        .filter(|(_, conns)| *conns > 0)
        .min_by_key(|(_, conns)| *conns)
}

/// An allowlist whose connections are let in nowhere.
fn allowlist(limits: &Limits) -> Option<Warning> {
    if limits.addresses.allowlist.is_empty() {
        return None;
    }
    let scopes = [
        (LimitsKey::AllowlistedSystem, &limits.allowlisted_system),
        (
            LimitsKey::AllowlistedTransient,
            &limits.allowlisted_transient,
        ),
    ];
    scopes.into_iter().find_map(|(key, limit)| {
        let resources = [Resource::Conns, Resource::ConnsInbound];
        let mut blocked = resources.into_iter();
        let resource = blocked.find(|resource| limit.get(*resource) == LimitValue::BLOCK_ALL)?;
        let by = LimitField { key, resource };
        let kind = WarningKind::AllowlistBlocked { by };
        Some(warning(AddressKey::Allowlist, kind))
    })
}

/// Subnet sizes that block, or that another limit makes useless.
fn sizes(limits: &Limits) -> Vec<Warning> {
    let mut found = Vec::new();
    for v4 in [true, false] {
        let sizes = subnet_sizes(limits, v4);
        for &(key, len, limit) in &sizes {
            let wider = sizes
                .iter()
                .filter(|(_, wider, conns)| *wider < len && *conns < limit)
                .min_by_key(|(_, _, conns)| *conns);
            let kind = if limit == 0 {
                Some(WarningKind::BlocksEverything)
            } else if let Some(kind) = over_system(limits, limit) {
                Some(kind)
            } else {
                wider.map(|&(by, _, allowed)| WarningKind::AddressFirst { limit, by, allowed })
            };
            found.extend(kind.map(|kind| warning(key, kind)));
        }
    }
    found
}

/// Whether a limit by address is over the system's.
fn over_system(limits: &Limits, limit: u64) -> Option<WarningKind> {
    let parent_limit = limits.system.conns.number()?;
    (limit > parent_limit).then_some(WarningKind::OverParent {
        limit,
        parent: LimitsKey::System,
        parent_limit,
    })
}

/// Networks that are trusted anyway, or over the system's limit.
fn networks(limits: &Limits) -> Vec<Warning> {
    let addresses = &limits.addresses;
    let is_trusted = |network: &IpNet| {
        let network = canonical_network(*network);
        let mut trusted = addresses.trusted_networks();
        trusted.any(|trusted| canonical_network(trusted).contains(&network))
    };
    let subnets = &addresses.subnets;
    let counts = subnets.v4_networks.iter().chain(&subnets.v6_networks);
    let counts = counts.filter_map(|limit| {
        let number = limit.conns.number()?;
        let kind = match is_trusted(&limit.network) {
            true => Some(WarningKind::Trusted),
            false => over_system(limits, number),
        };
        Some(warning(AddressKey::Network(limit.network), kind?))
    });
    let rates = addresses.rates.v4_networks.iter();
    let rates = rates
        .chain(&addresses.rates.v6_networks)
        .filter_map(|limit| {
            let useless = limit.rate.is_some() && is_trusted(&limit.network);
            let key = AddressKey::NetworkRate(limit.network);
            useless.then(|| warning(key, WarningKind::Trusted))
        });
    counts.chain(rates).collect()
}

/// Rates that block, or that refuse before the limits of connections do.
fn rates(limits: &Limits) -> Vec<Warning> {
    let rates = &limits.addresses.rates;
    let global = rates.global.map(|rate| (AddressKey::GlobalRate, rate));
    let v4 = rates
        .v4
        .iter()
        .map(|size| (AddressKey::RateV4(size.prefix_len), size.rate));
    let v6 = rates
        .v6
        .iter()
        .map(|size| (AddressKey::RateV6(size.prefix_len), size.rate));
    let all = global.into_iter().chain(v4).chain(v6);
    all.filter_map(|(key, rate)| Some(warning(key, rate_kind(limits, key, rate)?)))
        .collect()
}

fn rate_kind(limits: &Limits, key: AddressKey, rate: Rate) -> Option<WarningKind> {
    let Rate { per_second, burst } = rate;
    if burst == 0 {
        return Some(WarningKind::BlocksEverything);
    }
    if per_second == 0.0 {
        return Some(WarningKind::NoRefill { burst });
    }
    // The connections that the subnets of the same size may have, or else one peer.
    let (len, v4) = match key {
        AddressKey::RateV4(len) => (len, true),
        AddressKey::RateV6(len) => (len, false),
        _ => return None,
    };
    let sizes = subnet_sizes(limits, v4).into_iter();
    let mut sizes = sizes.filter(|(_, size, _)| *size == len);
    let peer = &limits.peer_default;
    let (other, conns) = match sizes.next() {
        Some((key, _, conns)) => (Setting::Address(key), conns),
        None => (
            Setting::field(LimitsKey::PeerDefault, Resource::Conns),
            peer.conns.number()?,
        ),
    };
    (u64::from(burst) < conns).then_some(WarningKind::SmallBurst {
        burst,
        other,
        conns,
    })
}
