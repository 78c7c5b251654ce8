//! One client counts once, in whichever form its address comes; and one address on two links is two
//! clients.

mod common;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use common::TestClock;
use rcmgr_address::{
    AddressConfig, Addresses, NetworkLimit, Rate, RateLimiter, RateLimits, SubnetLimit,
    SubnetLimiter, SubnetLimits, SubnetRate,
};
use rcmgr_core::{Endpoint, Error, LimitValue};

/// One IPv4 address in each form, with the configured prefix of NAT64 last.
const SPELLINGS: [&str; 6] = [
    "192.0.2.33",
    "::ffff:192.0.2.33",
    "64:ff9b::192.0.2.33",
    "2002:c000:221:7::9",
    "::192.0.2.33",
    "2001:db8:122:3c0:0:221::",
];
const NAT64: &str = "2001:db8:122:300::/56";

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn config() -> AddressConfig {
    AddressConfig {
        nat64: vec![NAT64.parse().unwrap()],
        ..AddressConfig::none()
    }
}

fn addresses(config: AddressConfig) -> Addresses {
    let clock = Arc::new(TestClock::default());
    Addresses::new(config.try_into().unwrap(), LimitValue::Limited(9), clock)
}

fn conns(prefix_len: u8, conns: u64) -> Vec<SubnetLimit> {
    vec![SubnetLimit { prefix_len, conns }]
}

fn rate(prefix_len: u8, burst: u32) -> Vec<SubnetRate> {
    let per_second = 0.0;
    vec![SubnetRate {
        prefix_len,
        rate: Rate { per_second, burst },
    }]
}

#[test]
fn each_spelling_of_an_ipv4_address_counts_in_the_same_subnet() {
    let mut config = config();
    config.subnets.v4 = conns(32, 6);
    let addresses = addresses(config);
    let open: Vec<_> = SPELLINGS
        .map(|text| addresses.admit(ip(text).into()).unwrap())
        .into();
    assert_eq!(addresses.stat().tracked_subnets, 1);
    for text in SPELLINGS {
        let refused = addresses.admit(ip(text).into()).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "subnet 192.0.2.33/32 refused a connection from 192.0.2.33: 6 of 6 in use",
        );
    }
    drop(open);
    assert_eq!(addresses.stat().permits, 0);
}

#[test]
fn each_spelling_of_an_ipv4_address_takes_tokens_from_the_same_bucket() {
    let mut config = config();
    config.rates.v4 = rate(24, 6);
    config.subnets.v4 = conns(32, 13);
    let addresses = addresses(config);
    for text in SPELLINGS {
        assert!(addresses.admit(ip(text).into()).is_ok(), "{text}");
        assert!(!addresses.verify_source_address(ip(text)), "{text}");
    }
    for text in SPELLINGS {
        let refused = addresses.admit(ip(text).into()).unwrap_err().to_string();
        assert!(
            refused.starts_with("rate limit of 192.0.2.0/24 refused a connection from 192.0.2.33")
        );
        assert!(addresses.verify_source_address(ip(text)), "{text}");
    }
}

#[test]
fn each_spelling_of_an_ipv4_address_is_in_the_same_network_and_entry() {
    for network in [
        "192.0.2.0/24",
        "::ffff:192.0.2.0/120",
        "2002:c000:200::/40",
        "2001:db8:122:3c0:0:200::/88",
    ] {
        let mut config = config();
        config.subnets.v4 = conns(32, 0);
        config.subnets.v6 = conns(0, 0);
        let limit = NetworkLimit {
            network: network.parse().unwrap(),
            conns: LimitValue::Limited(6),
        };
        // The list of the network as it is written.
        match network.contains(':') {
            true => config.subnets.v6_networks.push(limit),
            false => config.subnets.v4_networks.push(limit),
        }
        config.allowlist = vec![network.parse().unwrap()];
        let addresses = addresses(config);
        let open = SPELLINGS.map(|text| addresses.admit(ip(text).into()).unwrap());
        assert!(addresses.admit(ip(SPELLINGS[0]).into()).is_err());
        for text in SPELLINGS {
            assert!(
                addresses.allowlist().allows_ip(ip(text)),
                "{text} in {network}"
            );
        }
        assert!(!addresses.allowlist().allows_ip(ip("2002:c000:321::")));
        drop(open);
    }
}

