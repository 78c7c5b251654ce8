//! What users can rely on in a dry run, one sentence each.

use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_atomic::address::{
    AddressConfig, AddressLimits, Rate, RateLimits, SubnetLimit, SubnetLimits, SubnetRate,
};
use rcmgr_atomic::{
    Connection, Direction, Endpoint, Error, KIB, Limit, LimitValue, Limits, Manager, PeerId,
    Priority, Refusals, ScopeClass, ScopeId, ScopeReport, UsesFd,
};

fn peer() -> PeerId {
    "tenant-7".parse().unwrap()
}

fn with_dry_run(tighten: impl FnOnce(&mut Limits)) -> Manager {
    let mut dry_run = Limits::unlimited();
    tighten(&mut dry_run);
    Manager::builder().dry_run(dry_run).build().unwrap()
}

/// The classes that would have refused, with their numbers.
fn let_pass(manager: &Manager) -> Vec<(ScopeClass, Refusals)> {
    let counts = ScopeClass::ALL.into_iter().zip(manager.dry_run_refusals());
    counts.filter(|(_, refused)| refused.total() > 0).collect()
}

fn memory(memory: u64) -> Refusals {
    Refusals {
        memory,
        ..Refusals::default()
    }
}

fn streams_inbound(streams_inbound: u64) -> Refusals {
    Refusals {
        streams_inbound,
        ..Refusals::default()
    }
}

/// Of connections with a file descriptor.
fn conns_inbound(conns_inbound: u64) -> Refusals {
    Refusals {
        conns_inbound,
        conns_with_fd: conns_inbound,
        ..Refusals::default()
    }
}

fn open(manager: &Manager, from: &str) -> Result<Connection, Error> {
    let ip: IpAddr = from.parse().unwrap();
    manager.open_connection(Direction::Inbound, UsesFd::Yes, ip)
}

fn one_for_each_address() -> AddressConfig {
    AddressConfig {
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 1,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    }
}

fn report(manager: &Manager, id: &ScopeId) -> ScopeReport {
    let mut scopes = manager.scopes().into_iter();
    scopes.find(|scope| scope.id == *id).unwrap()
}

#[test]
fn a_dry_run_grants_what_it_counts() {
    let manager = with_dry_run(|limits| limits.peer_default.streams_inbound = 2.into());
    let open = || manager.open_stream(&peer(), Direction::Inbound).unwrap();
    let streams: Vec<_> = (0..5).map(|_| open()).collect();
    assert_eq!(let_pass(&manager), [(ScopeClass::Peer, streams_inbound(3))]);
    let of_peer = report(&manager, &ScopeId::Peer(peer()));
    assert_eq!(of_peer.dry_run_refusals, streams_inbound(3));
    assert_eq!(of_peer.refusals, Refusals::default());
    // It is the real usage: one more fits only after four have closed.
    drop(streams);
    assert!(manager.peers().is_empty());
    drop(open());
    // The counts of a scope that is gone are kept for its class.
    assert_eq!(let_pass(&manager), [(ScopeClass::Peer, streams_inbound(3))]);
}

#[test]
fn a_dry_run_counts_the_first_scope_that_would_have_refused() {
    let manager = with_dry_run(|limits| {
        limits.stream.memory = 900.into();
        limits.peer_default.memory = 600.into();
        limits.system.memory = 300.into();
    });
    let stream = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    for _ in 0..4 {
        stream.reserve_memory(300, Priority::Always).unwrap();
    }
    let want = [
        (ScopeClass::System, memory(1)),
        (ScopeClass::Peer, memory(1)),
        (ScopeClass::Stream, memory(1)),
    ];
    assert_eq!(let_pass(&manager), want);
}

#[test]
fn a_dry_run_regards_priorities() {
    let manager = with_dry_run(|limits| limits.system.memory = 1000.into());
    let dht = manager.view_service("dht");
    dht.reserve_memory(500, Priority::Medium).unwrap();
    assert_eq!(let_pass(&manager), []);
    // Medium may use 593 bytes, always 1000.
    dht.reserve_memory(100, Priority::Medium).unwrap();
    dht.reserve_memory(400, Priority::Always).unwrap();
    assert_eq!(let_pass(&manager), [(ScopeClass::System, memory(1))]);
}

#[test]
fn a_dry_run_evaluates_spans_and_the_moves_of_leaves() {
    let manager = with_dry_run(|limits| {
        limits.conn.memory = 100.into();
        limits.peer_default.conns = 0.into();
        limits.protocol_default.streams = 0.into();
        limits.service_default = Some(Limit::BLOCK_ALL);
    });
    let connection = open(&manager, "192.0.2.1").unwrap();
    let span = connection.begin_span().unwrap();
    span.reserve_memory(101, Priority::Always).unwrap();
    assert_eq!(let_pass(&manager), [(ScopeClass::Span, memory(1))]);
    connection.set_peer(&peer()).unwrap();
    let stream = connection.open_stream(Direction::Inbound).unwrap();
    stream.set_protocol("/echo").unwrap();
    stream.set_service("echo").unwrap();
    let want = [
        (ScopeClass::Service, streams_inbound(1)),
        (ScopeClass::Protocol, streams_inbound(1)),
        (ScopeClass::Peer, conns_inbound(1)),
        (ScopeClass::Span, memory(1)),
    ];
    assert_eq!(let_pass(&manager), want);
}

