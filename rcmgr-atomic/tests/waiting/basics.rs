//! The rules, one by one.

use std::sync::Arc;

use rcmgr_atomic::{
    Direction, Endpoint, Error, KIB, Limit, Limits, Manager, Priority, ReserveWhenAvailable,
    Resource, ScopeClass, UsesFd,
};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};

use super::support::{connection, hold, manager, wait, wait_at};

#[test]
fn a_request_waits_until_there_is_room() {
    let manager = manager();
    let system = manager.view_system();
    let held = hold(&system, 80);
    let mut waiting = wait(&system, 50);
    assert_pending!(waiting.poll());
    assert_eq!(system.stat().memory, 80, "nothing is held while it waits");
    drop(held);
    assert!(waiting.is_woken());
    let room = assert_ready_ok!(waiting.poll());
    assert_eq!((room.size(), system.stat().memory), (50, 50));
    drop(room);
    assert!(system.stat().is_zero());
    assert!(manager.waiting().is_empty());
    assert_eq!(system.refusals().total(), 0, "it was not refused");
}

#[test]
fn equals_are_served_in_order_and_a_large_one_is_not_overtaken() {
    let manager = manager();
    let system = manager.view_system();
    let held = hold(&system, 100);
    let mut large = wait(&system, 90);
    let mut small = wait(&system, 20);
    assert_pending!(large.poll());
    assert_pending!(small.poll());
    drop(held);
    // Polled first, the small one still lets the large one go first.
    assert_pending!(small.poll());
    let first = assert_ready_ok!(large.poll());
    assert_pending!(small.poll());
    drop(first);
    assert!(small.is_woken());
    drop(assert_ready_ok!(small.poll()));
}

#[test]
fn a_higher_priority_is_served_first() {
    let manager = manager();
    let system = manager.view_system();
    let held = hold(&system, 100);
    let mut low = wait_at(&system, 10, Priority::Low);
    let mut high = wait_at(&system, 10, Priority::High);
    assert_pending!(low.poll());
    assert_pending!(high.poll());
    drop(held);
    assert_pending!(low.poll());
    let _high = assert_ready_ok!(high.poll());
    assert!(low.is_woken());
    drop(assert_ready_ok!(low.poll()));
}

#[test]
fn a_synchronous_request_overtakes_only_lower_priorities() {
    let manager = manager();
    let system = manager.view_system();
    let held = hold(&system, 20);
    let mut waiting = wait_at(&system, 45, Priority::Medium);
    assert_pending!(waiting.poll());
    for priority in [Priority::Low, Priority::Medium] {
        let refused = system.reserve_memory(1, priority).unwrap_err();
        assert!(matches!(refused, Error::WaitersFirst(_)), "{refused}");
        assert!(refused.is_temporary());
    }
    assert_eq!(system.refusals().memory, 2, "both can be seen");
    system.reserve_memory(1, Priority::High).unwrap();
    system.release_memory(1);
    drop((held, waiting));
    system.reserve_memory(1, Priority::Low).unwrap();
}

#[test]
fn a_request_larger_than_the_limit_is_refused_at_once() {
    let manager = manager();
    let system = manager.view_system();
    let refused = assert_ready_err!(wait(&system, 101).poll());
    let Error::LimitExceeded(why) = refused else {
        panic!("{refused}")
    };
    assert!(why.is_larger_than_limit());
    assert_eq!(system.refusals().memory, 1);
    // So is one that a scope further on could never hold, while another has no room now.
    let mut limits = Limits::unlimited();
    limits.system.memory = 100.into();
    limits.conn.memory = 1000.into();
    limits.transient.memory = 500.into();
    let manager = Manager::new(limits).unwrap();
    let connection = connection(&manager);
    let _held = connection.reserve(100_u64, Priority::Always).unwrap();
    let mut waiting = spawn(connection.reserve_when_available(200_u64, Priority::Always));
    let refused = assert_ready_err!(waiting.poll());
    assert_eq!(refused.scope().unwrap().class(), ScopeClass::System);
}

#[test]
fn a_limit_that_is_lowered_below_the_request_ends_the_wait() {
    let manager = manager();
    let system = manager.view_system();
    let _held = hold(&system, 80);
    let mut waiting = wait(&system, 50);
    assert_pending!(waiting.poll());
    let mut limits = Limits::unlimited();
    limits.system.memory = 40.into();
    manager.set_limits(limits);
    assert!(waiting.is_woken());
    let refused = assert_ready_err!(waiting.poll());
    assert!(matches!(refused, Error::LimitExceeded(why) if why.is_larger_than_limit()));
    assert!(manager.waiting().is_empty());
}

