//! Limits, priorities and overrides.

use rcmgr_atomic::{
    Direction, Endpoint, Limit, LimitValue, Limits, Manager, Priority, Resource, UsesFd,
};

use crate::support::{connection, manager, peer, refused, stream};

#[test]
fn a_priority_can_use_its_share_to_the_byte() {
    // (1 + 152) * 1000 / 256 = 597.65
    let manager = manager(|limits| limits.system.memory = 1000.into());
    let system = manager.view_system();
    system.reserve_memory(597, Priority::Medium).unwrap();
    assert!(system.reserve_memory(1, Priority::Medium).is_err());
    // A request for nothing is granted while usage is at the share, and refused above it.
    system.reserve_memory(0, Priority::Medium).unwrap();
    system.reserve_memory(1, Priority::High).unwrap();
    assert!(system.reserve_memory(0, Priority::Medium).is_err());
}

#[test]
fn an_amount_is_any_integer_that_is_at_hand() {
    let manager = manager(|limits| limits.system.memory = 10_000.into());
    let stream = stream(&manager);
    let buffer = [0_u8; 100];
    let guards = [
        stream.reserve(buffer.len(), Priority::Always).unwrap(),
        stream.reserve(200_u32, Priority::Always).unwrap(),
        stream.reserve(300_u64, Priority::Always).unwrap(),
        stream.reserve(400, Priority::Always).unwrap(),
    ];
    assert_eq!(stream.stat().memory, 1000);
    drop(guards);
    assert_eq!(stream.stat().memory, 0);
    assert!(stream.reserve(-1, Priority::Always).is_err());
    assert!(manager.stat().system.memory == 0);
}

#[test]
fn nothing_wraps() {
    let manager = manager(|_| {});
    let most = (1 << 60) - 1;
    let stream = stream(&manager);
    stream.reserve_memory(most, Priority::Always).unwrap();
    for size in [1, most, u64::MAX] {
        let error = refused(stream.reserve_memory(size, Priority::Always).unwrap_err());
        assert_eq!((error.used, error.limit), (most, LimitValue::Unlimited));
    }
    let system = manager.view_system();
    assert!(system.reserve_memory(u64::MAX, Priority::Always).is_err());
    let rest = (1 << 63) - 1;
    system.reserve_memory(rest, Priority::Always).unwrap();
    assert!(system.reserve_memory(1, Priority::Always).is_err());
    assert_eq!(system.stat().memory, most + rest);
    let span = system.begin_span().unwrap();
    assert!(span.reserve_memory(u64::MAX, Priority::Always).is_err());
    span.reserve_memory(1 << 61, Priority::Low).unwrap();
    drop(span);
    drop(stream);
    system.release();
    assert!(system.stat().is_zero());
}

#[test]
fn a_lowered_limit_evicts_nothing_and_blocks_new_requests() {
    let manager = manager(|_| {});
    let (first, second) = (connection(&manager), connection(&manager));
    first.reserve_memory(100, Priority::Always).unwrap();
    let mut limits = Limits::unlimited();
    limits.system.conns = 1.into();
    limits.system.memory = 50.into();
    manager.set_limits(limits);
    assert_eq!(manager.stat().system.conns(), 2);
    assert!(first.reserve_memory(0, Priority::Always).is_err());
    drop(second);
    let open = manager.open_connection(Direction::Outbound, UsesFd::No, Endpoint::None);
    assert_eq!(refused(open.unwrap_err()).resource, Resource::Conns);
    assert_eq!(manager.view_system().remaining().memory, 0.into());
    assert_eq!(manager.view_system().remaining().fd, LimitValue::Unlimited);
}

#[test]
fn an_override_of_a_peer_outlives_the_scope_until_it_is_reset() {
    let manager = manager(|limits| limits.peer_default.streams = 7.into());
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    assert!(manager.peers().is_empty(), "nothing refers to it");
    assert!(manager.open_stream(&peer(), Direction::Inbound).is_err());
    manager.set_limits(Limits::unlimited());
    assert!(manager.open_stream(&peer(), Direction::Inbound).is_err());
    manager.view_peer(&peer()).reset_limit();
    assert_eq!(manager.view_peer(&peer()).limit(), Limit::UNLIMITED);
    drop(stream(&manager));
}

/// A stream that is opened is not checked for what only a move is checked for. It may fill credit, and
/// that may not pay for a move either.
#[test]
fn a_stream_moves_to_no_scope_that_is_over_another_limit_although_credit_could_pay() {
    let builder = Manager::builder().limits(Limits::unlimited());
    let manager = builder.credit_after(0).build().unwrap();
    let connections = [connection(&manager), connection(&manager)];
    for connection in &connections {
        connection.set_peer(&peer()).unwrap();
        connection.set_service("dht").unwrap();
    }
    let open_with = || {
        connections[0]
            .open_stream_with(Direction::Inbound, "/kad", Some("dht"))
            .unwrap()
    };
    let holder = open_with();
    holder.reserve_memory(100, Priority::Always).unwrap();
    let move_there = || {
        let stream = connections[0].open_stream(Direction::Inbound)?;
        stream.set_protocol("/kad")?;
        stream.set_service("dht")
    };
    let service = manager.view_service("dht");
    let lower = |change: fn(&mut Limit)| {
        let mut limit = Limit::UNLIMITED;
        change(&mut limit);
        service.set_limit(limit);
        for _ in 0..100 {
            drop(open_with());
        }
    };

    lower(|limit| limit.conns = 1.into());
    assert_eq!(refused(move_there().unwrap_err()).resource, Resource::Conns);
    lower(|limit| limit.memory = 99.into());
    assert_eq!(
        refused(move_there().unwrap_err()).resource,
        Resource::Memory
    );
    lower(|limit| (limit.conns, limit.memory) = (2.into(), 100.into()));
    move_there().unwrap();
}
