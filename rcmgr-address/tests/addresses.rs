//! The limits by remote address through the public interface: all together, and under threads.

mod common;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::TestClock;
use rcmgr_address::{
    AddressConfig, Addresses, Allowlist, NetworkLimit, NetworkRate, Rate, RateLimiter, RateLimits,
    SubnetLimit, SubnetLimiter, SubnetLimits, SubnetRate,
};
use rcmgr_core::multiaddr::Multiaddr;
use rcmgr_core::{Endpoint, Error, LimitValue};

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn endpoint(text: &str) -> Endpoint {
    text.parse::<Multiaddr>().unwrap().into()
}

fn addresses(config: AddressConfig) -> (Addresses, Arc<TestClock>) {
    let clock = Arc::new(TestClock::default());
    let allowlisted = LimitValue::Limited(3);
    let addresses = Addresses::new(config.try_into().unwrap(), allowlisted, clock.clone());
    (addresses, clock)
}

fn without_rates(allowlist: &[&str], subnets: SubnetLimits) -> AddressConfig {
    AddressConfig {
        allowlist: allowlist.iter().map(|text| text.parse().unwrap()).collect(),
        subnets,
        rates: RateLimits::none(),
        ..AddressConfig::reference_defaults()
    }
}

/// The number of connections admitted one after the other, all kept open.
fn room(addresses: &Addresses, text: &str) -> usize {
    let open: Vec<_> = (0..100)
        .map_while(|_| addresses.admit(endpoint(text)).ok())
        .collect();
    open.len()
}

#[test]
fn an_address_has_sixteen_tokens_and_eight_permits() {
    let (addresses, clock) = addresses(AddressConfig::reference_defaults());
    let remote = endpoint("/ip4/192.0.2.7/tcp/4001");
    let open: Vec<_> = (0..8).map(|_| addresses.admit(remote).unwrap()).collect();
    for _ in 8..16 {
        assert!(matches!(
            addresses.admit(remote),
            Err(Error::SubnetLimit(_))
        ));
    }
    let Err(Error::RateLimit(refused)) = addresses.admit(remote) else {
        panic!("admitted although all tokens are spent");
    };
    assert_eq!(refused.retry_after, Duration::from_secs(5));
    let stat = addresses.stat();
    assert_eq!((stat.refused_by_rate, stat.refused_by_subnet), (1, 8));
    assert_eq!((stat.permits, stat.tracked_subnets), (8, 1));

    drop(open);
    clock.advance(Duration::from_secs(5));
    assert!(addresses.admit(remote).is_ok());
    assert!(addresses.admit(remote).is_err());
}

#[test]
fn an_endpoint_without_an_ip_is_not_limited() {
    let none = SubnetLimits {
        v4: vec![SubnetLimit {
            prefix_len: 0,
            conns: 0,
        }],
        ..SubnetLimits::reference_defaults()
    };
    let (addresses, _) = addresses(without_rates(&[], none));
    for free in [Endpoint::None, endpoint("/dns4/example.com/tcp/443")] {
        assert!(addresses.admit(free).unwrap().is_none());
    }
    assert!(addresses.admit(ip("192.0.2.7").into()).is_err());
}

#[test]
fn loopback_is_unlimited_and_needs_no_verification() {
    let (addresses, _) = addresses(AddressConfig::reference_defaults());
    for loopback in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        for _ in 0..100 {
            drop(addresses.admit(ip(loopback).into()).unwrap());
            assert!(!addresses.verify_source_address(ip(loopback)));
        }
    }
}

#[test]
fn the_configuration_none_limits_nothing() {
    let (addresses, _) = addresses(AddressConfig::none());
    assert_eq!(room(&addresses, "/ip4/192.0.2.7/tcp/1"), 100);
    assert!(!addresses.verify_source_address(ip("192.0.2.7")));
    assert_eq!(addresses.stat().tracked_buckets, 0);
}

#[test]
fn allowlisted_networks_have_the_limit_of_the_allowlisted_system_scope() {
    let entries = ["/ip4/1.2.3.0/ipcidr/24", "/ip4/9.8.7.6", "/ip4/8.8.8.8"];
    let own = SubnetLimits {
        v4_networks: vec![NetworkLimit {
            network: "9.8.7.6/32".parse().unwrap(),
            conns: LimitValue::Limited(5),
        }],
        ..SubnetLimits::reference_defaults()
    };
    let (addresses, _) = addresses(without_rates(&entries, own.clone()));
    let peer = "/p2p/QmbFgm5zan8P6eWWmeyfncR5feYEMPbht5b1FW1C37aQ7y";
    let later = format!("/ip4/192.0.2.8{peer}").parse().unwrap();
    assert!(addresses.allowlist().add(later));

    for _ in 0..2 {
        assert_eq!(room(&addresses, "/ip4/1.2.3.4/tcp/1"), 3);
        assert_eq!(room(&addresses, "/ip4/8.8.8.8/tcp/1"), 3);
        assert_eq!(room(&addresses, "/ip4/9.8.7.6/tcp/1"), 5);
        assert_eq!(room(&addresses, "/ip4/192.0.2.8/tcp/1"), 8);
        addresses
            .change(|config| config.subnets = own.clone())
            .unwrap();
        assert_eq!(
            addresses.limits().subnets.clone(),
            own,
            "only the limits that were set"
        );
    }
    addresses.set(addresses.limits(), LimitValue::Limited(4));
    assert_eq!(room(&addresses, "/ip4/1.2.3.4/tcp/1"), 4);
    assert_eq!(room(&addresses, "/ip4/9.8.7.6/tcp/1"), 5);
    assert_eq!(addresses.limits().subnets.clone(), own);
}

