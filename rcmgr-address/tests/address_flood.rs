//! Memory and state during and after a flood of addresses.

mod common;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use common::TestClock;
use rcmgr_address::{
    AddressConfig, AddressLimits, Addresses, Rate, RateLimiter, RateLimits, SubnetLimit,
    SubnetLimiter, SubnetLimits, SubnetRate,
};
use rcmgr_core::{Endpoint, LimitValue};

const FLOOD: u128 = 1_000_000;
/// The number of connections of the flood that are open at a time.
const OPEN: usize = 50_000;
const MIB: u64 = 1 << 20;

/// An address in a /48 of its own.
fn address(number: u128) -> IpAddr {
    Ipv6Addr::from_bits((0x2001 << 112) + (number << 80)).into()
}

fn reference_defaults() -> AddressLimits {
    AddressLimits::new(AddressConfig::reference_defaults()).unwrap()
}

#[test]
fn a_flood_of_a_million_subnets_leaves_nothing_behind() {
    let clock = Arc::new(TestClock::default());
    let unlimited = LimitValue::Unlimited;
    let addresses = Addresses::new(reference_defaults(), unlimited, clock.clone());

    let memory = allocation_counter::measure(|| {
        let mut open = Vec::with_capacity(OPEN);
        for number in 0..FLOOD {
            open.push(addresses.admit(address(number).into()).unwrap());
            if open.len() == OPEN {
                let stat = addresses.stat();
                assert_eq!(stat.permits, OPEN as u64);
                assert_eq!(stat.tracked_subnets, 2 * OPEN as u64);
                assert!(stat.tracked_buckets <= RateLimiter::MAX_TRACKED as u64);
                open.clear();
                assert_eq!(addresses.stat().tracked_subnets, 0);
            }
        }
        drop(open);
        let stat = addresses.stat();
        assert_eq!((stat.permits, stat.tracked_subnets), (0, 0));
        assert_eq!((stat.refused_by_rate, stat.refused_by_subnet), (0, 0));
        assert!(stat.tracked_buckets > RateLimiter::MAX_TRACKED as u64 / 2);

        // A bucket is full after five seconds; then the grace period of a minute, and one call for
        // each shard.
        clock.advance(Duration::from_secs(66));
        let loopback: Endpoint = IpAddr::from(Ipv6Addr::LOCALHOST).into();
        for _ in 0..65 {
            drop(addresses.admit(loopback).unwrap());
        }
        assert_eq!(addresses.stat().tracked_buckets, 0);
    });
    let kept = memory.bytes_current;
    assert!(kept < MIB as i64, "{kept} bytes are still allocated");
    let most = memory.bytes_max;
    assert!(most < 40 * MIB, "the peak is {most} bytes");
}

#[test]
fn a_refused_address_stays_refused_through_a_flood() {
    let rates = RateLimits {
        v6: vec![SubnetRate {
            prefix_len: 56,
            rate: Rate {
                per_second: 0.01,
                burst: 4,
            },
        }],
        ..RateLimits::none()
    };
    let limiter = RateLimiter::new(rates, Arc::new(TestClock::default())).unwrap();
    let greedy: Vec<IpAddr> = (0..100).map(address).collect();
    for &ip in &greedy {
        while limiter.allow(ip).is_ok() {}
    }
    for number in 100..2 * RateLimiter::MAX_TRACKED as u128 {
        limiter.allow(address(number)).unwrap();
    }
    let refused = greedy.iter().filter(|&&ip| limiter.allow(ip).is_err());
    assert_eq!(refused.count(), greedy.len());
}

#[test]
fn a_refusal_allocates_nothing() {
    let subnets = Arc::new(SubnetLimiter::new(SubnetLimits::reference_defaults()).unwrap());
    let rates = RateLimiter::new(
        RateLimits::reference_defaults(),
        Arc::new(TestClock::default()),
    )
    .unwrap();
    let ip = address(7);
    let permits: Vec<_> = (0..8).map(|_| subnets.open(ip).unwrap()).collect();
    while rates.allow(ip).is_ok() {}
    let block_all = SubnetLimits {
        v4: vec![SubnetLimit {
            prefix_len: 32,
            conns: 0,
        }],
        ..SubnetLimits::none()
    };
    let closed = Arc::new(SubnetLimiter::new(block_all).unwrap());

    let memory = allocation_counter::measure(|| {
        for _ in 0..100 {
            assert!(subnets.open(ip).is_err());
            assert!(rates.allow(ip).is_err());
            assert!(closed.open([192, 0, 2, 7].into()).is_err());
        }
    });
    assert_eq!(memory.count_total, 0);
    drop(permits);
}
