//! Changes of the limits while connections open: each connection sees all of the old limits or all
//! of the new ones, and entries of the allowlist that were added by hand stay.

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::TestClock;
use rcmgr_address::{
    AddressConfig, AddressLimits, Addresses, AllowlistEntry, Listing, NetworkLimit, Rate,
    RateLimits, SubnetLimit, SubnetLimits, SubnetRate,
};
use rcmgr_core::{Endpoint, LimitValue, PeerId};

const ALICE: &str = "12D3KooWCQdw4xEHy37dA1j7ypc3B8xk4v3BydgtBHidWzokDPmD";
const BOB: &str = "QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";

fn ip() -> IpAddr {
    IpAddr::from([192, 0, 2, 7])
}

fn addresses(limits: &AddressLimits) -> Addresses {
    let clock = Arc::new(TestClock::default());
    Addresses::new(limits.clone(), LimitValue::Unlimited, clock)
}

fn limits(change: impl FnOnce(&mut AddressConfig)) -> AddressLimits {
    let mut config = AddressConfig::none();
    change(&mut config);
    AddressLimits::new(config).unwrap()
}

fn no_connections() -> SubnetLimits {
    SubnetLimits {
        v4: vec![SubnetLimit {
            prefix_len: 32,
            conns: 0,
        }],
        ..SubnetLimits::none()
    }
}

fn no_rate() -> RateLimits {
    let rate = Rate {
        per_second: 0.0,
        burst: 0,
    };
    RateLimits {
        v4: vec![SubnetRate {
            prefix_len: 32,
            rate,
        }],
        ..RateLimits::none()
    }
}

