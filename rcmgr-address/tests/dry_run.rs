//! Limits that are only evaluated: each connection is counted, and the answer is what the limits
//! would have refused with this usage. Compared with a simple model.

mod common;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::TestClock;
use proptest::prelude::*;
use rcmgr_address::{
    AddressConfig, Addresses, BarePermit, NetworkLimit, Rate, RateLimiter, RateLimits, SubnetLimit,
    SubnetLimits, SubnetRate,
};
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{Endpoint, Error, LimitValue, canonical_ip};

const REMOTES: [&str; 9] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "2002:a00:1::9",
    "127.0.0.1",
    "198.51.100.7",
    "2001:db8::1",
    "2001:db8:0:100::1",
    "2001:db9::1",
];

#[derive(Debug, Clone)]
enum Op {
    Open(Option<IpAddr>),
    Close(usize),
    Advance(u64),
}

/// The subnets that an address counts in, with their limits, most specific first.
fn rules(config: &AddressConfig, ip: IpAddr) -> Vec<(IpNet, u64)> {
    let SubnetLimits {
        v4,
        v6,
        v4_networks,
        v6_networks,
    } = &config.subnets;
    if config
        .trusted_networks()
        .any(|network| network.contains(&ip))
    {
        return Vec::new();
    }
    let named = v4_networks.iter().chain(v6_networks);
    let named = named.filter(|named| named.network.contains(&ip));
    if let Some(named) = named.max_by_key(|named| named.network.prefix_len()) {
        return match named.conns {
            LimitValue::Limited(conns) => vec![(named.network, conns)],
            LimitValue::Unlimited => Vec::new(),
        };
    }
    let mut sizes = if ip.is_ipv4() { v4.clone() } else { v6.clone() };
    sizes.sort_by_key(|size| std::cmp::Reverse(size.prefix_len));
    let subnet = |size: SubnetLimit| {
        let subnet = IpNet::new(ip, size.prefix_len).unwrap().trunc();
        (subnet, size.conns)
    };
    sizes.into_iter().map(subnet).collect()
}

fn sizes(lens: &'static [u8]) -> impl Strategy<Value = Vec<SubnetLimit>> {
    let some = proptest::sample::subsequence(lens, 0..=lens.len()).prop_shuffle();
    (some, proptest::collection::vec(0..4_u64, lens.len())).prop_map(|(lens, conns)| {
        let size = |(&prefix_len, conns)| SubnetLimit { prefix_len, conns };
        lens.iter().zip(conns).map(size).collect()
    })
}

fn config() -> impl Strategy<Value = AddressConfig> {
    let trusts =
        proptest::sample::subsequence(&["127.0.0.0/8", "10.0.1.0/24", "2001:db9::/32"][..], 0..=3);
    let named = proptest::option::of(0..3_u64);
    let rate =
        || (0.2..2.0_f64, 0..5_u32).prop_map(|(per_second, burst)| Rate { per_second, burst });
    let rates = (
        proptest::option::of(rate()),
        proptest::option::weighted(0.3, rate()),
    );
    (
        trusts,
        sizes(&[32, 24, 8]),
        sizes(&[64, 56, 32]),
        named,
        rates,
    )
        .prop_map(
            |(trusted, v4, v6, named, (per_subnet, global))| AddressConfig {
                trust_loopback: false,
                trusted: trusted
                    .into_iter()
                    .map(|text| text.parse().unwrap())
                    .collect(),
                subnets: SubnetLimits {
                    v4,
                    v6,
                    v4_networks: vec![NetworkLimit {
                        network: "198.51.100.0/24".parse().unwrap(),
                        conns: named.map_or(LimitValue::Unlimited, LimitValue::Limited),
                    }],
                    v6_networks: Vec::new(),
                },
                rates: RateLimits {
                    global,
                    v4: per_subnet
                        .map(|rate| SubnetRate {
                            prefix_len: 24,
                            rate,
                        })
                        .into_iter()
                        .collect(),
                    v6: per_subnet
                        .map(|rate| SubnetRate {
                            prefix_len: 48,
                            rate,
                        })
                        .into_iter()
                        .collect(),
                    ..RateLimits::none()
                },
                ..AddressConfig::none()
            },
        )
}

