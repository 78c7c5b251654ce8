//! Random limits of every kind, for property tests.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::subsequence;
use rcmgr_config::{AddressList, PartialAddresses, PartialLimit, PartialLimits, PerScope};
use rcmgr_core::address::{
    AddressConfig, AddressLimits, NetworkLimit, NetworkRate, Rate, RateLimits, SubnetLimit,
    SubnetLimits, SubnetRate,
};
use rcmgr_core::ipnet::IpNet;
use rcmgr_core::{LimitValue, PeerId, Resource};

pub fn limit_value() -> impl Strategy<Value = LimitValue> {
    prop_oneof![
        Just(LimitValue::Unlimited),
        Just(LimitValue::BLOCK_ALL),
        Just(LimitValue::from(i64::MAX as u64)),
        Just(LimitValue::from(i64::MAX as u64 + 1)),
        Just(LimitValue::from(u64::MAX)),
        (0u64..2000).prop_map(LimitValue::from),
        any::<u64>().prop_map(LimitValue::from),
    ]
}

pub fn partial_limit() -> impl Strategy<Value = PartialLimit> {
    proptest::array::uniform8(proptest::option::of(limit_value())).prop_map(|values| {
        let mut limit = PartialLimit::default();
        for (resource, value) in Resource::ALL.into_iter().zip(values) {
            *limit.get_mut(resource) = value;
        }
        limit
    })
}

/// Usual names, and unusual ones.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "/[a-z]{1,8}/[0-9]\\.[0-9]",
        Just(String::new()),
        any::<String>(),
    ]
}

fn peer() -> impl Strategy<Value = PeerId> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 1..=PeerId::MAX_LEN),
        "[a-z0-9]{1,12}".prop_map(String::into_bytes),
        // A libp2p peer id: the multihash of SHA-256.
        vec(any::<u8>(), 32).prop_map(|digest| [vec![0x12, 0x20], digest].concat()),
    ];
    bytes.prop_map(|bytes| PeerId::from_bytes(&bytes).expect("not empty and not too long"))
}

fn named<T: std::fmt::Debug>(
    entry: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<String, T>> {
    btree_map(name(), entry, 0..3)
}

fn scopes() -> BoxedStrategy<PerScope<PartialLimit>> {
    let scopes = vec(partial_limit(), 11);
    let classes = (
        named(partial_limit()),
        named(partial_limit()),
        named(partial_limit()),
        named(partial_limit()),
        btree_map(peer(), partial_limit(), 0..3),
    );
    (scopes, classes)
        .prop_map(
            |(scopes, (service, service_peer, protocol, protocol_peer, peer))| PerScope {
                system: scopes[0],
                transient: scopes[1],
                allowlisted_system: scopes[2],
                allowlisted_transient: scopes[3],
                service_default: scopes[4],
                service,
                service_peer_default: scopes[5],
                service_peer,
                protocol_default: scopes[6],
                protocol,
                protocol_peer_default: scopes[7],
                protocol_peer,
                peer_default: scopes[8],
                peer,
                conn: scopes[9],
                stream: scopes[10],
            },
        )
        .boxed()
}

fn rate() -> impl Strategy<Value = Rate> {
    let per_second = prop_oneof![
        Just(0.0),
        Just(0.2),
        Just(1000.0),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        0.0..1e6,
    ];
    (per_second, prop_oneof![0..100u32, any::<u32>()])
        .prop_map(|(per_second, burst)| Rate { per_second, burst })
}

fn subnets(longest: u8) -> impl Strategy<Value = Vec<SubnetLimit>> {
    let conns = 0..=i64::MAX as u64;
    btree_map(0..=longest, conns, 0..4).prop_map(|sizes| {
        let limit = |(prefix_len, conns)| SubnetLimit { prefix_len, conns };
        sizes.into_iter().map(limit).collect()
    })
}

fn rates(longest: u8) -> impl Strategy<Value = Vec<SubnetRate>> {
    btree_map(0..=longest, rate(), 0..4).prop_map(|sizes| {
        let limit = |(prefix_len, rate)| SubnetRate { prefix_len, rate };
        sizes.into_iter().map(limit).collect()
    })
}

const V4: [&str; 4] = ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24", "192.0.2.7/32"];
const V6: [&str; 4] = [
    "fd00::/8",
    "2001:db8:1::/48",
    "2001:db8:0:ff00::/56",
    "::1/128",
];

/// Some of these texts as what they stand for.
fn some<T>(texts: &'static [&'static str]) -> impl Strategy<Value = Vec<T>>
where
    T: std::str::FromStr<Err: std::fmt::Debug> + std::fmt::Debug,
{
    let parse = |text: &str| text.parse().expect("the texts are valid");
    subsequence(texts, 0..=texts.len())
        .prop_map(move |texts| texts.into_iter().map(parse).collect())
}

