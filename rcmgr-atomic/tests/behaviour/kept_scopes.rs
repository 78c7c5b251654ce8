//! Scopes of streams that are kept for the next stream.

use std::sync::Arc;
use std::thread;

use allocation_counter::measure;
use rcmgr_atomic::{
    Direction, Error, KIB, Limit, Limits, Manager, Priority, ScopeClass, ScopeId, Stream,
    SystemClock,
};

use crate::support::{BUILT_IN, connection, manager, peer, refused, stream};

/// A stream with a protocol and a service.
fn full_stream(manager: &Manager) -> Stream {
    let stream = stream(manager);
    stream.set_protocol("/kad").unwrap();
    stream.set_service("dht").unwrap();
    stream
}

/// The scopes that are listed and may be removed, in order.
fn removable(manager: &Manager) -> Vec<ScopeId> {
    let scopes = manager.scopes().into_iter().map(|scope| scope.id);
    let is_removable =
        |id: &ScopeId| !BUILT_IN.contains(&id.class()) && id.class() != ScopeClass::Service;
    let mut scopes: Vec<_> = scopes.filter(is_removable).collect();
    scopes.sort();
    scopes
}

fn usage_is_zero(manager: &Manager) -> bool {
    manager.scopes().iter().all(|scope| scope.stat.is_zero())
}

#[test]
fn kept_scopes_stay_listed_with_zero_usage_until_the_last_keeper_is_dropped() {
    let manager = manager(|_| {});
    let stream = full_stream(&manager);
    let listed = removable(&manager);
    let classes: Vec<_> = listed.iter().map(ScopeId::class).collect();
    for class in [
        ScopeClass::Peer,
        ScopeClass::Protocol,
        ScopeClass::ProtocolPeer,
        ScopeClass::ServicePeer,
    ] {
        assert!(classes.contains(&class), "{class}");
    }
    let (one, two) = (stream.keep_scopes().unwrap(), stream.keep_scopes().unwrap());
    drop(stream);
    drop(one);
    assert_eq!(removable(&manager), listed);
    assert!(usage_is_zero(&manager));
    drop(two);
    assert_eq!(removable(&manager), []);
}

#[test]
fn kept_scopes_outlast_done_on_the_stream() {
    let manager = manager(|_| {});
    let stream = full_stream(&manager);
    let kept = stream.keep_scopes().unwrap();
    stream.done();
    assert_eq!(manager.peers(), [peer()]);
    assert!(usage_is_zero(&manager));
    drop(kept);
    assert_eq!(removable(&manager), []);
}

#[test]
fn a_stream_on_kept_scopes_makes_none() {
    let manager = manager(|_| {});
    let connection = connection(&manager);
    connection.set_peer(&peer()).unwrap();
    let one_stream = || {
        let stream = connection.open_stream(Direction::Inbound).unwrap();
        stream.set_protocol("/kad").unwrap();
        stream.set_service("dht").unwrap();
        stream
    };
    let without = measure(|| drop(one_stream())).count_total;
    let kept = one_stream().keep_scopes().unwrap();
    let with = measure(|| drop(one_stream())).count_total;
    assert!(without > 1, "{without}");
    assert_eq!(with, 1, "only the stream itself is allocated");
    assert_eq!(manager.protocols(), ["/kad".into()]);
    drop(kept);
    assert!(manager.protocols().is_empty());
}

#[test]
fn kept_scopes_take_less_than_four_kilobytes_with_their_credit() {
    const COUNT: usize = 20;
    let manager = lending_manager(|_| {});
    let connection = connection(&manager);
    connection.set_peer(&peer()).unwrap();
    let mut kept = Vec::with_capacity(COUNT);
    let mut keep = |protocol: &str| {
        let one_stream = || {
            let stream = connection.open_stream(Direction::Inbound).unwrap();
            stream.set_protocol_and_service(protocol, "dht").unwrap();
            stream.reserve_memory(KIB, Priority::Always).unwrap();
            stream
        };
        kept.push(one_stream().keep_scopes().unwrap());
        (0..4).for_each(|_| drop(one_stream()));
    };
    // Makes what all of them share.
    keep("/kad");
    let protocols: Vec<_> = (1..COUNT).map(|number| format!("/kad/{number}")).collect();
    let bytes = protocols
        .iter()
        .map(|protocol| measure(|| keep(protocol)).bytes_current);
    let mut bytes: Vec<_> = bytes.collect();
    // Tables that grow make some of them larger.
    bytes.sort_unstable();
    assert!((1000..4000).contains(&bytes[COUNT / 2]), "{bytes:?}");
}