#[test]
fn verification_starts_after_half_of_the_connections_and_follows_new_limits() {
    let (addresses, clock) = addresses(AddressConfig::reference_defaults());
    let unverified = || {
        let asked = (0..100).take_while(|_| !addresses.verify_source_address(ip("192.0.2.7")));
        asked.count()
    };
    assert_eq!(unverified(), 4);
    assert_eq!(unverified(), 0);
    clock.advance(Duration::from_secs(10));
    assert_eq!(unverified(), 1);

    let limit = |conns| SubnetLimits {
        v4: vec![SubnetLimit {
            prefix_len: 32,
            conns,
        }],
        ..SubnetLimits::reference_defaults()
    };
    addresses
        .change(|config| config.subnets = limit(20))
        .unwrap();
    assert_eq!(unverified(), 10);
    addresses
        .change(|config| config.subnets = limit(1))
        .unwrap();
    assert_eq!(unverified(), 0);
}

#[test]
fn an_unlimited_network_skips_the_global_rate() {
    let rate = Rate {
        per_second: 0.0,
        burst: 1,
    };
    let limits = RateLimits {
        global: Some(rate),
        v4_networks: vec![NetworkRate {
            network: "10.0.0.0/8".parse().unwrap(),
            rate: None,
        }],
        ..RateLimits::none()
    };
    let limiter = RateLimiter::new(limits, Arc::new(TestClock::default())).unwrap();
    assert!(limiter.allow(ip("192.0.2.7")).is_ok());
    let refused = limiter.allow(ip("2001:db8::1")).unwrap_err();
    assert_eq!(
        (refused.network, refused.retry_after),
        (None, Duration::MAX)
    );
    assert!(limiter.allow(ip("10.0.0.1")).is_ok());
    assert_eq!(limiter.refused(), 1);
}

#[test]
fn extreme_rates_do_not_overflow() {
    let clock = Arc::new(TestClock::default());
    for per_second in [0.0, -0.0, f64::MIN_POSITIVE, 1e-9, 1.0, 1e300, f64::MAX] {
        for burst in [1, 2, u32::MAX] {
            let rate = Rate { per_second, burst };
            let v4 = vec![SubnetRate {
                prefix_len: 32,
                rate,
            }];
            let limits = RateLimits {
                v4,
                ..RateLimits::none()
            };
            let limiter = RateLimiter::new(limits, clock.clone()).unwrap();
            assert!(limiter.allow(ip("192.0.2.7")).is_ok(), "{rate:?}");
            if per_second < 1e-8 && burst == 1 {
                assert!(limiter.allow(ip("192.0.2.7")).is_err(), "{rate:?}");
            }
            clock.advance(Duration::from_secs(1 << 30));
        }
    }
}

#[test]
fn a_bad_configuration_is_refused_by_field_and_changes_nothing() {
    let size = |prefix_len| SubnetLimit {
        prefix_len,
        conns: 1,
    };
    let network = |network: &str| NetworkLimit {
        network: network.parse().unwrap(),
        conns: LimitValue::Unlimited,
    };
    let none = SubnetLimits::none;
    let bad = [
        (
            "subnets.v4: ",
            SubnetLimits {
                v4: vec![size(33)],
                ..none()
            },
        ),
        (
            "subnets.v6: ",
            SubnetLimits {
                v6: vec![size(129)],
                ..none()
            },
        ),
        (
            "subnets.v6: ",
            SubnetLimits {
                v6: vec![size(8), size(8)],
                ..none()
            },
        ),
        (
            "subnets.v4: ",
            SubnetLimits {
                v4: (0..9).map(size).collect(),
                ..none()
            },
        ),
        (
            "subnets.v4_networks: ",
            SubnetLimits {
                v4_networks: vec![network("::/0")],
                ..none()
            },
        ),
        (
            "subnets.v6_networks: ",
            SubnetLimits {
                v6_networks: vec![network("10.0.0.0/8")],
                ..none()
            },
        ),
        (
            "subnets.v4_networks: ",
            SubnetLimits {
                v4_networks: vec![network("10.0.0.1/8"), network("10.0.0.2/8")],
                ..none()
            },
        ),
    ];
    let (addresses, _) = addresses(AddressConfig::reference_defaults());
    for (field, limits) in bad {
        assert!(SubnetLimiter::new(limits.clone()).is_err());
        let error = addresses
            .change(|config| config.subnets = limits)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with(field), "{error}");
    }
    for per_second in [f64::NAN, f64::INFINITY, -1.0] {
        let rates = RateLimits {
            global: Some(Rate {
                per_second,
                burst: 1,
            }),
            ..RateLimits::none()
        };
        let error = addresses
            .change(|config| config.rates = rates)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("rates.global: "), "{error}");
    }
    assert_eq!(
        addresses.limits().subnets.clone(),
        SubnetLimits::reference_defaults()
    );
    assert_eq!(
        addresses.limits().rates.clone(),
        RateLimits::reference_defaults()
    );
}