#[test]
fn a_raised_limit_a_close_and_an_override_wake() {
    let manager = manager();
    let system = manager.view_system();
    let _held = hold(&system, 80);
    let mut waiting = wait(&system, 50);
    assert_pending!(waiting.poll());
    let mut raised = Limit::UNLIMITED;
    raised.memory = 200.into();
    system.set_limit(raised);
    assert!(waiting.is_woken());
    let _room = assert_ready_ok!(waiting.poll());

    let mut waiting = [wait(&system, 90), wait(&system, 91)];
    waiting
        .iter_mut()
        .for_each(|waiting| assert_pending!(waiting.poll()));
    manager.close();
    for waiting in &mut waiting {
        assert!(waiting.is_woken());
        let closed = assert_ready_err!(waiting.poll());
        assert!(matches!(closed, Error::ScopeClosed { .. }));
    }
    assert!(manager.waiting().is_empty());
}

#[test]
fn the_end_of_its_connection_stream_or_span_ends_a_wait() {
    let manager = manager();
    let system = manager.view_system();
    let _held = hold(&system, 100);
    let connection = connection(&manager);
    let span = connection.begin_span().unwrap();
    let inner = span.begin_span().unwrap();
    let of_system = system.begin_span().unwrap();
    let within = of_system.begin_span().unwrap();
    let mut of_connection = spawn(connection.reserve_when_available(1_u64, Priority::Always));
    let mut of_inner = spawn(inner.reserve_when_available(1_u64, Priority::Always));
    let mut of_within = spawn(within.reserve_when_available(1_u64, Priority::Always));
    assert_pending!(of_connection.poll());
    assert_pending!(of_inner.poll());
    assert_pending!(of_within.poll());
    connection.done();
    of_system.done();
    assert!(of_connection.is_woken() && of_inner.is_woken() && of_within.is_woken());
    assert!(matches!(
        assert_ready_err!(of_connection.poll()),
        Error::ScopeClosed { .. }
    ));
    assert!(matches!(
        assert_ready_err!(of_inner.poll()),
        Error::ScopeClosed { .. }
    ));
    assert!(matches!(
        assert_ready_err!(of_within.poll()),
        Error::ScopeClosed { .. }
    ));
    assert!(manager.waiting().is_empty());
}

/// Also where the path of the connection has credit: at first, or never.
#[test]
fn the_own_limits_of_leaves_and_spans_are_waited_for() {
    for charges in [0, u64::MAX] {
        own_limits_are_waited_for(charges);
    }
}

/// Paths get credit after this number of charges.
fn own_limits_are_waited_for(credit_after: u64) {
    let mut limits = Limits::unlimited();
    limits.conn.memory = 100.into();
    let builder = Manager::builder().limits(limits).credit_after(credit_after);
    let manager = builder.build().unwrap();
    let connection = connection(&manager);
    connection.set_peer(&"a".parse().unwrap()).unwrap();
    for _ in 0..3 {
        connection.reserve_memory(10, Priority::Always).unwrap();
        connection.release_memory(10);
    }
    let has_credit = manager.view_system().peak().memory > 10;
    assert_eq!(has_credit, credit_after == 0);
    connection.reserve_memory(80, Priority::Always).unwrap();
    let mut waiting = spawn(connection.reserve_when_available(50_u64, Priority::Always));
    assert_pending!(waiting.poll());
    assert_eq!(manager.waiting()[0].scope, connection.name());
    let refused = connection.reserve_memory(1, Priority::Always).unwrap_err();
    assert!(matches!(refused, Error::WaitersFirst(_)));
    connection.release_memory(80);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));

    let span = manager.view_system().begin_span().unwrap();
    let mut limit = Limit::UNLIMITED;
    limit.memory = 10.into();
    span.set_limit(limit);
    span.reserve_memory(10, Priority::Always).unwrap();
    let mut waiting = spawn(span.reserve_when_available(5_u64, Priority::Always));
    assert_pending!(waiting.poll());
    span.release_memory(6);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));
}

#[test]
fn connections_and_streams_wait_for_their_slots() {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 1.into();
    limits.peer_default.streams_outbound = 1.into();
    let manager = Manager::new(limits).unwrap();
    let first = connection(&manager);
    let open =
        || manager.open_connection_when_available(Direction::Inbound, UsesFd::No, Endpoint::None);
    let mut second = spawn(open());
    assert_pending!(second.poll());
    assert_eq!(manager.waiting()[0].resource, Resource::ConnsInbound);
    // Those of the other direction are not held up.
    let outbound = manager.open_connection(Direction::Outbound, UsesFd::No, Endpoint::None);
    drop(outbound.unwrap());
    drop(first);
    assert!(second.is_woken());
    let second = assert_ready_ok!(second.poll());

    let peer = "a".parse().unwrap();
    second.set_peer(&peer).unwrap();
    let stream = second.open_stream(Direction::Outbound).unwrap();
    let mut through = spawn(second.open_stream_when_available(Direction::Outbound));
    let mut next = spawn(manager.open_stream_when_available(&peer, Direction::Outbound));
    assert_pending!(through.poll());
    assert_pending!(next.poll());
    assert!(second.open_stream(Direction::Inbound).is_ok());
    second.done();
    assert!(matches!(
        assert_ready_err!(through.poll()),
        Error::ScopeClosed { .. }
    ));
    drop(stream);
    assert!(next.is_woken());
    drop(assert_ready_ok!(next.poll()));
}