/// Changes between two limits while threads check that each call sees one of them.
fn change_while(pair: [AddressLimits; 2], holds: impl Fn(&Addresses) -> bool + Sync) {
    let addresses = addresses(&pair[0]);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    assert!(holds(&addresses), "a call saw a mixture of two limits");
                }
            });
        }
        for round in 0..2_000 {
            addresses.set(pair[round % 2].clone(), LimitValue::Unlimited);
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_opening_connection_sees_the_rates_and_the_subnets_of_the_same_limits() {
    // Both refuse every connection, each by other limits.
    let by_rate = limits(|config| config.rates = no_rate());
    let by_subnet = limits(|config| config.subnets = no_connections());
    change_while([by_rate, by_subnet], |addresses| {
        addresses.admit(ip().into()).is_err() && addresses.evaluate(ip().into()).1.is_some()
    });
}

#[test]
fn an_opening_connection_sees_the_trusted_networks_of_the_same_limits() {
    // Both admit every connection.
    let trusted = limits(|config| {
        config.rates = no_rate();
        config.subnets = no_connections();
        config.trusted = vec!["192.0.2.0/24".parse().unwrap()];
    });
    change_while([trusted, limits(|_| ())], |addresses| {
        addresses.admit(ip().into()).is_ok()
            && !addresses.verify_source_address(ip())
            && addresses.evaluate(ip().into()).1.is_none()
    });
}

#[test]
fn an_opening_connection_sees_the_nat64_prefixes_of_the_same_limits() {
    // Both refuse: the one as IPv4, the other as IPv6.
    let block = vec![SubnetLimit {
        prefix_len: 0,
        conns: 0,
    }];
    let v4 = limits(|config| {
        config.nat64 = vec!["2001:db8:64::/96".parse().unwrap()];
        config.subnets.v4 = block.clone();
    });
    let v6 = limits(|config| config.subnets.v6 = block.clone());
    let remote: IpAddr = "2001:db8:64::192.0.2.7".parse().unwrap();
    change_while([v4, v6], |addresses| {
        addresses.admit(remote.into()).is_err()
    });
}

#[test]
fn the_code_of_a_change_may_read_the_limits_that_it_changes() {
    let before = limits(|config| config.subnets = no_connections());
    let addresses = addresses(&before);
    let changed = addresses.change(|config| {
        assert_eq!(addresses.limits(), before);
        assert!(addresses.admit(ip().into()).is_err());
        config.subnets = SubnetLimits::none();
    });
    changed.unwrap();
    assert!(addresses.admit(ip().into()).is_ok());
    assert_eq!(addresses.limits(), limits(|_| ()));
}

#[test]
fn a_network_with_a_number_over_the_largest_limit_is_unlimited() {
    let of = |number| {
        let limits = limits(|config| {
            config.subnets.v4_networks = vec![NetworkLimit {
                network: "192.0.2.0/24".parse().unwrap(),
                conns: LimitValue::Limited(number),
            }];
        });
        let addresses = addresses(&limits);
        let _permit = addresses.admit(ip().into()).unwrap();
        addresses.verify_source_address(ip());
        let stat = addresses.stat();
        (stat.permits, stat.tracked_subnets, stat.tracked_buckets)
    };
    assert_eq!(of(LimitValue::LARGEST), (1, 1, 1));
    assert_eq!(of(LimitValue::LARGEST + 1), (0, 0, 0));
    assert_eq!(of(u64::MAX), (0, 0, 0));
}

/// With a search of the whole list for each network, this took a minute.
#[test]
fn a_long_allowlist_of_networks_is_put_in_force_in_proportion_to_its_length() {
    let long = limits(|config| {
        let network = |n: u32| format!("10.{}.{}.0/24", n / 256, n % 256);
        config.allowlist = (0..20_000).map(|n| network(n).parse().unwrap()).collect();
    });
    let addresses = addresses(&AddressLimits::default());
    let start = Instant::now();
    addresses.set(long, LimitValue::Limited(1));
    assert!(start.elapsed() < Duration::from_secs(15));
    let permit = addresses.admit(IpAddr::from([10, 78, 31, 1]).into());
    assert!(permit.is_ok());
    assert!(
        addresses
            .admit(IpAddr::from([10, 78, 31, 2]).into())
            .is_err()
    );
}

#[test]
fn entries_that_were_added_or_removed_by_hand_stay_and_configured_ones_follow_the_limits() {
    let entry = |text: &str| text.parse::<AllowlistEntry>().unwrap();
    let listed = |texts: &[&str]| {
        let entries: Vec<_> = texts.iter().map(|text| entry(text)).collect();
        limits(|config| config.allowlist = entries)
    };
    let both = listed(&["192.0.2.0/24", "198.51.100.0/24"]);
    let addresses = addresses(&both);
    let list = addresses.allowlist();
    let friend = format!("/p2p/{ALICE}");
    assert!(list.add(entry(&friend)));
    assert!(list.add(entry("203.0.113.7")));
    assert!(!list.add(entry("192.0.2.0/24")));
    assert!(list.remove(&entry("198.51.100.0/24")));
    let entries = |texts: &[&str]| texts.iter().map(|text| entry(text)).collect::<Vec<_>>();
    let now = entries(&[&friend, "203.0.113.7", "192.0.2.0/24"]);
    let sorted = |mut list: Vec<AllowlistEntry>| {
        list.sort_by_key(ToString::to_string);
        list
    };
    assert_eq!(sorted(list.entries()), sorted(now.clone()));

    // The same entries, with other limits: what was done by hand stays.
    let mut config = AddressConfig::clone(&both);
    config.trust_loopback = false;
    addresses.set(config.try_into().unwrap(), LimitValue::Unlimited);
    assert_eq!(sorted(list.entries()), sorted(now));

    // A removal by hand ends with the entry; another configuration brings it back.
    addresses.set(listed(&["192.0.2.0/25"]), LimitValue::Unlimited);
    let expected = entries(&["192.0.2.0/25", &friend, "203.0.113.7", "192.0.2.0/24"]);
    assert_eq!(sorted(list.entries()), sorted(expected));
    addresses.set(both, LimitValue::Unlimited);
    assert!(list.allows_ip("198.51.100.7".parse().unwrap()));
    assert!(list.allows_ip("203.0.113.7".parse().unwrap()));
    assert!(list.remove(&entry("203.0.113.7")));
    assert!(!list.remove(&entry("203.0.113.7")));
}

#[test]
fn a_peer_alone_is_admitted_from_everywhere_and_nobody_else_is() {
    let [alice, bob]: [PeerId; 2] = [ALICE, BOB].map(|peer| peer.parse().unwrap());
    let config = [
        format!("/p2p/{ALICE}"),
        format!("/ip4/192.0.2.7/p2p/{BOB}"),
        "198.51.100.0/24".to_owned(),
    ];
    let addresses = addresses(&limits(|limits| {
        limits.allowlist = config.iter().map(|text| text.parse().unwrap()).collect();
    }));
    let list = addresses.allowlist();
    let at = |text: &str| Endpoint::from(text.parse::<IpAddr>().unwrap());
    let cases = [
        (Endpoint::None, Listing::SomePeers, [true, false]),
        (at("203.0.113.1"), Listing::SomePeers, [true, false]),
        (at("2001:db8::1"), Listing::SomePeers, [true, false]),
        (at("192.0.2.7"), Listing::SomePeersHere, [true, true]),
        (at("2002:c000:207::1"), Listing::SomePeersHere, [true, true]),
        (at("198.51.100.9"), Listing::EveryPeer, [true, true]),
    ];
    for (endpoint, listing, allowed) in cases {
        assert_eq!(list.listing(endpoint), listing, "{endpoint}");
        assert_eq!(
            [alice, bob].map(|peer| list.allows(&peer, endpoint)),
            allowed,
            "{endpoint}"
        );
    }
    assert!(list.remove(&format!("/p2p/{ALICE}").parse().unwrap()));
    assert_eq!(list.listing(Endpoint::None), Listing::NotListed);
    assert_eq!(list.listing(at("203.0.113.1")), Listing::NotListed);
    assert!(!list.allows(&alice, Endpoint::None));
    // An entry with neither a network nor a peer admits no connection.
    list.add(AllowlistEntry {
        network: None,
        peer: None,
    });
    assert_eq!(list.listing(at("203.0.113.1")), Listing::NotListed);
    assert!(!list.allows(&alice, at("203.0.113.1")));
}