#[test]
fn the_scopes_are_those_of_the_moment_when_they_are_kept() {
    let manager = manager(|_| {});
    let stream = stream(&manager);
    let of_peer = stream.keep_scopes().unwrap();
    stream.set_protocol("/kad").unwrap();
    let with_protocol = stream.keep_scopes().unwrap();
    stream.set_service("dht").unwrap();
    drop(stream);
    let classes = || {
        let scopes = removable(&manager);
        let mut classes: Vec<_> = scopes.iter().map(ScopeId::class).collect();
        classes.sort_by_key(ToString::to_string);
        classes
    };
    let all = [
        ScopeClass::Peer,
        ScopeClass::Protocol,
        ScopeClass::ProtocolPeer,
    ];
    assert_eq!(classes(), all);
    drop(with_protocol);
    assert_eq!(classes(), [ScopeClass::Peer]);
    drop(of_peer);
    assert_eq!(classes(), []);
}

#[test]
fn the_scopes_of_a_closed_stream_cannot_be_kept() {
    let manager = manager(|_| {});
    let (closed, open) = (full_stream(&manager), full_stream(&manager));
    closed.done();
    let error = closed.keep_scopes().unwrap_err();
    assert_eq!(
        error,
        Error::ScopeClosed {
            scope: closed.name()
        }
    );
    drop(open);
    assert_eq!(removable(&manager), []);
}

#[test]
fn kept_scopes_name_what_they_keep_in_debug_output() {
    let manager = manager(|_| {});
    let shown = format!("{:?}", full_stream(&manager).keep_scopes().unwrap());
    for name in ["peer:tenant-7", "protocol:/kad", "service:dht", "system"] {
        assert!(shown.contains(name), "{shown}");
    }
}

/// A manager in which a path has credit after its first charge.
fn lending_manager(tighten: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    tighten(&mut limits);
    let builder = Manager::builder().limits(limits).credit_after(0);
    builder.build().unwrap()
}

/// Opens and closes streams until their scopes have credit of streams and of memory. All that is
/// left of them is kept.
fn kept_with_credit(manager: &Manager) -> rcmgr_atomic::KeptScopes {
    let kept = full_stream(manager).keep_scopes().unwrap();
    for _ in 0..4 {
        let stream = full_stream(manager);
        stream.reserve_memory(KIB, Priority::Always).unwrap();
    }
    kept
}

#[test]
fn credit_of_kept_scopes_is_no_usage_and_is_recalled_when_a_limit_needs_it() {
    const STREAMS: u64 = 2000;
    let manager = lending_manager(|limits| {
        limits.system.memory = (1024 * KIB).into();
        limits.system.streams = STREAMS.into();
    });
    let kept = kept_with_credit(&manager);
    let peak = manager.view_system().peak();
    assert!(peak.memory > KIB && peak.streams() > 1, "no credit: {peak}");
    assert!(usage_is_zero(&manager));
    // Others use the whole limit of both.
    let others = "tenant-8".parse().unwrap();
    let open = || manager.open_stream(&others, Direction::Outbound);
    let streams: Vec<_> = (0..STREAMS).map(|_| open().unwrap()).collect();
    assert_eq!(refused(open().unwrap_err()).scope, ScopeId::System.into());
    streams[0]
        .reserve_memory(1024 * KIB, Priority::Always)
        .unwrap();
    assert!(streams[0].reserve_memory(1, Priority::Always).is_err());
    let stat = manager.stat().system;
    assert_eq!((stat.streams(), stat.memory), (STREAMS, 1024 * KIB));
    drop(streams);
    assert!(usage_is_zero(&manager));
    drop(kept);
    assert_eq!(removable(&manager), []);
}

