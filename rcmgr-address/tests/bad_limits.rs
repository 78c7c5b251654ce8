//! Mistakes in limits by address: each is named after the field that it is in, wherever the limits
//! are given.

use std::sync::Arc;

use rcmgr_address::{
    AddressConfig, AddressLimits, Addresses, AllowlistEntry, NetworkLimit, NetworkRate, Rate,
    RateLimiter, RateLimits, SubnetLimit, SubnetLimiter, SubnetLimits, SubnetRate,
};
use rcmgr_core::LimitValue;
use rcmgr_core::ipnet::IpNet;

#[path = "common/mod.rs"]
mod common;

use common::TestClock;

const RATE: Rate = Rate {
    per_second: 1.0,
    burst: 1,
};

fn networks(texts: &[&str]) -> Vec<IpNet> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// The list of a family and kind, filled in subnet limits and in rates.
type List<'a> = (&'static str, &'a dyn Fn(&mut AddressConfig));

/// Sets one list of subnet sizes, and the list of the same name of the rates.
fn sizes(field: &'static str, lens: &[u8]) -> [(&'static str, AddressConfig); 2] {
    let limit = |&prefix_len| SubnetLimit {
        prefix_len,
        conns: 1,
    };
    let limits: Vec<_> = lens.iter().map(limit).collect();
    let rate = |&prefix_len| SubnetRate {
        prefix_len,
        rate: RATE,
    };
    let rates: Vec<_> = lens.iter().map(rate).collect();
    let mut subnets = SubnetLimits::none();
    let mut of_rates = RateLimits::none();
    match field {
        "v4" => (subnets.v4, of_rates.v4) = (limits, rates),
        _ => (subnets.v6, of_rates.v6) = (limits, rates),
    }
    configs(subnets, of_rates)
}

/// Sets one list of networks, and the list of the same name of the rates.
fn named(field: &'static str, texts: &[&str]) -> [(&'static str, AddressConfig); 2] {
    let conns = LimitValue::Limited(1);
    let limits = networks(texts).into_iter();
    let limits = limits
        .map(|network| NetworkLimit { network, conns })
        .collect();
    let rates = networks(texts).into_iter();
    let rates = rates
        .map(|network| NetworkRate {
            network,
            rate: None,
        })
        .collect();
    let mut subnets = SubnetLimits::none();
    let mut of_rates = RateLimits::none();
    match field {
        "v4_networks" => (subnets.v4_networks, of_rates.v4_networks) = (limits, rates),
        _ => (subnets.v6_networks, of_rates.v6_networks) = (limits, rates),
    }
    configs(subnets, of_rates)
}

