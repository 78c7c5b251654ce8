//! A flood of one-time addresses leaves nothing behind: no permit, no bucket, and no memory.
//!
//! The test counts allocations, so it gives the same result on every machine. A million addresses come
//! in an optimised build, and a tenth of that in a debug build.

use std::collections::VecDeque;
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_atomic::address::{AddressConfig, RateLimiter};
use rcmgr_atomic::{Clock, Connection, Direction, Endpoint, MIB, Manager, UsesFd};

const ADDRESSES: u128 = if cfg!(debug_assertions) {
    100_000
} else {
    1_000_000
};
/// How many of them are connected at a time.
const AT_ONCE: usize = 4096;

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

fn open(manager: &Manager, from: u128) -> Connection {
    let from: Endpoint = std::net::IpAddr::from(Ipv6Addr::from_bits(from)).into();
    let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, from);
    opened.expect("it comes from a subnet of its own")
}

#[test]
fn one_time_addresses_open_and_close_a_connection_each() {
    let clock = Arc::new(TestClock::default());
    let manager = Manager::builder()
        .addresses(AddressConfig::reference_defaults())
        .clock(clock.clone());
    let manager = manager.build().expect("the configuration works");
    let memory = allocation_counter::measure(|| {
        let mut connected = VecDeque::with_capacity(AT_ONCE);
        for number in 0..ADDRESSES {
            if connected.len() == AT_ONCE {
                connected.pop_front();
            }
            // Each address is in a /48 of its own.
            connected.push_back(open(&manager, (0x2001 << 112) + (number << 80)));
        }
        let stat = manager.addresses().stat();
        assert_eq!(stat.permits, AT_ONCE as u64);
        assert!(stat.tracked_buckets <= RateLimiter::MAX_TRACKED as u64);
        drop(connected);

        // A bucket is full again after five seconds, and is dropped a minute later, by the connections
        // that come then.
        clock.0.store(66, Ordering::Relaxed);
        for _ in 0..100 {
            drop(open(&manager, Ipv6Addr::LOCALHOST.to_bits()));
        }
    });
    let stat = manager.addresses().stat();
    assert_eq!(
        (stat.permits, stat.tracked_subnets, stat.tracked_buckets),
        (0, 0, 0)
    );
    assert!(manager.stat().system.is_zero());
    println!(
        "{} bytes allocated at most, {} kept",
        memory.bytes_max, memory.bytes_current
    );
    assert!(memory.bytes_max < 32 * MIB);
    assert!(memory.bytes_current < MIB as i64);
}
