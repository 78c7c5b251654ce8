//! Waiting together with the rest of the manager: addresses, the allowlist, dry runs, moves, collection.

use std::net::IpAddr;
use std::sync::Arc;

use rcmgr_atomic::address::{AddressConfig, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{
    AddressLimits, Direction, Endpoint, Error, Limit, Limits, Manager, OpenConnectionWhenAvailable,
    Priority, ReserveWhenAvailable, Resource, ScopeClass, Service, UsesFd,
};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

use super::support::{connection, hold, is_closed, manager, nothing_is_left, peer, with_limits};

/// A request of a closed stream may still be in the queue of its peer, whose scope was collected
/// meanwhile. The scope that is made then is another one.
#[test]
fn a_request_behind_one_of_a_collected_scope_is_woken_by_the_scope_of_the_same_name() {
    let manager = with_limits(|limits| limits.peer_default.memory = 100.into());
    let open = || manager.open_stream(&peer("a"), Direction::Inbound).unwrap();
    let first = open();
    first.reserve_memory(80, Priority::Always).unwrap();
    let mut closed = spawn(first.reserve_when_available(50_u64, Priority::Always));
    assert_pending!(closed.poll());
    first.done();
    assert!(manager.peers().is_empty(), "the scope of the peer is gone");

    let second = open();
    let held = second.reserve(80_u64, Priority::Always).unwrap();
    let mut waiting = spawn(second.reserve_when_available(50_u64, Priority::Always));
    assert_pending!(waiting.poll());
    assert!(is_closed(&assert_ready_err!(closed.poll())));
    assert!(waiting.is_woken(), "its turn has come");
    assert_pending!(waiting.poll());
    drop(held);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));
    second.done();
    nothing_is_left(&manager);
    assert!(manager.peers().is_empty());
}

fn from(ip: &str) -> Endpoint {
    ip.parse::<IpAddr>().unwrap().into()
}

fn open(manager: &Manager, ip: &str) -> rcmgr_atomic::Connection {
    let opened = manager.open_connection(Direction::Inbound, UsesFd::No, from(ip));
    opened.unwrap()
}

fn opening(manager: &Manager, ip: &str) -> Spawn<OpenConnectionWhenAvailable> {
    let (direction, uses_fd) = (Direction::Inbound, UsesFd::No);
    spawn(manager.open_connection_when_available(direction, uses_fd, from(ip)))
}

/// Limits with an allowlist, and with room for so many connections in the standard and in the
/// allowlisted transient scope.
fn with_allowlist(entries: &[&str], standard: u64, allowlisted: u64) -> Manager {
    let allowlist = entries.iter().map(|entry| entry.parse().unwrap());
    let config = AddressConfig {
        allowlist: allowlist.collect(),
        ..AddressConfig::none()
    };
    with_limits(|limits| {
        limits.addresses = AddressLimits::new(config).unwrap();
        limits.transient.conns = standard.into();
        limits.allowlisted_transient.conns = allowlisted.into();
    })
}

#[test]
fn a_connection_of_the_allowlist_is_woken_by_room_in_the_standard_and_in_the_allowlisted_scopes() {
    let manager = with_allowlist(&["/ip4/10.0.0.0/ipcidr/8"], 1, 1);
    let standard = open(&manager, "192.0.2.1");
    let allowlisted = open(&manager, "10.0.0.1");
    assert_eq!(manager.stat().allowlisted_transient.conns(), 1);
    let mut first = opening(&manager, "10.0.0.2");
    let mut second = opening(&manager, "10.0.0.3");
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(
        manager.waiting()[0].scope.class(),
        ScopeClass::AllowlistedTransient
    );
    // It gets into the standard scopes.
    drop(standard);
    assert!(first.is_woken());
    let first = assert_ready_ok!(first.poll());
    assert_eq!(manager.stat().transient.conns(), 1);
    // The turn has passed on, and the next one gets into the allowlisted scopes.
    assert_pending!(second.poll());
    drop(allowlisted);
    assert!(second.is_woken());
    let second = assert_ready_ok!(second.poll());
    assert_eq!(manager.stat().allowlisted_transient.conns(), 1);
    drop((first, second));
    nothing_is_left(&manager);
}