fn op() -> impl Strategy<Value = Op> {
    let remote = proptest::sample::select(&REMOTES[..]);
    prop_oneof![
        10 => remote.prop_map(|ip| Op::Open(Some(ip.parse().unwrap()))),
        1 => Just(Op::Open(None)),
        6 => any::<usize>().prop_map(Op::Close),
        3 => (0..3_000_000_000_u64).prop_map(Op::Advance),
    ]
}

proptest! {
    #[test]
    fn a_dry_run_refuses_exactly_what_the_limits_would_refuse_with_this_usage(
        config in config(),
        ops in proptest::collection::vec(op(), 1..150),
    ) {
        let clock = Arc::new(TestClock::default());
        let limits = config.clone().try_into().unwrap();
        let addresses = Addresses::new(limits, LimitValue::Unlimited, clock.clone());
        // Rates that are enforced refuse the same: a connection that they refuse takes no token.
        let rates = RateLimiter::new(config.rates.clone(), clock.clone()).unwrap();
        let mut counts: HashMap<IpNet, u64> = HashMap::new();
        let mut open: Vec<(BarePermit, Vec<IpNet>)> = Vec::new();
        let (mut by_rate, mut by_subnet) = (0, 0);

        for op in ops {
            match op {
                Op::Open(None) => {
                    let (permit, refused) = addresses.evaluate(Endpoint::None);
                    prop_assert_eq!(refused, None);
                    open.push((permit, Vec::new()));
                }
                Op::Open(Some(ip)) => {
                    let (permit, refused) = addresses.evaluate(ip.into());
                    let ip = canonical_ip(ip);
                    let rules = rules(&config, ip);
                    let is_trusted = config.trusted_networks().any(|network| network.contains(&ip));
                    let rate = if is_trusted { Ok(()) } else { rates.allow(ip) };
                    let count = |subnet| counts.get(subnet).copied().unwrap_or(0);
                    let full = rules.iter().find(|(subnet, limit)| count(subnet) >= *limit);
                    match (rate, full) {
                        (Err(rate), _) => {
                            by_rate += 1;
                            prop_assert_eq!(refused, Some(Error::RateLimit(rate)));
                        }
                        (Ok(()), Some(&(network, limit))) => {
                            by_subnet += 1;
                            let Some(Error::SubnetLimit(refused)) = refused else {
                                return Err(TestCaseError::fail(format!("{refused:?}")));
                            };
                            let numbers = (refused.ip, refused.network, refused.used, refused.limit);
                            prop_assert_eq!(numbers, (ip, network, count(&network), limit));
                        }
                        (Ok(()), None) => prop_assert_eq!(refused, None),
                    }
                    // The connection is open, and counts.
                    let subnets: Vec<_> = rules.into_iter().map(|(subnet, _)| subnet).collect();
                    for subnet in &subnets {
                        *counts.entry(*subnet).or_default() += 1;
                    }
                    open.push((permit, subnets));
                }
                Op::Close(which) if !open.is_empty() => {
                    let (mut permit, subnets) = open.swap_remove(which % open.len());
                    addresses.give_back_last(&mut permit);
                    for subnet in subnets {
                        *counts.get_mut(&subnet).unwrap() -= 1;
                    }
                    counts.retain(|_, &mut count| count > 0);
                }
                Op::Close(_) => {}
                Op::Advance(by) => clock.advance(Duration::from_nanos(by)),
            }
            let stat = addresses.stat();
            prop_assert_eq!((stat.refused_by_rate, stat.refused_by_subnet), (by_rate, by_subnet));
            prop_assert_eq!(stat.tracked_subnets, counts.len() as u64);
            let counted = open.iter().filter(|(_, subnets)| !subnets.is_empty());
            prop_assert_eq!(stat.permits, counted.count() as u64);
        }
        for (permit, _) in &open {
            addresses.give_back(permit);
        }
        prop_assert_eq!(addresses.stat().permits, 0);
        prop_assert_eq!(addresses.stat().tracked_subnets, 0);
    }
}
