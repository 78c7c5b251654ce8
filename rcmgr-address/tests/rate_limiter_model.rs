//! Compares the rate limiter with an exact sequential model.

mod common;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use common::TestClock;
use proptest::prelude::*;
use rcmgr_address::{NetworkRate, Rate, RateLimiter, RateLimits, SubnetRate};
use rcmgr_core::ipnet::IpNet;

const ADDRESSES: [&str; 8] = [
    "10.0.0.1",
    "10.0.0.2",
    "10.0.1.1",
    "::ffff:10.0.0.1",
    "127.0.0.1",
    "2001:db8::1",
    "2001:db8:0:100::1",
    "2001:db9::1",
];

#[derive(Debug, Clone)]
enum Op {
    Allow(IpAddr),
    Advance(u64),
    SetLimits(RateLimits),
}

/// Where a rate applies: to all addresses, to the subnets of one size, or to one network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Target {
    All,
    Size(u8),
    Network,
}

/// A bucket's content, in nanoseconds of refill time: one token is one period. It can be less than
/// zero by a tick, because a token is given out a tick early.
struct Bucket {
    content: i128,
    since: u64,
}

impl Bucket {
    /// The content now. A bucket that became full less than a tick ago counts as just full, and has
    /// more in it.
    fn content(&self, rate: Rate, tick: i128, now: u64) -> i128 {
        let full = period(rate) * i128::from(rate.burst);
        let content = self.content + i128::from(now - self.since);
        if content < full + tick { content } else { full }
    }
}

struct Model {
    limits: RateLimits,
    buckets: HashMap<(Target, IpNet), (Rate, Bucket)>,
    now: u64,
    /// The resolution of the clock, in nanoseconds.
    tick: i128,
}

fn period(rate: Rate) -> i128 {
    // The test uses only rates for which this is exact.
    (1e9 / rate.per_second) as i128
}

impl Model {
    fn rules(&self, ip: IpAddr) -> Vec<(Target, IpNet, Rate)> {
        let (sizes, networks) = match ip {
            IpAddr::V4(_) => (&self.limits.v4, &self.limits.v4_networks),
            IpAddr::V6(_) => (&self.limits.v6, &self.limits.v6_networks),
        };
        let network = networks
            .iter()
            .filter(|rate| rate.network.contains(&ip))
            .max_by_key(|rate| rate.network.prefix_len());
        if let Some(NetworkRate { network, rate }) = network {
            let rule = rate.map(|rate| (Target::Network, *network, rate));
            return rule.into_iter().collect();
        }
        let mut sizes = sizes.clone();
        sizes.sort_by_key(|size| std::cmp::Reverse(size.prefix_len));
        let mut rules: Vec<_> = sizes
            .into_iter()
            .map(|size| {
                let subnet = IpNet::new(ip, size.prefix_len).unwrap().trunc();
                (Target::Size(size.prefix_len), subnet, size.rate)
            })
            .collect();
        if let Some(rate) = self.limits.global {
            rules.push((Target::All, "::/0".parse().unwrap(), rate));
        }
        rules
    }

    /// The network that refuses (`None` for the global rate), and the time until all buckets have a
    /// token.
    fn allow(&mut self, ip: IpAddr) -> Result<(), (Option<IpNet>, Duration)> {
        let rules = self.rules(ip);
        for &(target, subnet, rate) in &rules {
            let now = self.now;
            let full = period(rate) * i128::from(rate.burst);
            let bucket = || Bucket {
                content: full,
                since: now,
            };
            let entry = self.buckets.entry((target, subnet));
            let (_, bucket) = entry.or_insert_with(|| (rate, bucket()));
            let content = bucket.content(rate, self.tick, now);
            if rate.burst == 0 || content < period(rate) - self.tick {
                let refusing = (target != Target::All).then_some(subnet);
                let waits = rules.iter().map(|rule| self.wait(rule));
                return Err((refusing, waits.max().unwrap()));
            }
            *bucket = Bucket {
                content: content - period(rate),
                since: now,
            };
        }
        Ok(())
    }

    /// The time until the bucket of this rule has a token.
    fn wait(&self, &(target, subnet, rate): &(Target, IpNet, Rate)) -> Duration {
        if rate.burst == 0 {
            return Duration::MAX;
        }
        let Some((_, bucket)) = self.buckets.get(&(target, subnet)) else {
            return Duration::ZERO;
        };
        let missing = period(rate) - bucket.content(rate, self.tick, self.now);
        Duration::from_nanos(missing.max(0) as u64)
    }