/// The connection that the allowlist lets in waits for the allowlisted scopes, and lets the other one
/// go first in the standard ones.
#[test]
fn a_connection_of_the_allowlist_is_woken_when_one_before_it_in_the_standard_scopes_gives_up() {
    let manager = with_allowlist(&["/ip4/10.0.0.0/ipcidr/8"], 1, 0);
    let held = open(&manager, "192.0.2.1");
    let mut other = opening(&manager, "192.0.2.2");
    let mut allowlisted = opening(&manager, "10.0.0.1");
    assert_pending!(other.poll());
    assert_pending!(allowlisted.poll());
    drop(held);
    assert!(other.is_woken() && allowlisted.is_woken());
    assert_pending!(allowlisted.poll());
    drop(other);
    assert!(allowlisted.is_woken());
    drop(assert_ready_ok!(allowlisted.poll()));
    nothing_is_left(&manager);
}

/// The transient scope has prepaid connections, and system has none. A try that takes one from the
/// first puts it back when the second has none, which would wake the request that tried.
#[test]
fn a_connection_does_not_wake_itself_with_credit_that_it_cannot_use() {
    let mut limits = Limits::clone(&with_allowlist(&["/ip4/10.0.0.0/ipcidr/8"], 1_000, 0).limits());
    limits.system.conns = 1.into();
    let builder = Manager::builder().limits(limits).credit_after(1);
    let manager = builder.build().unwrap();
    for _ in 0..3 {
        open(&manager, "192.0.2.1").done();
    }
    let held = open(&manager, "192.0.2.1");
    let mut waiting = opening(&manager, "10.0.0.1");
    assert_pending!(waiting.poll());
    // What it recalled may have woken it once.
    assert_pending!(waiting.poll());
    assert!(!waiting.is_woken());
    drop(held);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));
    nothing_is_left(&manager);
}

#[test]
fn a_connection_of_the_allowlist_may_lack_one_resource_there_and_another_in_the_standard_scopes() {
    let manager = with_allowlist(&["/ip4/10.0.0.0/ipcidr/8"], 1, 10);
    let mut limits = Limits::clone(&manager.limits());
    limits.allowlisted_system.fd = 1.into();
    manager.set_limits(limits);
    let open = |direction, uses_fd, ip| manager.open_connection(direction, uses_fd, from(ip));
    let standard = open(Direction::Outbound, UsesFd::No, "192.0.2.1").unwrap();
    let allowlisted = open(Direction::Inbound, UsesFd::Yes, "10.0.0.1").unwrap();
    let (direction, uses_fd) = (Direction::Inbound, UsesFd::Yes);
    let waiting = manager.open_connection_when_available(direction, uses_fd, from("10.0.0.2"));
    let mut waiting = spawn(waiting);
    assert_pending!(waiting.poll());
    assert_eq!(manager.waiting()[0].resource, Resource::Fd);
    // This one has no file descriptor, and goes in the other direction.
    drop(standard);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));
    drop(allowlisted);
    nothing_is_left(&manager);
}