/// Threads open and close connections, each a few at a time, in two /56 subnets of one /48. Asserts
/// that never more than `most` are open in one subnet, and never more than `in_all` together.
fn churn(limiter: &Arc<SubnetLimiter>, most: u64, in_all: u64, on_refusal: impl Fn() + Sync) {
    let held = [AtomicU64::new(0), AtomicU64::new(0)];
    let all_held = AtomicU64::new(0);
    thread::scope(|scope| {
        for thread in 0..8_u16 {
            let (held, all_held, on_refusal) = (&held, &all_held, &on_refusal);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(thread.into());
                let mut open = Vec::new();
                for _ in 0..20_000 {
                    let which = random.u16(0..2);
                    if open.len() < 4 && random.bool() {
                        let ip = [0x2001, 0xdb8, 0, which << 8, 0, 0, 0, thread];
                        let Ok(permit) = limiter.open(IpAddr::from(ip)) else {
                            on_refusal();
                            continue;
                        };
                        // Counted after it was opened and until before it is closed, so never too
                        // many.
                        let held = &held[usize::from(which)];
                        assert!(held.fetch_add(1, Ordering::SeqCst) < most);
                        assert!(all_held.fetch_add(1, Ordering::SeqCst) < in_all);
                        open.push((permit, held));
                    } else if !open.is_empty() {
                        let (permit, held) = open.swap_remove(random.usize(0..open.len()));
                        held.fetch_sub(1, Ordering::SeqCst);
                        all_held.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                }
                for (permit, held) in open {
                    held.fetch_sub(1, Ordering::SeqCst);
                    all_held.fetch_sub(1, Ordering::SeqCst);
                    drop(permit);
                }
            });
        }
    });
}

fn v6(narrow: u64, wide: u64) -> Arc<SubnetLimiter> {
    let size = |prefix_len, conns| SubnetLimit { prefix_len, conns };
    let limits = SubnetLimits {
        v6: vec![size(56, narrow), size(48, wide)],
        ..SubnetLimits::none()
    };
    Arc::new(SubnetLimiter::new(limits).unwrap())
}

#[test]
fn threads_never_hold_more_permits_than_the_limit() {
    let limiter = v6(6, 10);
    let refused = AtomicU64::new(0);
    let count = || {
        refused.fetch_add(1, Ordering::Relaxed);
    };
    churn(&limiter, 6, 10, count);
    assert_eq!((limiter.permits(), limiter.tracked()), (0, 0));
    let refused = refused.into_inner();
    assert!(refused > 0);
    assert_eq!(limiter.refused(), refused);
}

#[test]
fn threads_are_never_refused_below_the_limit() {
    let limiter = v6(32, 32);
    churn(&limiter, 32, 32, || {
        panic!("refused although fewer than 32 were open")
    });
    assert_eq!((limiter.permits(), limiter.refused()), (0, 0));
}

#[test]
fn a_permit_returned_by_many_threads_is_returned_once() {
    let limiter = v6(4, 4);
    for _ in 0..100 {
        let [kept, permit] = [(); 2].map(|()| limiter.open(ip("2001:db8::1")).unwrap());
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| permit.give_back());
            }
        });
        drop(permit);
        assert_eq!(limiter.permits(), 1);
        drop(kept);
    }
    assert_eq!(limiter.tracked(), 0);
}

#[test]
fn the_allowlist_can_change_during_lookups() {
    let list = Allowlist::new(&["/ip4/10.0.0.0/ipcidr/8".parse().unwrap()]);
    let other = "/ip4/192.0.2.7".parse().unwrap();
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..1_000 {
                    list.add(other);
                    list.remove(&other);
                    assert!(list.allows_ip(ip("10.1.2.3")));
                }
            });
        }
    });
    assert!(!list.allows_ip(ip("192.0.2.7")));
    assert_eq!(list.entries().len(), 1);
}
