//! Trusted networks: no limit by address applies to them.

mod common;

use std::net::IpAddr;
use std::sync::Arc;

use common::TestClock;
use rcmgr_address::{
    AddressConfig, Addresses, Rate, RateLimits, SubnetLimit, SubnetLimits, SubnetRate,
};
use rcmgr_core::{Endpoint, LimitValue, Limits};

/// Nobody may connect, unless trusted.
fn closed(trusted: Option<&[&str]>) -> Addresses {
    let never = Rate {
        per_second: 0.0,
        burst: 0,
    };
    let mut config = AddressConfig {
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 0,
                conns: 0,
            }],
            v6: vec![SubnetLimit {
                prefix_len: 0,
                conns: 0,
            }],
            ..SubnetLimits::none()
        },
        rates: RateLimits {
            global: Some(never),
            v4: vec![SubnetRate {
                prefix_len: 0,
                rate: never,
            }],
            v6: vec![SubnetRate {
                prefix_len: 0,
                rate: never,
            }],
            ..RateLimits::none()
        },
        nat64: vec!["2001:db8:64::/96".parse().unwrap()],
        ..AddressConfig::none()
    };
    if let Some(trusted) = trusted {
        config.trusted = trusted.iter().map(|text| text.parse().unwrap()).collect();
        config.trust_loopback = false;
    }
    let clock = Arc::new(TestClock::default());
    Addresses::new(config.try_into().unwrap(), LimitValue::Limited(0), clock)
}

fn is_trusted(addresses: &Addresses, text: &str) -> bool {
    let ip: IpAddr = text.parse().unwrap();
    let is_admitted = addresses.admit(ip.into()).is_ok();
    let is_believed = !addresses.verify_source_address(ip);
    let (mut permit, would_refuse) = addresses.evaluate(ip.into());
    addresses.give_back_last(&mut permit);
    assert_eq!(is_admitted, is_believed, "{text}");
    assert_eq!(is_admitted, would_refuse.is_none(), "{text}");
    is_admitted
}

#[test]
fn loopback_is_trusted_unless_another_list_is_given() {
    let addresses = closed(None);
    for loopback in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
        assert!(is_trusted(&addresses, loopback), "{loopback}");
    }
    // These come from the network, whatever they say.
    for other in [
        "192.0.2.7",
        "2001:db8::1",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::1",
        "::127.0.0.1",
    ] {
        assert!(!is_trusted(&addresses, other), "{other}");
    }
    let addresses = closed(Some(&["192.0.2.0/24"]));
    assert!(is_trusted(&addresses, "192.0.2.7"));
    assert!(!is_trusted(&addresses, "127.0.0.1"));
    assert!(!is_trusted(&closed(Some(&[])), "::1"));
}

#[test]
fn one_line_exempts_a_network_from_counts_rates_the_global_rate_and_verification() {
    let addresses = closed(Some(&["198.51.100.0/24", "2001:db8:7::/48"]));
    for _ in 0..100 {
        for trusted in ["198.51.100.1", "2001:db8:7:1::1"] {
            assert!(is_trusted(&addresses, trusted), "{trusted}");
        }
    }
    let stat = addresses.stat();
    assert_eq!(
        (stat.permits, stat.tracked_subnets, stat.tracked_buckets),
        (0, 0, 0)
    );
    assert_eq!(
        stat.refused_by_rate + stat.refused_by_subnet + stat.verifications_asked,
        0
    );
    for other in ["198.51.101.1", "198.51.99.255", "2001:db8:8::1"] {
        assert!(!is_trusted(&addresses, other), "{other}");
    }
}

#[test]
fn an_address_that_carries_a_trusted_ipv4_address_is_trusted() {
    let spellings = [
        "192.0.2.7",
        "::ffff:192.0.2.7",
        "64:ff9b::192.0.2.7",
        "2002:c000:207::1",
        "::192.0.2.7",
        "2001:db8:64::192.0.2.7",
    ];
    for network in [
        "192.0.2.0/24",
        "2002:c000:200::/40",
        "2001:db8:64::192.0.2.0/120",
    ] {
        let addresses = closed(Some(&[network]));
        for text in spellings {
            assert!(is_trusted(&addresses, text), "{text} in {network}");
        }
        assert!(!is_trusted(&addresses, "2002:c000:307::1"));
    }
}

#[test]
fn trusted_networks_change_with_the_limits() {
    let addresses = closed(None);
    assert!(!is_trusted(&addresses, "192.0.2.7"));
    let all = || "0.0.0.0/0".parse().unwrap();
    addresses
        .change(|config| config.trusted.push(all()))
        .unwrap();
    assert!(is_trusted(&addresses, "192.0.2.7"));
    addresses
        .change(|config| config.trusted.retain(|network| *network != all()))
        .unwrap();
    assert!(!is_trusted(&addresses, "192.0.2.7"));
}

#[test]
fn unlimited_limits_let_a_public_address_connect_a_hundred_times_and_keep_nothing() {
    let clock = Arc::new(TestClock::default());
    let limits = Limits::unlimited().addresses;
    let addresses = Addresses::new(limits, LimitValue::Unlimited, clock);
    for text in ["203.0.113.7", "2001:db8::7"] {
        let remote = Endpoint::Ip(text.parse().unwrap());
        for _ in 0..100 {
            drop(addresses.admit(remote).unwrap());
        }
        let open: Vec<_> = (0..100).map(|_| addresses.admit(remote).unwrap()).collect();
        assert_eq!(open.len(), 100);
        assert!(!addresses.verify_source_address(text.parse().unwrap()));
    }
    assert_eq!(addresses.stat(), rcmgr_address::AddressStat::default());
}
