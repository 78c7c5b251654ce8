//! Compares the subnet limiter with a simple sequential model.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use proptest::prelude::*;
use rcmgr_address::{NetworkLimit, Permit, SubnetLimit, SubnetLimiter, SubnetLimits};
use rcmgr_core::LimitValue;
use rcmgr_core::ipnet::IpNet;

/// A few addresses that share subnets of several sizes; one of them also appears IPv4-mapped.
const ADDRESSES: [&str; 10] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "10.1.0.1",
    "127.0.0.1",
    "::ffff:10.0.0.1",
    "2001:db8::1",
    "2001:db8:0:0:1::1",
    "2001:db8:0:100::1",
    "2001:db9::1",
];

#[derive(Debug, Clone)]
enum Op {
    Open(IpAddr),
    GiveBack(usize),
    SetLimits(SubnetLimits),
}

struct Model {
    limits: SubnetLimits,
    open: HashMap<IpNet, u64>,
}

impl Model {
    /// The subnets or network that the address counts in, with their limits, most specific first.
    fn rules(&self, ip: IpAddr) -> Vec<(IpNet, u64)> {
        let (sizes, networks) = match ip {
            IpAddr::V4(_) => (&self.limits.v4, &self.limits.v4_networks),
            IpAddr::V6(_) => (&self.limits.v6, &self.limits.v6_networks),
        };
        let network = networks
            .iter()
            .filter(|limit| limit.network.contains(&ip))
            .max_by_key(|limit| limit.network.prefix_len());
        if let Some(NetworkLimit { network, conns }) = network {
            return match conns {
                LimitValue::Limited(conns) => vec![(network.trunc(), *conns)],
                LimitValue::Unlimited => vec![],
            };
        }
        let mut sizes = sizes.clone();
        sizes.sort_by_key(|size| std::cmp::Reverse(size.prefix_len));
        let rule = |size: SubnetLimit| {
            let subnet = IpNet::new(ip, size.prefix_len).unwrap().trunc();
            (subnet, size.conns)
        };
        sizes.into_iter().map(rule).collect()
    }

    /// The subnets that the connection was counted in, or the one that refuses with its usage and
    /// limit.
    fn open(&mut self, ip: IpAddr) -> Result<Vec<IpNet>, (IpNet, u64, u64)> {
        let rules = self.rules(ip);
        for &(subnet, limit) in &rules {
            let used = self.open.get(&subnet).copied().unwrap_or(0);
            if used >= limit {
                return Err((subnet, used, limit));
            }
        }
        let subnets: Vec<IpNet> = rules.into_iter().map(|(subnet, _)| subnet).collect();
        for &subnet in &subnets {
            *self.open.entry(subnet).or_default() += 1;
        }
        Ok(subnets)
    }

    fn give_back(&mut self, subnets: &[IpNet]) {
        for subnet in subnets {
            *self.open.get_mut(subnet).unwrap() -= 1;
        }
        self.open.retain(|_, &mut open| open > 0);
    }
}

fn sizes(lens: &'static [u8]) -> impl Strategy<Value = Vec<SubnetLimit>> {
    let some = proptest::sample::subsequence(lens, 0..=lens.len()).prop_shuffle();
    (some, proptest::collection::vec(0..6_u64, lens.len())).prop_map(|(lens, conns)| {
        let size = |(&prefix_len, conns)| SubnetLimit { prefix_len, conns };
        lens.iter().zip(conns).map(size).collect()
    })
}

fn networks(names: &'static [&'static str]) -> impl Strategy<Value = Vec<NetworkLimit>> {
    let some = proptest::sample::subsequence(names, 0..=names.len()).prop_shuffle();
    let conns = proptest::option::weighted(0.8, 0..6_u64);
    (some, proptest::collection::vec(conns, names.len())).prop_map(|(names, conns)| {
        let network = |(name, conns): (&&str, Option<u64>)| NetworkLimit {
            network: name.parse().unwrap(),
            conns: conns.map_or(LimitValue::Unlimited, LimitValue::Limited),
        };
        names.iter().zip(conns).map(network).collect()
    })
}

fn limits() -> impl Strategy<Value = SubnetLimits> {
    let v4 = sizes(&[0, 8, 16, 24, 31, 32]);
    let v6 = sizes(&[0, 32, 48, 56, 64, 128]);
    // One network has host bits set, and one prefix length is also a subnet size.
    let v4_networks = networks(&["10.0.0.0/16", "10.0.0.9/24", "127.0.0.0/8", "10.0.0.1/32"]);
    let v6_networks = networks(&["2001:db8::/32", "2001:db8::/56", "::1/128"]);
    (v4, v6, v4_networks, v6_networks).prop_map(|(v4, v6, v4_networks, v6_networks)| SubnetLimits {
        v4,
        v6,
        v4_networks,
        v6_networks,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let address = proptest::sample::select(&ADDRESSES[..]);
    prop_oneof![
        10 => address.prop_map(|ip| Op::Open(ip.parse().unwrap())),
        6 => any::<usize>().prop_map(Op::GiveBack),
        1 => limits().prop_map(Op::SetLimits),
    ]
}

proptest! {
    #[test]
    fn the_limiter_agrees_with_a_simple_model(
        first in limits(),
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let limiter = Arc::new(SubnetLimiter::new(first.clone()).unwrap());
        let mut model = Model { limits: first, open: HashMap::new() };
        let mut permits: Vec<(Permit, Vec<IpNet>)> = Vec::new();
        let mut refused = 0;

        for op in ops {
            match op {
                Op::Open(ip) => match (limiter.open(ip), model.open(ip.to_canonical())) {
                    (Ok(permit), Ok(subnets)) => permits.push((permit, subnets)),
                    (Err(error), Err(expected)) => {
                        refused += 1;
                        prop_assert_eq!((error.network, error.used, error.limit), expected);
                        prop_assert_eq!(error.ip, ip.to_canonical());
                    }
                    (got, expected) => prop_assert!(false, "{ip}: got {got:?}, expected {expected:?}"),
                },
                Op::GiveBack(which) if !permits.is_empty() => {
                    let (permit, subnets) = permits.swap_remove(which % permits.len());
                    permit.give_back();
                    drop(permit);
                    model.give_back(&subnets);
                }
                Op::GiveBack(_) => {}
                Op::SetLimits(limits) => {
                    limiter.set_limits(limits.clone()).unwrap();
                    prop_assert_eq!(limiter.limits(), limits.clone());
                    model.limits = limits;
                }
            }
            let counted = permits.iter().filter(|(_, subnets)| !subnets.is_empty());
            prop_assert_eq!(limiter.permits(), counted.count() as u64);
            prop_assert_eq!(limiter.tracked(), model.open.len() as u64);
            prop_assert_eq!(limiter.refused(), refused);
        }
        drop(permits);
        prop_assert_eq!((limiter.permits(), limiter.tracked()), (0, 0));
    }
}