#[test]
fn a_request_that_is_refused_is_not_evaluated() {
    let mut limits = Limits::unlimited();
    limits.system.conns = 0.into();
    let mut dry_run = Limits::unlimited();
    dry_run.transient = Limit::BLOCK_ALL;
    dry_run.addresses = AddressLimits::new(one_for_each_address()).unwrap();
    let builder = Manager::builder().limits(limits).dry_run(dry_run);
    let manager = builder.build().unwrap();
    for _ in 0..3 {
        open(&manager, "192.0.2.1").unwrap_err();
    }
    assert_eq!(let_pass(&manager), []);
    let stat = manager.dry_run_addresses().unwrap();
    assert_eq!((stat.refused_by_subnet, stat.permits), (0, 0));
}

#[test]
fn a_limit_that_is_set_on_one_scope_holds_in_the_dry_run_too() {
    let manager = with_dry_run(|limits| limits.peer_default.streams = 0.into());
    let view = manager.view_peer(&peer());
    view.set_limit(Limit {
        streams: 1.into(),
        ..Limit::UNLIMITED
    });
    let first = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    assert_eq!(let_pass(&manager), []);
    // Both limits are the same, so it is refused.
    manager
        .open_stream(&peer(), Direction::Inbound)
        .unwrap_err();
    assert_eq!(let_pass(&manager), []);
    view.reset_limit();
    drop(first);
    let _open = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    assert_eq!(let_pass(&manager), [(ScopeClass::Peer, streams_inbound(1))]);

    let stream = manager.open_stream(&peer(), Direction::Outbound).unwrap();
    stream.set_limit(Limit {
        memory: KIB.into(),
        ..Limit::UNLIMITED
    });
    stream.reserve_memory(KIB, Priority::Always).unwrap();
    stream.reserve_memory(1, Priority::Always).unwrap_err();
}

#[test]
fn a_dry_run_is_switched_on_over_and_off_with_all_other_limits() {
    let manager = Manager::builder().credit_after(0).build().unwrap();
    let stream = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    // Enough for prepaid credit, which is not usage.
    for _ in 0..10 {
        stream.reserve_memory(100, Priority::Always).unwrap();
    }
    assert_eq!(manager.dry_run_addresses(), None);
    let set = |memory: Option<u64>| {
        let mut limits = Limits::unlimited();
        limits.dry_run = memory.map(|memory| {
            let mut dry_run = Limits::unlimited();
            dry_run.system.memory = memory.into();
            Arc::new(dry_run)
        });
        manager.set_limits(limits.clone());
        assert_eq!(*manager.limits(), limits);
    };
    set(Some(1100));
    stream.reserve_memory(100, Priority::Always).unwrap();
    assert_eq!(let_pass(&manager), []);
    assert!(manager.dry_run_addresses().is_some());
    stream.reserve_memory(1, Priority::Always).unwrap();
    assert_eq!(let_pass(&manager), [(ScopeClass::System, memory(1))]);
    set(Some(2000));
    stream.reserve_memory(1, Priority::Always).unwrap();
    set(None);
    for _ in 0..100 {
        stream.reserve_memory(100, Priority::Always).unwrap();
    }
    // The counts stay.
    assert_eq!(let_pass(&manager), [(ScopeClass::System, memory(1))]);
    assert_eq!(manager.dry_run_addresses(), None);
    drop(stream);
    assert!(manager.stat().system.is_zero());
}

#[test]
fn limits_that_were_in_force_and_are_evaluated_do_not_keep_their_own_dry_run() {
    let manager = with_dry_run(|limits| limits.dry_run = Some(Arc::new(Limits::unlimited())));
    for memory in 1..4 {
        let before = manager.limits();
        assert_eq!(before.dry_run.as_ref().unwrap().dry_run, None);
        let mut limits = Limits::unlimited();
        limits.system.memory = memory.into();
        limits.dry_run = Some(before.clone());
        manager.set_limits(limits);
        // All else of them is evaluated.
        let evaluated = manager.limits().dry_run.clone().unwrap();
        assert_eq!(evaluated.system, before.system);
    }
}

