//! The cost of opening a connection, and of a refusal by the rate limiter, the subnet limiter, and
//! a scope. The limiters come first because their refusals must be the cheapest.
//!
//! Both limiters check every address, as by default. The cases differ in the part that refuses. `no
//! address` leaves the limiters out and has the cost of the scopes alone. `no address` leaves the
//! limiters out, for what the scopes cost by themselves.

use std::hint::black_box;
use std::net::IpAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use rcmgr_atomic::address::{
    AddressConfig, Rate, RateLimits, SubnetLimit, SubnetLimits, SubnetRate,
};
use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};

const MANY: u64 = 1 << 40;

/// A configuration in which both limiters check every address.
fn addresses(conns: u64, rate: Rate) -> AddressConfig {
    AddressConfig {
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns,
            }],
            ..SubnetLimits::reference_defaults()
        },
        rates: RateLimits {
            v4: vec![SubnetRate {
                prefix_len: 32,
                rate,
            }],
            ..RateLimits::reference_defaults()
        },
        ..AddressConfig::reference_defaults()
    }
}

fn manager(conns: u64, addresses: AddressConfig) -> Manager {
    let mut limits = Limits::unlimited();
    limits.system.conns = conns.into();
    let builder = Manager::builder();
    let manager = builder.limits(limits).addresses(addresses).build();
    manager.expect("the configuration works")
}

fn open_connection(c: &mut Criterion) {
    let any_rate = Rate {
        per_second: 1e9,
        burst: u32::MAX,
    };
    let no_rate = Rate {
        per_second: 0.0,
        burst: 0,
    };
    let from: Endpoint = IpAddr::from([192, 0, 2, 7]).into();
    let mut group = c.benchmark_group("open_connection");
    let mut bench = |name, manager: Manager, from: Endpoint, granted: bool| {
        let open = || manager.open_connection(Direction::Inbound, UsesFd::Yes, black_box(from));
        assert_eq!(open().is_ok(), granted, "{name}");
        group.bench_function(name, |b| b.iter(|| open().is_ok()));
        assert_eq!(open().is_ok(), granted, "{name}");
    };
    bench(
        "refused by rate",
        manager(MANY, addresses(MANY, no_rate)),
        from,
        false,
    );
    bench(
        "refused by subnet",
        manager(MANY, addresses(0, any_rate)),
        from,
        false,
    );
    bench(
        "refused by system",
        manager(0, addresses(MANY, any_rate)),
        from,
        false,
    );
    bench(
        "refused by system, no address",
        manager(0, AddressConfig::none()),
        Endpoint::None,
        false,
    );
    bench(
        "granted and closed",
        manager(MANY, addresses(MANY, any_rate)),
        from,
        true,
    );
    bench(
        "granted and closed, no address",
        manager(MANY, AddressConfig::none()),
        Endpoint::None,
        true,
    );
    group.finish();
}

criterion_group!(benches, open_connection);
criterion_main!(benches);