    fn set_limits(&mut self, limits: RateLimits) {
        self.limits = limits;
        let limits = &self.limits;
        self.buckets.retain(|&(target, network), (rate, _)| {
            let (sizes, networks) = match network {
                IpNet::V4(_) => (&limits.v4, &limits.v4_networks),
                IpNet::V6(_) => (&limits.v6, &limits.v6_networks),
            };
            let now = match target {
                Target::All => limits.global,
                Target::Size(len) => sizes.iter().find(|s| s.prefix_len == len).map(|s| s.rate),
                Target::Network => networks
                    .iter()
                    .find(|n| n.network == network)
                    .and_then(|n| n.rate),
            };
            now == Some(*rate)
        });
    }
}

fn rate() -> impl Strategy<Value = Rate> {
    // All of these have a whole number of nanoseconds per token.
    let per_second = proptest::sample::select(&[0.1, 0.2, 0.5, 1.0, 50.0, 1000.0][..]);
    (per_second, 0..6_u32).prop_map(|(per_second, burst)| Rate { per_second, burst })
}

fn sizes(lens: &'static [u8]) -> impl Strategy<Value = Vec<SubnetRate>> {
    let some = proptest::sample::subsequence(lens, 0..=lens.len()).prop_shuffle();
    (some, proptest::collection::vec(rate(), lens.len())).prop_map(|(lens, rates)| {
        let size = |(&prefix_len, rate)| SubnetRate { prefix_len, rate };
        lens.iter().zip(rates).map(size).collect()
    })
}

fn networks(names: &'static [&'static str]) -> impl Strategy<Value = Vec<NetworkRate>> {
    let some = proptest::sample::subsequence(names, 0..=names.len()).prop_shuffle();
    let rate = proptest::option::weighted(0.7, rate());
    (some, proptest::collection::vec(rate, names.len())).prop_map(|(names, rates)| {
        let network = |(name, rate): (&&str, _)| NetworkRate {
            network: name.parse().unwrap(),
            rate,
        };
        names.iter().zip(rates).map(network).collect()
    })
}

fn limits() -> impl Strategy<Value = RateLimits> {
    let global = proptest::option::weighted(0.3, rate());
    let v4_networks = networks(&["10.0.0.0/24", "10.0.0.1/32", "127.0.0.0/8"]);
    let v6_networks = networks(&["2001:db8::/32", "2001:db8::/56"]);
    let sizes = (sizes(&[8, 24, 32]), sizes(&[48, 56, 64]));
    (global, sizes, v4_networks, v6_networks).prop_map(
        |(global, (v4, v6), v4_networks, v6_networks)| RateLimits {
            global,
            v4,
            v6,
            v4_networks,
            v6_networks,
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let address = proptest::sample::select(&ADDRESSES[..]);
    prop_oneof![
        20 => address.prop_map(|ip| Op::Allow(ip.parse().unwrap())),
        3 => (0..2_000_000_000_u64).prop_map(Op::Advance),
        3 => (0..10_000_000_u64).prop_map(Op::Advance),
        3 => (0..200_u64).prop_map(|seconds| Op::Advance(seconds * 1_000_000_000)),
        1 => limits().prop_map(Op::SetLimits),
    ]
}

proptest! {
    #[test]
    fn the_limiter_agrees_with_exact_token_buckets(
        first in limits(),
        tick in proptest::sample::select(&[0_u64, 1_000_000, 4_000_000][..]),
        ops in proptest::collection::vec(op(), 1..200),
    ) {
        let clock = Arc::new(TestClock::with_resolution(Duration::from_nanos(tick)));
        let limiter = RateLimiter::new(first.clone(), clock.clone()).unwrap();
        let tick = tick.into();
        let mut model = Model { limits: first, buckets: HashMap::new(), now: 0, tick };
        let mut refused = 0;

        for op in ops {
            match op {
                Op::Allow(ip) => {
                    let got = limiter.allow(ip).map_err(|error| (error.network, error.retry_after));
                    prop_assert_eq!(got, model.allow(ip.to_canonical()), "{}", ip);
                    refused += u64::from(got.is_err());
                }
                Op::Advance(by) => {
                    clock.advance(Duration::from_nanos(by));
                    model.now += by;
                }
                Op::SetLimits(limits) => {
                    limiter.set_limits(limits.clone()).unwrap();
                    model.set_limits(limits);
                }
            }
            prop_assert_eq!(limiter.refused(), refused);
            prop_assert!(limiter.tracked() <= model.buckets.len() as u64);
        }
    }
}