#[test]
fn a_service_without_a_limit_in_the_dry_run_would_not_be_refused() {
    let mut limits = Limits::unlimited();
    limits.service_default = Some(Limit::all(LimitValue::Limited(10)));
    let mut dry_run = Limits::unlimited();
    dry_run.service_default = None;
    let builder = Manager::builder().limits(limits).dry_run(dry_run);
    let manager = builder.build().unwrap();
    let echo = manager.open_service("echo").unwrap();
    echo.reserve_memory(10, Priority::Always).unwrap();
    assert_eq!(let_pass(&manager), []);
}

#[test]
fn limits_by_address_of_a_dry_run_are_counted_and_not_enforced() {
    let mut dry_run = Limits::unlimited();
    dry_run.system.conns = 2.into();
    dry_run.addresses = AddressLimits::new(one_for_each_address()).unwrap();
    let manager = Manager::builder().dry_run(dry_run).build().unwrap();
    let of_first: Vec<_> = (0..3)
        .map(|_| open(&manager, "192.0.2.1").unwrap())
        .collect();
    let stat = manager.dry_run_addresses().unwrap();
    // All three are open, and are counted as that.
    assert_eq!((stat.refused_by_subnet, stat.permits), (2, 3));
    // The address would have been refused before the scopes were asked.
    assert_eq!(let_pass(&manager), []);
    let of_second = open(&manager, "192.0.2.2").unwrap();
    assert_eq!(let_pass(&manager), [(ScopeClass::System, conns_inbound(1))]);
    assert_eq!(manager.addresses().stat().refused_by_subnet, 0);

    // A permit is given back once.
    of_second.done();
    of_second.done();
    drop(of_second);
    assert_eq!(manager.dry_run_addresses().unwrap().permits, 3);
    drop(of_first);
    let stat = manager.dry_run_addresses().unwrap();
    assert_eq!((stat.permits, stat.tracked_subnets), (0, 0));
}

#[test]
fn connections_that_were_open_before_a_dry_run_have_no_permit_in_it() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let before = open(&manager, "192.0.2.1").unwrap();
    let mut limits = Limits::unlimited();
    let mut dry_run = Limits::unlimited();
    dry_run.addresses = AddressLimits::new(one_for_each_address()).unwrap();
    limits.dry_run = Some(Arc::new(dry_run));
    manager.set_limits(limits.clone());
    let during = open(&manager, "192.0.2.1").unwrap();
    let stat = manager.dry_run_addresses().unwrap();
    assert_eq!((stat.refused_by_subnet, stat.permits), (0, 1));
    // A permit of a dry run that has ended is not given back to the next one.
    manager.set_limits(Limits::unlimited());
    manager.set_limits(limits);
    let later = open(&manager, "192.0.2.1").unwrap();
    drop((before, during));
    assert_eq!(manager.dry_run_addresses().unwrap().permits, 1);
    drop(later);
    assert_eq!(manager.dry_run_addresses().unwrap().permits, 0);
}

#[test]
fn rates_of_a_dry_run_are_counted() {
    let mut dry_run = Limits::unlimited();
    let rate = Rate {
        per_second: 0.001,
        burst: 2,
    };
    let config = AddressConfig {
        rates: RateLimits {
            v4: vec![SubnetRate {
                prefix_len: 32,
                rate,
            }],
            ..RateLimits::none()
        },
        ..AddressConfig::none()
    };
    dry_run.addresses = AddressLimits::new(config).unwrap();
    let manager = Manager::builder().dry_run(dry_run).build().unwrap();
    for _ in 0..5 {
        drop(open(&manager, "192.0.2.1").unwrap());
    }
    assert_eq!(manager.dry_run_addresses().unwrap().refused_by_rate, 3);
    // An endpoint without an address is not limited.
    let opened = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    drop(opened.unwrap());
    assert_eq!(manager.dry_run_addresses().unwrap().refused_by_rate, 3);
}

#[test]
fn a_connection_on_the_allowlist_is_evaluated_on_the_scopes_that_let_it_in() {
    let mut limits = Limits::unlimited();
    limits.system = Limit::BLOCK_ALL;
    let allowlist = vec!["/ip4/192.0.2.0/ipcidr/24".parse().unwrap()];
    limits.addresses = AddressLimits::new(AddressConfig {
        allowlist,
        ..AddressConfig::none()
    })
    .unwrap();
    let mut dry_run = Limits::unlimited();
    dry_run.allowlisted_system.conns = 1.into();
    dry_run.addresses = AddressLimits::new(one_for_each_address()).unwrap();
    limits.dry_run = Some(Arc::new(dry_run));
    let manager = Manager::new(limits).unwrap();
    let _first = open(&manager, "192.0.2.1").unwrap();
    let _second = open(&manager, "192.0.2.1").unwrap();
    let refused = [(ScopeClass::AllowlistedSystem, conns_inbound(1))];
    assert_eq!(let_pass(&manager), refused);
    assert_eq!(manager.dry_run_addresses().unwrap().permits, 0);
}