fn networks<T: std::fmt::Debug + Clone>(
    texts: &'static [&'static str],
    value: impl Strategy<Value = T>,
) -> impl Strategy<Value = Vec<(IpNet, T)>> {
    (some(texts), vec(value, texts.len()))
        .prop_map(|(networks, values)| networks.into_iter().zip(values).collect())
}

fn subnet_limits() -> impl Strategy<Value = SubnetLimits> {
    let networks = (networks(&V4, limit_value()), networks(&V6, limit_value()));
    (subnets(32), subnets(128), networks).prop_map(|(v4, v6, networks)| {
        let limit = |(network, conns)| NetworkLimit { network, conns };
        SubnetLimits {
            v4,
            v6,
            v4_networks: networks.0.into_iter().map(limit).collect(),
            v6_networks: networks.1.into_iter().map(limit).collect(),
        }
    })
}

fn rate_limits() -> impl Strategy<Value = RateLimits> {
    use proptest::option;
    let networks = (
        networks(&V4, option::of(rate())),
        networks(&V6, option::of(rate())),
    );
    (option::of(rate()), rates(32), rates(128), networks).prop_map(|(global, v4, v6, networks)| {
        let limit = |(network, rate)| NetworkRate { network, rate };
        RateLimits {
            global,
            v4,
            v6,
            v4_networks: networks.0.into_iter().map(limit).collect(),
            v6_networks: networks.1.into_iter().map(limit).collect(),
        }
    })
}

pub fn address_limits() -> BoxedStrategy<AddressLimits> {
    const TRUSTED: [&str; 3] = ["127.0.0.0/8", "::1/128", "10.0.0.0/8"];
    const ALLOWED: [&str; 5] = [
        "198.51.100.0/24",
        "/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5",
        "/ip4/192.0.2.0/ipcidr/24",
        "/ip4/192.0.2.7",
        "/ip6/2001:db8::/ipcidr/32/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y",
    ];
    const NAT64: [&str; 2] = ["64:ff9b:1::/96", "2001:db8:64::/96"];
    (
        any::<bool>(),
        some(&TRUSTED),
        some(&ALLOWED),
        subnet_limits(),
        rate_limits(),
        some(&NAT64),
    )
        .prop_map(
            |(trust_loopback, trusted, allowlist, subnets, rates, nat64)| {
                let config = AddressConfig {
                    trust_loopback,
                    trusted,
                    allowlist,
                    subnets,
                    rates,
                    nat64,
                };
                AddressLimits::new(config).expect("the generated limits are valid")
            },
        )
        .boxed()
}

pub fn partial_addresses() -> impl Strategy<Value = PartialAddresses> {
    let lists = subsequence(&AddressList::ALL[..], 0..=AddressList::ALL.len());
    (address_limits(), lists, any::<bool>()).prop_map(|(limits, lists, reference)| {
        PartialAddresses::new(limits, lists).start_from_reference_defaults(reference)
    })
}

/// A boxed strategy keeps its values off the stack, which would be too small for them.
fn without_dry_run() -> BoxedStrategy<PartialLimits> {
    (scopes(), partial_addresses())
        .prop_map(|(scopes, addresses)| PartialLimits {
            scopes,
            waiters: None,
            addresses,
            dry_run: None,
        })
        .boxed()
}

pub fn partial_limits() -> BoxedStrategy<PartialLimits> {
    (
        without_dry_run(),
        proptest::option::of(limit_value()),
        proptest::option::weighted(0.3, without_dry_run()),
    )
        .prop_map(|(limits, waiters, dry_run)| PartialLimits {
            waiters,
            dry_run: dry_run.map(Box::new),
            ..limits
        })
        .boxed()
}