fn configs(subnets: SubnetLimits, rates: RateLimits) -> [(&'static str, AddressConfig); 2] {
    let none = AddressConfig::none();
    let subnets = AddressConfig {
        subnets,
        ..none.clone()
    };
    [
        ("subnets", subnets),
        ("rates", AddressConfig { rates, ..none }),
    ]
}

/// The error of a configuration, by each way to give it.
fn errors(config: &AddressConfig) -> Vec<String> {
    let clock = Arc::new(TestClock::default());
    let addresses = Addresses::new(
        AddressLimits::default(),
        LimitValue::Unlimited,
        clock.clone(),
    );
    let changed = addresses.change(|limits| *limits = config.clone());
    let mut errors = vec![
        AddressLimits::new(config.clone()).unwrap_err().to_string(),
        changed.unwrap_err().to_string(),
    ];
    assert_eq!(
        addresses.limits(),
        AddressLimits::default(),
        "a mistake changed the limits"
    );
    // A limiter knows no prefixes of NAT64.
    if config.nat64.is_empty() {
        let subnets = SubnetLimiter::new(config.subnets.clone()).map(drop);
        let rates = RateLimiter::new(config.rates.clone(), clock).map(drop);
        errors.extend(subnets.err().map(|error| error.to_string()));
        errors.extend(rates.err().map(|error| error.to_string()));
    }
    errors
}

fn assert_error(config: &AddressConfig, expected: &str) {
    for error in errors(config) {
        assert_eq!(error, expected);
    }
}

#[test]
fn a_mistake_in_a_list_of_sizes_is_named_after_its_own_list() {
    let nine: Vec<u8> = (0..9).collect();
    let cases: [(&str, &[u8], &str); 6] = [
        (
            "v4",
            &[33],
            "prefix length 33 is too long, the longest is 32",
        ),
        (
            "v6",
            &[129],
            "prefix length 129 is too long, the longest is 128",
        ),
        ("v4", &[24, 24], "prefix length 24 is listed twice"),
        ("v6", &[56, 48, 56], "prefix length 56 is listed twice"),
        (
            "v4",
            &nine,
            "9 subnet sizes are listed, at most 8 are allowed",
        ),
        (
            "v6",
            &nine,
            "9 subnet sizes are listed, at most 8 are allowed",
        ),
    ];
    for (field, lens, reason) in cases {
        for (name, config) in sizes(field, lens) {
            assert_error(&config, &format!("{name}.{field}: {reason}"));
        }
    }
}

#[test]
fn a_mistake_in_a_list_of_networks_is_named_after_its_own_list() {
    let (v4, v6) = ("v4_networks", "v6_networks");
    let cases: [(&str, &[&str], &str); 8] = [
        (
            v4,
            &["2001:db8::/32"],
            "2001:db8::/32 is not an IPv4 network",
        ),
        (v6, &["10.0.0.0/8"], "10.0.0.0/8 is not an IPv6 network"),
        (
            v4,
            &["10.0.0.0/8", "10.0.0.0/8"],
            "10.0.0.0/8 is listed twice",
        ),
        (
            v4,
            &["10.0.0.0/8", "10.1.2.3/8"],
            "10.0.0.0/8 is listed twice, as 10.0.0.0/8 and as 10.1.2.3/8",
        ),
        (
            v4,
            &["192.0.2.0/24", "::ffff:192.0.2.0/120"],
            "192.0.2.0/24 is listed twice, as 192.0.2.0/24 and as ::ffff:192.0.2.0/120",
        ),
        (
            v6,
            &["2002:c000:200::/40", "64:ff9b::192.0.2.0/120"],
            "192.0.2.0/24 is listed twice, as 2002:c000:200::/40 and as 64:ff9b::c000:200/120",
        ),
        (
            v6,
            &["2002::/16"],
            "addresses in 2002::/16 count as the IPv4 addresses that they carry: name IPv4 networks",
        ),
        (
            v6,
            &["64:ff9b::/96"],
            "addresses in 64:ff9b::/96 count as the IPv4 addresses that they carry: name IPv4 networks",
        ),
    ];
    for (field, texts, reason) in cases {
        for (name, config) in named(field, texts) {
            assert_error(&config, &format!("{name}.{field}: {reason}"));
        }
    }
}

#[test]
fn one_network_in_both_lists_is_an_error() {
    let mut config = AddressConfig::none();
    let limit = |text: &str| NetworkLimit {
        network: text.parse().unwrap(),
        conns: LimitValue::Unlimited,
    };
    config.subnets.v4_networks = vec![limit("192.0.2.0/24")];
    config.subnets.v6_networks = vec![limit("2002:c000:200::/40")];
    assert_error(
        &config,
        "subnets.v6_networks: 192.0.2.0/24 is listed twice, as 192.0.2.0/24 and as 2002:c000:200::/40",
    );
}

#[test]
fn a_rate_that_is_no_rate_is_named_after_its_own_list() {
    for per_second in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0] {
        let bad = Rate {
            per_second,
            burst: 1,
        };
        let size = vec![SubnetRate {
            prefix_len: 24,
            rate: bad,
        }];
        let named = |text: &str| {
            vec![NetworkRate {
                network: text.parse().unwrap(),
                rate: Some(bad),
            }]
        };
        let lists: [List<'_>; 5] = [
            ("rates.global", &|config| config.rates.global = Some(bad)),
            ("rates.v4", &|config| config.rates.v4 = size.clone()),
            ("rates.v6", &|config| config.rates.v6 = size.clone()),
            ("rates.v4_networks", &|config| {
                config.rates.v4_networks = named("10.0.0.0/8")
            }),
            ("rates.v6_networks", &|config| {
                config.rates.v6_networks = named("2001:db8::/32")
            }),
        ];
        for (field, set) in lists {
            let mut config = AddressConfig::none();
            set(&mut config);
            assert_error(
                &config,
                &format!(
                    "{field}: {per_second} connections per second is not a valid rate: use a \
                     finite number, 0 or more"
                ),
            );
        }
    }
}

