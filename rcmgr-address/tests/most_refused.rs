//! The networks that were refused most: exact where they are few, found where they are many.

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use common::TestClock;
use rcmgr_address::{
    AddressConfig, Addresses, Rate, RateLimits, RefusedNetwork, SubnetLimit, SubnetLimits,
    SubnetRate,
};
use rcmgr_core::LimitValue;

fn addresses(config: AddressConfig) -> Addresses {
    let clock = Arc::new(TestClock::default());
    Addresses::new(config.try_into().unwrap(), LimitValue::Unlimited, clock)
}

fn conns(prefix_len: u8, conns: u64) -> SubnetLimits {
    SubnetLimits {
        v4: vec![SubnetLimit { prefix_len, conns }],
        v6: vec![SubnetLimit { prefix_len, conns }],
        ..SubnetLimits::none()
    }
}

fn once() -> Rate {
    Rate {
        per_second: 0.0,
        burst: 1,
    }
}

fn refuse(addresses: &Addresses, ip: &str, times: u64) {
    let ip: IpAddr = ip.parse().unwrap();
    for _ in 0..times {
        assert!(addresses.admit(ip.into()).is_err(), "{ip}");
    }
}

fn row(network: &str, by_subnet: u64, by_rate: u64) -> RefusedNetwork {
    RefusedNetwork {
        network: network.parse().unwrap(),
        by_subnet,
        by_rate,
    }
}

#[test]
fn a_few_networks_are_counted_exactly_the_most_refused_first() {
    let addresses = addresses(AddressConfig {
        subnets: conns(24, 0),
        ..AddressConfig::none()
    });
    assert_eq!(addresses.most_refused(10), []);
    refuse(&addresses, "192.0.2.1", 3);
    refuse(&addresses, "192.0.2.2", 2);
    refuse(&addresses, "198.51.100.1", 12);
    refuse(&addresses, "2002:cb00:7107::1", 1);
    let expected = [
        row("198.51.100.0/24", 12, 0),
        row("192.0.2.0/24", 5, 0),
        row("203.0.113.0/24", 1, 0),
    ];
    assert_eq!(addresses.most_refused(10), expected);
    assert_eq!(addresses.most_refused(2), expected[..2]);
    assert_eq!(addresses.most_refused(0), []);
}

#[test]
fn refusals_by_rate_and_by_subnet_of_one_network_are_one_row() {
    let addresses = addresses(AddressConfig {
        subnets: conns(32, 0),
        rates: RateLimits {
            v4: vec![SubnetRate {
                prefix_len: 32,
                rate: Rate { burst: 5, ..once() },
            }],
            ..RateLimits::none()
        },
        ..AddressConfig::none()
    });
    refuse(&addresses, "192.0.2.7", 20);
    assert_eq!(addresses.most_refused(9), [row("192.0.2.7/32", 5, 15)]);
    let stat = addresses.stat();
    assert_eq!((stat.refused_by_subnet, stat.refused_by_rate), (5, 15));
}

#[test]
fn a_refusal_by_the_global_rate_counts_for_the_address() {
    let addresses = addresses(AddressConfig {
        rates: RateLimits {
            global: Some(once()),
            ..RateLimits::none()
        },
        ..AddressConfig::none()
    });
    drop(
        addresses
            .admit(IpAddr::from([127, 0, 0, 1]).into())
            .unwrap(),
    );
    assert!(addresses.admit(IpAddr::from([192, 0, 2, 7]).into()).is_ok());
    refuse(&addresses, "192.0.2.7", 2);
    refuse(&addresses, "2001:db8::7", 4);
    let expected = [row("2001:db8::/64", 0, 4), row("192.0.2.7/32", 0, 2)];
    assert_eq!(addresses.most_refused(9), expected);
}

#[test]
fn what_verification_asked_is_counted() {
    let addresses = addresses(AddressConfig {
        subnets: conns(32, 4),
        ..AddressConfig::none()
    });
    let ip = IpAddr::from([192, 0, 2, 7]);
    let asked = (0..10)
        .filter(|_| addresses.verify_source_address(ip))
        .count();
    assert_eq!(asked, 8);
    let stat = addresses.stat();
    assert_eq!(stat.verifications_asked, 8);
    assert_eq!(stat.refused_by_rate + stat.refused_by_subnet, 0);
    assert_eq!(addresses.most_refused(9), []);
}

/// A flood from a million addresses, each refused once, with heavy ones among them.
fn flood(config: AddressConfig) {
    const HEAVY: [&str; 2] = ["192.0.2.7", "192.0.2.9"];
    let addresses = addresses(config);
    let heavy: [IpAddr; 2] = HEAVY.map(|text| text.parse().unwrap());
    let memory = allocation_counter::measure(|| {
        for number in 0..1_000_000_u32 {
            let ip = Ipv4Addr::from_bits(0x0b00_0000 + number);
            assert!(addresses.admit(IpAddr::V4(ip).into()).is_err());
            // Each has about one in 300 of all refusals.
            if number % 300 == 0 {
                assert!(heavy.iter().all(|&ip| addresses.admit(ip.into()).is_err()));
            }
        }
    });
    assert_eq!(memory.count_total, 0, "a refusal allocates");
    let most = addresses.most_refused(10);
    assert_eq!(most.len(), 10);
    let mut found: Vec<_> = most[..2].iter().map(|row| row.network.addr()).collect();
    found.sort();
    assert_eq!(found, heavy);
    for row in &most[..2] {
        // The truth is 3334. A count is never too high.
        assert!((3_000..=3_334).contains(&row.total()), "{row:?}");
    }
    assert!(addresses.most_refused(usize::MAX).len() <= 1024);
}

#[test]
fn a_heavy_network_is_found_in_a_flood_from_a_million_addresses() {
    flood(AddressConfig {
        subnets: conns(32, 0),
        ..AddressConfig::none()
    });
    flood(AddressConfig {
        rates: RateLimits {
            v4: vec![SubnetRate {
                prefix_len: 32,
                rate: Rate { burst: 0, ..once() },
            }],
            ..RateLimits::none()
        },
        ..AddressConfig::none()
    });
}