#[test]
fn limits_that_change_hold_for_the_next_stream_on_kept_scopes() {
    let manager = lending_manager(|_| {});
    let kept = kept_with_credit(&manager);
    let mut limits = Limits::unlimited();
    limits.protocol_peer_default.streams = 1.into();
    manager.set_limits(limits);
    let _first = full_stream(&manager);
    let second = stream(&manager);
    let refusal = refused(second.set_protocol("/kad").unwrap_err());
    assert_eq!(refusal.scope.class(), ScopeClass::ProtocolPeer);
    // A limit of the peer that is set by hand holds too.
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    let third = manager.open_stream(&peer(), Direction::Inbound);
    assert_eq!(refused(third.unwrap_err()).scope.class(), ScopeClass::Peer);
    drop(kept);
}

#[test]
fn kept_scopes_may_be_dropped_last_and_on_another_thread() {
    let clock = Arc::new(SystemClock::new());
    let builder = Manager::builder().clock(clock.clone());
    let manager = builder.credit_after(0).build().unwrap();
    let kept = kept_with_credit(&manager);
    manager.close();
    drop(manager);
    assert!(Arc::strong_count(&clock) > 1);
    thread::spawn(move || drop(kept)).join().unwrap();
    assert_eq!(Arc::strong_count(&clock), 1);
}

#[test]
fn a_stream_is_charged_on_kept_scopes_as_on_the_same_scopes_by_name() {
    for peer in ["tenant-7", "tenant-8"] {
        let manager = manager(|_| {});
        let kept = full_stream(&manager).keep_scopes().unwrap();
        let peer = peer.parse().unwrap();
        let charged = [false, true].map(|with_kept| {
            let stream = manager.open_stream(&peer, Direction::Outbound).unwrap();
            stream.reserve_memory(KIB, Priority::Always).unwrap();
            match with_kept {
                true => stream.set_kept_scopes(&kept).unwrap(),
                false => stream.set_protocol_and_service("/kad", "dht").unwrap(),
            }
            let again = stream.set_kept_scopes(&kept);
            assert!(matches!(again, Err(Error::AlreadyAttached { .. })));
            let scopes = manager.scopes().into_iter();
            let mut scopes: Vec<_> = scopes.map(|scope| (scope.id, scope.stat)).collect();
            scopes.sort_by(|one, other| one.0.cmp(&other.0));
            scopes
        });
        assert_eq!(charged[0], charged[1]);
        assert!(usage_is_zero(&manager));
    }
}

#[test]
fn kept_scopes_without_room_or_without_a_protocol_leave_a_stream_as_it_was() {
    let manager = manager(|limits| limits.protocol_peer_default.streams = 1.into());
    let first = full_stream(&manager);
    let kept = first.keep_scopes().unwrap();
    let second = stream(&manager);
    let refusal = refused(second.set_kept_scopes(&kept).unwrap_err());
    assert_eq!(refusal.scope.class(), ScopeClass::ProtocolPeer);
    assert_eq!(second.protocol(), None);
    let of_peer = second.keep_scopes().unwrap();
    let other = "tenant-8".parse().unwrap();
    let other = manager.open_stream(&other, Direction::Inbound).unwrap();
    let without = other.set_kept_scopes(&of_peer);
    assert!(matches!(without, Err(Error::NoProtocol { .. })));
    drop(first);
    second.set_kept_scopes(&kept).unwrap();
    assert_eq!(second.service().as_deref(), Some("dht"));
}

#[test]
fn credit_pays_for_the_memory_of_a_stream_that_moves() {
    let manager = lending_manager(|_| {});
    let kept = kept_with_credit(&manager);
    let one_stream = || {
        let stream = stream(&manager);
        stream.reserve_memory(KIB, Priority::Always).unwrap();
        stream.set_kept_scopes(&kept).unwrap();
        stream
    };
    let streams = [(); 100].map(|()| one_stream());
    for scope in manager.scopes() {
        let all = match scope.id.class() {
            ScopeClass::System
            | ScopeClass::Peer
            | ScopeClass::Protocol
            | ScopeClass::ProtocolPeer
            | ScopeClass::ServicePeer => true,
            ScopeClass::Service => scope.id.name().is_some_and(|name| **name == *"dht"),
            _ => false,
        };
        let expected = if all { 100 } else { 0 };
        let held = (scope.stat.streams(), scope.stat.memory);
        assert_eq!(held, (expected, expected * KIB), "{}", scope.id);
    }
    drop(streams);
    assert!(usage_is_zero(&manager));
}