/// Such a connection is on no scope that both kinds of connections use but the system scope.
#[test]
fn the_end_of_an_unproven_connection_with_a_service_wakes_one_that_waits_for_the_unproven_part() {
    let entries = [
        "/ip4/10.0.0.0/ipcidr/8",
        "/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
    ];
    let manager = with_allowlist(&entries, 0, 4);
    // Two of four may be unproven.
    let with_service = open(&manager, "192.0.2.1");
    with_service.set_service("dht").unwrap();
    let unproven = open(&manager, "192.0.2.2");
    let mut proven: Vec<_> = (0..3).map(|_| open(&manager, "10.0.0.1")).collect();
    // The queue begins with a connection that does not use the unproven part.
    let mut before = opening(&manager, "10.0.0.2");
    assert_pending!(before.poll());
    let mut waiting = opening(&manager, "192.0.2.3");
    assert_pending!(waiting.poll());
    drop(before);
    proven.pop();
    assert_pending!(waiting.poll());
    drop(with_service);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));
    drop((unproven, proven));
    nothing_is_left(&manager);
}

/// The part for unproven connections has limits of connections alone, so no request waits for its memory.
/// The refusal comes from the scope as a whole, where the limit is asked before the turn.
#[test]
fn an_unproven_connection_learns_of_a_reached_memory_limit_although_others_wait_for_memory() {
    let entries = ["/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv"];
    let manager = with_allowlist(&entries, 0, 4);
    let mut limits = Limits::clone(&manager.limits());
    limits.allowlisted_transient.memory = 500.into();
    manager.set_limits(limits);
    let (first, second) = (open(&manager, "192.0.2.1"), open(&manager, "192.0.2.2"));
    let held = first.reserve(400_u64, Priority::Always).unwrap();
    let mut waiting = spawn(first.reserve_when_available(200_u64, Priority::Always));
    assert_pending!(waiting.poll());

    let too_much = second.reserve_memory(300, Priority::Always).unwrap_err();
    let Error::LimitExceeded(why) = &too_much else {
        panic!("{too_much}");
    };
    assert_eq!((why.used, why.requested), (400, 300));
    // There is room for this one, but it would overtake.
    let overtakes = second.reserve_memory(50, Priority::Always).unwrap_err();
    assert!(matches!(overtakes, Error::WaitersFirst(_)), "{overtakes}");
    drop(held);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));
    drop(waiting);
    drop((first, second));
    nothing_is_left(&manager);
}

#[test]
fn a_connection_keeps_its_permit_while_it_waits_and_gives_it_back_when_it_gives_up() {
    let config = AddressConfig {
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 1,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    };
    let manager = with_limits(|limits| {
        limits.addresses = AddressLimits::new(config).unwrap();
        limits.system.conns = 1.into();
    });
    let first = open(&manager, "192.0.2.1");
    let mut waiting = opening(&manager, "192.0.2.2");
    assert_eq!(
        manager.addresses().stat().permits,
        1,
        "a future does nothing before it is polled"
    );
    assert_pending!(waiting.poll());
    assert_eq!(manager.addresses().stat().permits, 2);
    let refused = assert_ready_err!(opening(&manager, "192.0.2.2").poll());
    assert!(matches!(refused, Error::SubnetLimit(_)), "{refused}");
    drop(waiting);
    assert_eq!(manager.addresses().stat().permits, 1);
    // A grant takes the permit along.
    let mut waiting = opening(&manager, "192.0.2.2");
    assert_pending!(waiting.poll());
    drop(first);
    let granted = assert_ready_ok!(waiting.poll());
    drop(waiting);
    assert_eq!(manager.addresses().stat().permits, 1);
    drop(granted);
    nothing_is_left(&manager);
}

#[test]
fn a_dry_run_evaluates_a_request_that_waited_once_when_it_is_granted() {
    let mut dry_run = Limits::unlimited();
    dry_run.system.memory = 10.into();
    dry_run.system.conns = 0.into();
    let manager = with_limits(|limits| {
        limits.system.memory = 100.into();
        limits.system.conns = 1.into();
        limits.dry_run = Some(Arc::new(dry_run));
    });
    let of_system = || manager.dry_run_refusals()[ScopeClass::System as usize];
    let first = connection(&manager);
    let held = first.reserve(90_u64, Priority::Always).unwrap();
    assert_eq!((of_system().memory, of_system().conns_inbound), (1, 1));
    let mut memory = spawn(first.reserve_when_available(50_u64, Priority::Always));
    let mut second = opening(&manager, "192.0.2.1");
    for _ in 0..3 {
        assert_pending!(memory.poll());
        assert_pending!(second.poll());
    }
    assert_eq!((of_system().memory, of_system().conns_inbound), (1, 1));
    drop(held);
    let _room = assert_ready_ok!(memory.poll());
    assert_eq!((of_system().memory, of_system().conns_inbound), (2, 1));
    first.done();
    let _second = assert_ready_ok!(second.poll());
    assert_eq!((of_system().memory, of_system().conns_inbound), (2, 2));
}

