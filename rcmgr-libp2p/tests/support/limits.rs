//! Limits in force in every scope.

use libp2p::PeerId;
use rcmgr_core::address::{
    AddressConfig, AddressLimits, Rate, RateLimits, SubnetLimit, SubnetLimits, SubnetRate,
};
use rcmgr_core::{Limit, Limits};

/// Finite limits for every scope and address, with entries for these names. No test reaches them.
pub fn in_every_scope(peers: &[PeerId], protocols: &[&str], services: &[&str]) -> Limits {
    let limit = Limit::all((1 << 40).into());
    let named = |names: &[&str]| {
        let entries = names.iter().map(|&name| (name.to_owned(), limit));
        entries.collect::<std::collections::BTreeMap<_, _>>()
    };
    Limits {
        system: limit,
        transient: limit,
        service_default: Some(limit),
        service: named(services),
        service_peer_default: limit,
        service_peer: named(services),
        protocol_default: limit,
        protocol: named(protocols),
        protocol_peer_default: limit,
        protocol_peer: named(protocols),
        peer_default: limit,
        peer: peers.iter().map(|&peer| (peer.into(), limit)).collect(),
        conn: limit,
        stream: limit,
        addresses: of_addresses(1 << 40),
        ..Limits::unlimited()
    }
}

/// At most so many connections at a time for each address of IPv4, loopback included, and as many
/// at once by their rate.
pub fn of_addresses(conns: u64) -> AddressLimits {
    let rate = Rate {
        per_second: 1e6,
        burst: u32::MAX,
    };
    let config = AddressConfig {
        trust_loopback: false,
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns,
            }],
            ..SubnetLimits::none()
        },
        rates: RateLimits {
            v4: vec![SubnetRate {
                prefix_len: 32,
                rate,
            }],
            ..RateLimits::none()
        },
        ..AddressConfig::none()
    };
    AddressLimits::new(config).unwrap()
}
