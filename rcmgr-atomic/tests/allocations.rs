//! A refusal is the hot path of a server under attack: it allocates nothing. A reservation allocates
//! nothing either.

use allocation_counter::measure;
use rcmgr_atomic::{
    Direction, Endpoint, Error, Limit, Limits, Manager, PeerId, Priority, ResourceScope, Result,
    UsesFd,
};

fn manager() -> Manager {
    Manager::new(Limits::unlimited()).unwrap()
}

fn peer() -> PeerId {
    "tenant-7".parse().unwrap()
}

/// Runs an operation, and checks that it is refused and allocates nothing.
fn refused<T>(what: &str, f: impl Fn() -> Result<T>) {
    let mut result = None;
    let allocated = measure(|| result = Some(f()));
    let error = result.expect("it ran").err().expect(what);
    assert!(matches!(error, Error::LimitExceeded(_)), "{what}: {error}");
    assert_eq!(allocated.count_total, 0, "{what}: {error}");

    // The error itself, and a copy of it.
    assert_eq!(measure(|| drop(error.clone())).count_total, 0);
}

fn open(manager: &Manager) -> Result<rcmgr_atomic::Connection> {
    manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
}

#[test]
fn a_refused_connection_allocates_nothing() {
    for tighten in [
        (|limits| limits.conn = Limit::BLOCK_ALL) as fn(&mut Limits),
        |limits| limits.transient = Limit::BLOCK_ALL,
        |limits| limits.system = Limit::BLOCK_ALL,
        |limits| limits.system.fd = 0.into(),
    ] {
        let mut limits = Limits::unlimited();
        tighten(&mut limits);
        let manager = Manager::new(limits).unwrap();
        refused("a connection", || open(&manager));
    }
}

#[test]
fn a_refused_stream_of_a_known_peer_allocates_nothing() {
    let manager = manager();
    let _there = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    let peer = peer();
    refused("a stream", || {
        manager.open_stream(&peer, Direction::Inbound)
    });
}

#[test]
fn a_refused_stream_of_a_peer_that_has_only_a_connection_allocates_nothing() {
    let manager = manager();
    let connection = open(&manager).unwrap();
    connection.set_peer(&peer()).unwrap();
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    let peer = peer();
    refused("a stream", || {
        manager.open_stream(&peer, Direction::Inbound)
    });
}

#[test]
fn a_refused_stream_whose_protocol_is_known_allocates_nothing() {
    let manager = manager();
    let connection = open(&manager).unwrap();
    connection.set_peer(&peer()).unwrap();
    let _there = connection.open_stream(Direction::Inbound).unwrap();
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    let peer = peer();
    refused("a stream", || connection.open_stream(Direction::Inbound));
    // No other stream has the protocol or the service.
    refused("a stream", || {
        connection.open_stream_with(Direction::Inbound, "/made-up", Some("dht"))
    });
    refused("a stream", || {
        manager.open_stream_with(&peer, Direction::Inbound, "/made-up", Some("dht"))
    });
    assert!(manager.protocols().is_empty());
}

#[test]
fn a_refused_move_between_existing_scopes_allocates_nothing() {
    let manager = manager();
    let (there, moving) = (open(&manager).unwrap(), open(&manager).unwrap());
    there.set_peer(&peer()).unwrap();
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    let peer = peer();
    refused("a peer", || moving.set_peer(&peer));

    let manager = self::manager();
    let stream = || manager.open_stream(&peer, Direction::Inbound).unwrap();
    let (there, moving) = (stream(), stream());
    there.set_protocol("/ping").unwrap();
    manager.view_protocol("/ping").set_limit(Limit::BLOCK_ALL);
    refused("a protocol", || moving.set_protocol("/ping"));

    manager.view_protocol("/ping").reset_limit();
    moving.set_protocol("/ping").unwrap();
    there.set_service("dht").unwrap();
    manager.view_service("dht").set_limit(Limit::BLOCK_ALL);
    refused("a service", || moving.set_service("dht"));
}

#[test]
fn a_refused_reservation_allocates_nothing() {
    let manager = manager();
    let stream = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    stream.set_protocol("/ping").unwrap();
    stream.set_service("dht").unwrap();
    let span = stream.begin_span().unwrap();
    let nested = span.begin_span().unwrap();
    let scopes: [&dyn ResourceScope<Span = rcmgr_atomic::Span>; 3] = [&stream, &span, &nested];

    for scope in [
        manager.view_peer(&peer()),
        manager.view_protocol("/ping"),
        manager.view_service("dht"),
        manager.view_system(),
    ] {
        scope.set_limit(Limit::BLOCK_ALL);
        for on in scopes {
            refused("memory", || on.reserve_memory(1, Priority::Always));
        }
        refused("memory", || scope.reserve_memory(1, Priority::Always));
        scope.reset_limit();
    }
    stream.set_limit(Limit::BLOCK_ALL);
    for on in scopes {
        refused("memory", || on.reserve_memory(1, Priority::Always));
    }
}

#[test]
fn a_reservation_allocates_nothing() {
    let manager = manager();
    let stream = manager.open_stream(&peer(), Direction::Inbound).unwrap();
    stream.set_protocol("/ping").unwrap();
    let span = stream.begin_span().unwrap();
    let reserve = || {
        drop(stream.reserve(4096, Priority::Always).unwrap());
        drop(span.reserve(4096, Priority::Always).unwrap());
        drop(
            manager
                .view_system()
                .reserve(4096, Priority::Always)
                .unwrap(),
        );
    };
    assert_eq!(measure(reserve).count_total, 0);
}