#[test]
fn a_span_in_many_spans_waits_at_each_level_that_lacks_room() {
    let manager = with_limits(|limits| {
        limits.conn.memory = 100.into();
        limits.system.memory = 1000.into();
    });
    let connection = connection(&manager);
    let mut spans = vec![connection.begin_span().unwrap()];
    for _ in 0..5 {
        let inner = spans.last().unwrap().begin_span().unwrap();
        spans.push(inner);
    }
    let inner = spans.last().unwrap();
    let mut tight = Limit::UNLIMITED;
    tight.memory = 50.into();
    spans[2].set_limit(tight);
    let system = manager.view_system();
    let of_system = hold(&system, 960);
    let of_connection = connection.reserve(40_u64, Priority::Always).unwrap();
    let of_span = spans[2].reserve(30_u64, Priority::Always);
    assert!(of_span.is_err(), "system is full");
    drop(of_system);
    let of_span = spans[2].reserve(30_u64, Priority::Always).unwrap();
    let of_system = hold(&system, 930);
    // The request is for 45 bytes: the third span has 20, the connection 30, system none.
    let mut waiting = spawn(inner.reserve_when_available(45_u64, Priority::Always));
    assert_pending!(waiting.poll());
    assert_eq!(manager.waiting()[0].scope, spans[2].name());
    drop(of_span);
    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());
    assert_eq!(manager.waiting()[0].scope.class(), ScopeClass::System);
    drop(of_system);
    assert!(waiting.is_woken());
    let room = assert_ready_ok!(waiting.poll());
    // The next one waits for the connection.
    let of_connection_again = connection.reserve(10_u64, Priority::Always).unwrap();
    let outer = &spans[0];
    let mut next = spawn(outer.reserve_when_available(30_u64, Priority::Always));
    assert_pending!(next.poll());
    assert_eq!(manager.waiting()[0].scope, connection.name());
    drop(room);
    assert!(next.is_woken());
    drop(assert_ready_ok!(next.poll()));
    drop((of_connection, of_connection_again));
    connection.done();
    nothing_is_left(&manager);
}

#[test]
fn the_end_of_an_owner_ends_the_wait_for_a_span_that_is_full_itself() {
    let manager = manager();
    for closes_connection in [true, false] {
        let connection = connection(&manager);
        let around = connection.begin_span().unwrap();
        let span = around.begin_span().unwrap();
        let mut tight = Limit::UNLIMITED;
        tight.memory = 50.into();
        span.set_limit(tight);
        let _held = span.reserve(40_u64, Priority::Always).unwrap();
        let mut waiting = spawn(span.reserve_when_available(20_u64, Priority::Always));
        assert_pending!(waiting.poll());
        assert_eq!(manager.waiting()[0].scope, span.name());
        if closes_connection {
            connection.done();
        } else {
            around.done();
        }
        assert!(waiting.is_woken());
        let closed = assert_ready_err!(waiting.poll());
        assert!(is_closed(&closed), "{closed}");
        let mut next = spawn(span.reserve_when_available(20_u64, Priority::Always));
        assert!(is_closed(&assert_ready_err!(next.poll())));
    }
    nothing_is_left(&manager);
}