#[test]
fn a_mistake_in_trusted_networks_nat64_or_the_allowlist_is_named_after_its_own_list() {
    let trusted = |texts: &[&str]| AddressConfig {
        trusted: networks(texts),
        ..AddressConfig::none()
    };
    let nat64 = |texts: &[&str]| AddressConfig {
        nat64: texts.iter().map(|text| text.parse().unwrap()).collect(),
        ..AddressConfig::none()
    };
    let empty = AllowlistEntry {
        network: None,
        peer: None,
    };
    let cases = [
        (
            trusted(&["10.0.0.0/8", "10.0.0.0/8"]),
            "trusted: 10.0.0.0/8 is listed twice",
        ),
        (
            trusted(&["192.0.2.0/24", "::ffff:192.0.2.0/120"]),
            "trusted: 192.0.2.0/24 is listed twice, as 192.0.2.0/24 and as ::ffff:192.0.2.0/120",
        ),
        (
            trusted(&["::/96"]),
            "trusted: addresses in ::/96 count as the IPv4 addresses that they carry: name IPv4 networks",
        ),
        (
            nat64(&["2001:db8::/33"]),
            "nat64: 2001:db8::/33 has a prefix of 33 bits; a NAT64 prefix has 32, 40, 48, 56, 64 or 96 (RFC 6052)",
        ),
        (
            nat64(&["2001:db8::/64", "2001:db8::1/64"]),
            "nat64: 2001:db8::/64 is listed twice",
        ),
        (
            nat64(&["2001:db8::/32", "2001:db8:64::/96"]),
            "nat64: 2001:db8:64::/96 overlaps 2001:db8::/32, where addresses carry other bits",
        ),
        (
            nat64(&["2002:c000::/32"]),
            "nat64: 2002:c000::/32 overlaps 2002::/16, where addresses carry other bits",
        ),
        (
            AddressConfig {
                allowlist: vec![empty],
                ..AddressConfig::none()
            },
            "allowlist: an entry names neither a network nor a peer",
        ),
    ];
    for (config, expected) in cases {
        assert_error(&config, expected);
    }
}

#[test]
fn networks_are_compared_with_the_configured_prefixes_of_nat64() {
    let mut config = AddressConfig {
        trusted: networks(&["192.0.2.0/24", "2001:db8:64::192.0.2.0/120"]),
        ..AddressConfig::none()
    };
    assert!(AddressLimits::new(config.clone()).is_ok());
    config.nat64 = vec!["2001:db8:64::/96".parse().unwrap()];
    assert_error(
        &config,
        "trusted: 192.0.2.0/24 is listed twice, as 192.0.2.0/24 and as 2001:db8:64::c000:200/120",
    );
}

#[test]
fn what_is_not_a_mistake_is_accepted() {
    let config = AddressConfig {
        trust_loopback: true,
        trusted: networks(&["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "::1/128"]),
        allowlist: ["192.0.2.7", "/ip4/192.0.2.7/tcp/1"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        nat64: ["64:ff9b::/96", "64:ff9b:1::/48", "2001:db8::/96"]
            .map(|text| text.parse().unwrap())
            .to_vec(),
        subnets: SubnetLimits {
            v4: (0..8)
                .map(|prefix_len| SubnetLimit {
                    prefix_len,
                    conns: u64::MAX,
                })
                .collect(),
            v6_networks: vec![NetworkLimit {
                network: "::ffff:192.0.2.0/120".parse().unwrap(),
                conns: LimitValue::Limited(u64::MAX),
            }],
            ..SubnetLimits::none()
        },
        rates: RateLimits {
            global: Some(Rate {
                per_second: 0.0,
                burst: 0,
            }),
            ..RateLimits::none()
        },
    };
    let limits = AddressLimits::new(config).unwrap();
    let clock = Arc::new(TestClock::default());
    let addresses = Addresses::new(limits, LimitValue::Unlimited, clock);
    assert!(addresses.admit("192.0.2.7".parse().unwrap()).is_ok());
}