#[test]
fn a_request_that_another_scope_refuses_next_keeps_its_ticket() {
    let mut limits = Limits::unlimited();
    limits.system.memory = 100.into();
    limits.conn.memory = 60.into();
    let manager = Manager::new(limits).unwrap();
    let system = manager.view_system();
    let connection = connection(&manager);
    connection.reserve_memory(20, Priority::Always).unwrap();
    let held = hold(&system, 80);
    let mut first = spawn(connection.reserve_when_available(50_u64, Priority::Always));
    let mut second = wait(&system, 50);
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(
        manager.waiting().len(),
        2,
        "at the connection, and at system"
    );
    // The connection has room now, and system has not: the request waits there, ahead of the other
    // one, which came later.
    connection.release_memory(10);
    assert!(first.is_woken());
    assert_pending!(first.poll());
    assert_eq!(manager.waiting().len(), 1);
    drop(held);
    assert!(first.is_woken());
    assert_pending!(second.poll());
    let first = assert_ready_ok!(first.poll());
    assert_pending!(second.poll());
    drop(first);
    assert!(second.is_woken());
    drop(assert_ready_ok!(second.poll()));
}

#[test]
fn a_full_queue_turns_requests_away() {
    let mut limits = Limits::unlimited();
    limits.system.memory = 100.into();
    limits.waiters = 2.into();
    let manager = Manager::new(limits).unwrap();
    let system = manager.view_system();
    let _held = hold(&system, 100);
    let mut waiting = [wait(&system, 1), wait(&system, 1)];
    waiting
        .iter_mut()
        .for_each(|waiting| assert_pending!(waiting.poll()));
    let mut third = wait(&system, 1);
    let refused = assert_ready_err!(third.poll());
    assert_eq!(
        refused.to_string(),
        "system refused 1 byte of memory: 2 requests wait for room, the most allowed"
    );
    assert_eq!(system.refusals().memory, 1);
    let [_, second] = waiting;
    drop(second);
    assert_pending!(wait(&system, 1).poll());
}

#[test]
fn a_dropped_request_passes_its_turn_on() {
    let manager = manager();
    let system = manager.view_system();
    let held = hold(&system, 100);
    let mut first = wait(&system, 80);
    let mut second = wait(&system, 80);
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    drop(held);
    assert!(first.is_woken() && !second.is_woken());
    // It was woken and never polled again.
    drop(first);
    assert!(second.is_woken());
    drop(assert_ready_ok!(second.poll()));
    let totals = manager.wait_totals()[ScopeClass::System as usize];
    assert_eq!((totals.begun, totals.granted, totals.given_up), (2, 1, 1));
}

#[test]
fn credit_is_recalled_for_a_request_that_waits() {
    let mut limits = Limits::unlimited();
    limits.system.memory = (1024 * KIB).into();
    let manager = Manager::new(limits).unwrap();
    let peer = "a".parse().unwrap();
    let stream = manager.open_stream(&peer, Direction::Inbound).unwrap();
    stream.set_protocol("/a").unwrap();
    // The path has credit after a while.
    for _ in 0..1000 {
        drop(stream.reserve(KIB, Priority::Always).unwrap());
    }
    let held = stream.reserve(KIB, Priority::Always).unwrap();
    let system = Arc::new(manager.view_system());
    let mut waiting = spawn(ReserveWhenAvailable::new(
        system.clone(),
        1024 * KIB,
        Priority::Always,
    ));
    assert_pending!(waiting.poll());
    // What it gives back is room, and does not become credit.
    drop(held);
    assert!(waiting.is_woken());
    drop(assert_ready_ok!(waiting.poll()));
    assert_eq!(system.stat().memory, 0);
}

#[test]
fn a_scope_that_was_removed_and_made_again_wakes_those_that_wait_for_it() {
    let mut limits = Limits::unlimited();
    limits.peer_default.memory = 1.into();
    let manager = Manager::new(limits).unwrap();
    let peer = "a".parse().unwrap();
    let full = || {
        let connection = connection(&manager);
        connection.set_peer(&peer).unwrap();
        connection.reserve_memory(1, Priority::Always).unwrap();
        connection
    };
    let before = full();
    let mut of_before = spawn(before.reserve_when_available(1, Priority::Always));
    assert_pending!(of_before.poll());
    // The scope of the peer is removed, while a request is still in its queue.
    before.done();
    let after = full();
    let mut of_after = spawn(after.reserve_when_available(1, Priority::Always));
    assert_pending!(of_after.poll());
    assert!(matches!(
        of_before.poll(),
        std::task::Poll::Ready(Err(Error::ScopeClosed { .. }))
    ));
    assert_pending!(of_after.poll());
    after.release_memory(1);
    assert!(of_after.is_woken());
    drop(assert_ready_ok!(of_after.poll()));
    // No node says that a request waits.
    after.reserve_memory(1, Priority::Always).unwrap();
}