#[test]
fn a_stream_that_moves_takes_its_request_along() {
    let manager = with_limits(|limits| {
        limits.transient.memory = 100.into();
        limits.protocol_default.memory = 60.into();
    });
    let stream = || manager.open_stream(&peer("a"), Direction::Inbound).unwrap();
    let (other, moving) = (stream(), stream());
    let _held = other.reserve(90_u64, Priority::Always).unwrap();
    let held = moving.reserve(10_u64, Priority::Always).unwrap();
    let mut waiting = spawn(moving.reserve_when_available(50_u64, Priority::Always));
    let mut next = spawn(other.reserve_when_available(5_u64, Priority::Always));
    assert_pending!(waiting.poll());
    assert_pending!(next.poll());
    moving.set_protocol("/a").unwrap();
    assert!(waiting.is_woken(), "it is in transient no longer");
    drop(assert_ready_ok!(waiting.poll()));
    assert!(next.is_woken());
    drop(assert_ready_ok!(next.poll()));
    // Within the protocol it waits for the protocol.
    let mut waiting = spawn(moving.reserve_when_available(55_u64, Priority::Always));
    assert_pending!(waiting.poll());
    assert_eq!(manager.waiting()[0].scope.class(), ScopeClass::Protocol);
    drop(held);
    drop(assert_ready_ok!(waiting.poll()));
}

#[test]
fn a_request_of_a_service_waits_whether_the_service_is_a_scope_or_a_span() {
    for has_limit in [true, false] {
        let manager = with_limits(|limits| {
            limits.system.memory = 100.into();
            if has_limit {
                limits.service_default = Some(Limit::UNLIMITED);
            } else {
                limits.service_default = None;
            }
        });
        let service = Arc::new(manager.open_service("dht").unwrap());
        assert_eq!(matches!(*service, Service::Scope(_)), has_limit);
        let system = manager.view_system();
        let held = hold(&system, 80);
        let mut waiting = spawn(ReserveWhenAvailable::new(
            service.clone(),
            50,
            Priority::Always,
        ));
        assert_pending!(waiting.poll());
        drop(held);
        assert!(waiting.is_woken());
        drop(assert_ready_ok!(waiting.poll()));
        drop(service);
        nothing_is_left(&manager);
    }
}

#[test]
fn a_peer_scope_lives_while_a_request_on_it_waits() {
    let manager = manager();
    let system = manager.view_system();
    let held = hold(&system, 80);
    let view = Arc::new(manager.view_peer(&peer("a")));
    let waiting = ReserveWhenAvailable::new(view, 50, Priority::Always);
    let mut waiting = spawn(waiting);
    assert_pending!(waiting.poll());
    assert_eq!(manager.peers(), [peer("a")]);
    drop(held);
    let room = assert_ready_ok!(waiting.poll());
    assert_eq!(manager.stat().peers[&peer("a")].memory, 50);
    drop((room, waiting));
    assert!(manager.peers().is_empty());

    // The same for a stream that waits for its slot.
    manager.set_limits({
        let mut limits = Limits::unlimited();
        limits.system.streams = 0.into();
        limits
    });
    let mut closed = spawn(manager.open_stream_when_available(&peer("b"), Direction::Inbound));
    let refused = assert_ready_err!(closed.poll());
    assert!(matches!(refused, Error::LimitExceeded(why) if why.is_larger_than_limit()));
    drop(closed);
    let mut limits = Limits::unlimited();
    limits.system.streams = 1.into();
    manager.set_limits(limits);
    let first = manager.open_stream(&peer("a"), Direction::Inbound).unwrap();
    let mut waiting = spawn(manager.open_stream_when_available(&peer("b"), Direction::Inbound));
    assert_pending!(waiting.poll());
    assert_eq!(manager.peers().len(), 2);
    drop((first, waiting));
    assert!(manager.peers().is_empty());
    nothing_is_left(&manager);
}