#[test]
fn the_limiters_alone_know_the_standard_spellings() {
    let subnets = Arc::new(
        SubnetLimiter::new(SubnetLimits {
            v4: conns(32, 5),
            ..SubnetLimits::none()
        })
        .unwrap(),
    );
    let rates = RateLimits {
        v4: rate(32, 5),
        ..RateLimits::none()
    };
    let rates = RateLimiter::new(rates, Arc::new(TestClock::default())).unwrap();
    let standard = &SPELLINGS[..5];
    let open: Vec<_> = standard
        .iter()
        .map(|text| subnets.open(ip(text)).unwrap())
        .collect();
    for text in standard {
        rates.allow(ip(text)).unwrap();
    }
    for text in standard {
        assert_eq!(subnets.open(ip(text)).unwrap_err().ip, ip("192.0.2.33"));
        assert_eq!(rates.allow(ip(text)).unwrap_err().ip, ip("192.0.2.33"));
    }
    drop(open);
}

#[test]
fn an_address_outside_of_the_prefixes_is_an_ipv6_address() {
    let mut config = config();
    config.subnets.v4 = conns(0, 0);
    let addresses = addresses(config);
    for text in [
        "::1",
        "::",
        "2001:db8:122:400::",
        "64:ff9b:1::192.0.2.33",
        "2003:c000:221::",
    ] {
        assert!(addresses.admit(ip(text).into()).is_ok(), "{text}");
    }
}

#[test]
fn one_link_local_address_on_two_links_is_two_clients() {
    let on_link = |text: &str| Endpoint::from(text.parse::<SocketAddr>().unwrap());
    for prefix_len in [48, 56, 64, 128] {
        let mut config = config();
        config.subnets.v6 = conns(prefix_len, 1);
        config.rates.v6 = rate(prefix_len, 2);
        let addresses = addresses(config);
        let links = ["[fe80::7%1]:9", "[fe80::7%2]:9", "[fe80::7]:9"];
        let open = links.map(|link| addresses.admit(on_link(link)).unwrap());
        for link in links {
            let Err(Error::SubnetLimit(refused)) = addresses.admit(on_link(link)) else {
                panic!("{link} was admitted twice");
            };
            // A message shows the address as it is on its link.
            assert_eq!(refused.ip, ip("fe80::7"));
            assert!(refused.network.contains(&ip("fe80::7")));
        }
        drop(open);
        for link in links {
            assert!(
                matches!(addresses.admit(on_link(link)), Err(Error::RateLimit(_))),
                "{link}"
            );
        }
    }
}

#[test]
fn a_network_of_link_local_addresses_holds_on_each_link() {
    let on_link =
        |zone: u32| Endpoint::from(format!("[fe80::7%{zone}]:9").parse::<SocketAddr>().unwrap());
    let mut config = config();
    config.subnets.v6 = conns(0, 0);
    config.subnets.v6_networks.push(NetworkLimit {
        network: "fe80::/64".parse().unwrap(),
        conns: LimitValue::Limited(1),
    });
    config.allowlist = vec!["fe80::7".parse().unwrap()];
    let addresses = addresses(config);
    for zone in 0..4 {
        let kept = addresses.admit(on_link(zone)).unwrap();
        assert!(addresses.allowlist().listing(on_link(zone)) == rcmgr_address::Listing::EveryPeer);
        drop(kept);
    }
    addresses
        .change(|config| config.trusted.push("fe80::/10".parse().unwrap()))
        .unwrap();
    for zone in 0..4 {
        let open = [(); 5].map(|()| addresses.admit(on_link(zone)).unwrap());
        drop(open);
    }
}
