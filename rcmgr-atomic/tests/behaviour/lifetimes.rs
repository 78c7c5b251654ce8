//! Which scopes exist, for how long, and how everything ends.

use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rcmgr_atomic::{
    Direction, Endpoint, Error, KIB, Manager, Priority, ScopeClass, ScopeId, SystemClock, UsesFd,
};

use crate::support::{BUILT_IN, connection, manager, peer, stream};

#[test]
fn memory_still_reserved_keeps_a_scope_alive() {
    let manager = manager(|_| {});
    let reserve = |scope: rcmgr_atomic::Scope| scope.reserve_memory(1, Priority::Always).unwrap();
    reserve(manager.view_peer(&peer()));
    reserve(manager.view_protocol("/ping"));
    assert_eq!(manager.peers(), [peer()]);
    assert_eq!(manager.protocols(), ["/ping".into()]);
    manager.view_peer(&peer()).release();
    manager.view_protocol("/ping").release_memory(1);
    assert!(manager.peers().is_empty() && manager.protocols().is_empty());
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_closed_handle_keeps_no_scope_alive() {
    let manager = manager(|_| {});
    let (connection, stream) = (connection(&manager), stream(&manager));
    connection.set_peer(&peer()).unwrap();
    stream.set_protocol("/ping").unwrap();
    let span = manager.view_peer(&peer()).begin_span().unwrap();
    connection.done();
    stream.done();
    assert_eq!(manager.peers(), [peer()], "the span is open");
    span.done();
    assert!(manager.peers().is_empty() && manager.protocols().is_empty());
    let left = manager.scopes().into_iter().map(|scope| scope.id.class());
    assert!(left.eq(BUILT_IN));
    connection.done();
    assert_eq!(connection.peer(), Some(peer()));
}

#[test]
fn after_done_a_handle_reserves_nothing_and_releases_nothing() {
    let manager = manager(|_| {});
    let stream = stream(&manager);
    stream.reserve_memory(10, Priority::Always).unwrap();
    stream.done();
    let closed = Error::ScopeClosed {
        scope: stream.name(),
    };
    assert_eq!(
        stream.reserve_memory(1, Priority::Always),
        Err(closed.clone())
    );
    assert_eq!(stream.begin_span().err(), Some(closed.clone()));
    assert_eq!(stream.set_protocol("/ping"), Err(closed.clone()));
    assert!(!closed.is_temporary());
    stream.release_memory(10);
    stream.done();
    assert!(manager.stat().system.is_zero());
    assert_eq!(manager.over_releases(ScopeClass::Stream), 0);
}

#[test]
fn after_close_nothing_opens_and_open_handles_go_on() {
    let manager = manager(|_| {});
    let open = stream(&manager);
    manager.close();
    let closed = |error: Error| matches!(error, Error::ScopeClosed { .. });
    let connection = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    assert!(closed(connection.unwrap_err()));
    assert!(closed(
        manager
            .open_stream(&peer(), Direction::Inbound)
            .unwrap_err()
    ));
    assert!(closed(manager.open_service("dht").unwrap_err()));
    open.set_protocol("/ping").unwrap();
    open.reserve_memory(10, Priority::Always).unwrap();
    assert_eq!(manager.stat().system.memory, 10);
}

#[test]
fn open_handles_go_on_when_the_manager_is_dropped() {
    let manager = manager(|_| {});
    let (connection, view) = (connection(&manager), manager.view_system());
    drop(manager);
    connection.set_peer(&peer()).unwrap();
    connection.reserve_memory(10, Priority::Always).unwrap();
    assert_eq!(view.stat().memory, 10);
    drop(connection);
    assert!(view.stat().is_zero());
}

#[test]
fn a_scope_can_be_looked_up_while_all_are_visited() {
    let (done, finished) = mpsc::channel();
    // In another thread: if it waits for itself, it never ends.
    thread::spawn(move || {
        let manager = manager(|_| {});
        let _view = manager.view_peer(&peer());
        let mut shown = 0;
        manager.for_each_scope(|report| {
            if let ScopeId::Peer(peer) = report.id {
                let stream = manager.open_stream(&peer, Direction::Inbound);
                assert_eq!(manager.stat().peers[&peer].streams_inbound, 1);
                drop(stream);
                shown += 1;
            }
        });
        done.send(shown).expect("the test waits for it");
    });
    let shown = finished.recv_timeout(Duration::from_secs(60));
    assert_eq!(shown.expect("the thread does not wait for itself"), 1);
}

#[test]
fn a_manager_is_freed_when_it_and_all_its_handles_are_dropped() {
    let clock = Arc::new(SystemClock::new());
    let builder = Manager::builder().clock(clock.clone());
    let manager = builder.credit_after(0).build().unwrap();
    let connection = connection(&manager);
    connection.set_service("relay").unwrap();
    connection.set_peer(&peer()).unwrap();
    // All of these paths hold credit, some of more than one kind.
    for _ in 0..4 {
        let stream = connection.open_stream(Direction::Inbound).unwrap();
        stream.reserve_memory(KIB, Priority::Always).unwrap();
        stream.set_protocol("/kad").unwrap();
        stream.set_service("dht").unwrap();
        stream.reserve_memory(KIB, Priority::Always).unwrap();
        connection.reserve_memory(KIB, Priority::Always).unwrap();
    }
    drop(manager);
    let span = connection.begin_span().unwrap();
    drop(connection);
    assert!(Arc::strong_count(&clock) > 1);
    drop(span);
    assert_eq!(Arc::strong_count(&clock), 1);
}