#[test]
fn no_request_waits_where_the_limit_of_waiters_is_zero() {
    let manager = with_limits(|limits| {
        limits.system.memory = 100.into();
        limits.waiters = 0.into();
    });
    let system = manager.view_system();
    let mut granted = spawn(system.reserve_when_available(100_u64, Priority::Always));
    let held = assert_ready_ok!(granted.poll());
    let mut refused = spawn(system.reserve_when_available(1_u64, Priority::Always));
    let why = assert_ready_err!(refused.poll());
    assert!(
        matches!(&why, Error::QueueFull(full) if full.waiting == 0),
        "{why}"
    );
    assert!(manager.waiting().is_empty());
    assert_eq!(system.refusals().memory, 1);
    assert_eq!(manager.wait_totals()[ScopeClass::System as usize].begun, 0);
    drop(held);
    drop(system.reserve(1_u64, Priority::Low).unwrap());
}

#[test]
fn a_request_that_waits_already_moves_into_a_full_queue() {
    let manager = with_limits(|limits| {
        limits.system.memory = 100.into();
        limits.conn.memory = 50.into();
        limits.waiters = 1.into();
    });
    let system = manager.view_system();
    let connection = connection(&manager);
    let held = connection.reserve(20_u64, Priority::Always).unwrap();
    let full = hold(&system, 80);
    let mut moving = spawn(connection.reserve_when_available(40_u64, Priority::Always));
    let mut there = spawn(system.reserve_when_available(40_u64, Priority::Always));
    assert_pending!(moving.poll());
    assert_pending!(there.poll());
    drop(held);
    assert_pending!(moving.poll());
    assert_eq!(manager.waiting()[0].requests, 2);
    let refused =
        assert_ready_err!(spawn(system.reserve_when_available(1_u64, Priority::Low)).poll());
    assert!(matches!(refused, Error::QueueFull(full) if full.waiting == 2));
    drop(full);
    // It came first.
    assert!(moving.is_woken());
    let moved = assert_ready_ok!(moving.poll());
    let there = assert_ready_ok!(there.poll());
    drop((moved, there));
    let totals = manager.wait_totals();
    // Each is counted where it waited first.
    assert_eq!(totals[ScopeClass::Connection as usize].granted, 1);
    assert_eq!(totals[ScopeClass::System as usize].granted, 1);
    connection.done();
    nothing_is_left(&manager);
}

/// Requests of two connections cross each other on the way from their connection to system.
#[test]
fn tickets_decide_the_order_wherever_requests_move() {
    let manager = with_limits(|limits| {
        limits.system.memory = 100.into();
        limits.conn.memory = 50.into();
    });
    let system = manager.view_system();
    let (one, two) = (connection(&manager), connection(&manager));
    let (held_one, held_two) = (
        one.reserve(20_u64, Priority::Always).unwrap(),
        two.reserve(20_u64, Priority::Always).unwrap(),
    );
    let full = hold(&system, 60);
    let mut first = spawn(one.reserve_when_available(50_u64, Priority::Always));
    let mut second = spawn(two.reserve_when_available(50_u64, Priority::Always));
    let mut third = spawn(system.reserve_when_available(50_u64, Priority::Always));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_pending!(third.poll());
    // The second comes to system before the first does, and both after the third.
    drop(held_two);
    assert!(second.is_woken());
    assert_pending!(second.poll());
    drop(held_one);
    assert!(first.is_woken());
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(manager.waiting().len(), 1);
    assert_eq!(manager.waiting()[0].resource, Resource::Memory);
    drop(full);
    assert_pending!(third.poll());
    assert!(first.is_woken() && !second.is_woken());
    let first = assert_ready_ok!(first.poll());
    assert!(second.is_woken());
    let second = assert_ready_ok!(second.poll());
    assert_pending!(third.poll());
    drop((first, second));
    drop(assert_ready_ok!(third.poll()));
    one.done();
    two.done();
    nothing_is_left(&manager);
}
