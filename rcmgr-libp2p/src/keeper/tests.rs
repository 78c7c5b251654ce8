//! Connections that keep scopes, without a transport.

use std::sync::Arc;

use rcmgr_atomic::{Connection, Limits, Manager};
use rcmgr_core::{Direction, Endpoint, UsesFd};

use super::{CONNECTIONS, Keeper};
use crate::resources::Resources;

const A: &str = "/a";
const B: &str = "/b";
const C: &str = "/c";

/// A connection to a peer of its own, as the wrapper of a muxer has one.
struct Open {
    connection: Connection,
    keeper: Arc<Keeper>,
    resources: Resources,
}

impl Open {
    fn new(resources: &Resources) -> Self {
        let manager = resources.manager();
        let connection = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
        let connection = connection.unwrap();
        let peer = libp2p_identity::PeerId::random().into();
        connection.set_peer(&peer).unwrap();
        Self {
            connection,
            keeper: resources.keeper(),
            resources: resources.clone(),
        }
    }

    /// A stream of this protocol.
    fn stream(&self, protocol: &str) -> rcmgr_atomic::Stream {
        let stream = self
            .resources
            .open_stream(&self.connection, Direction::Inbound);
        let stream = stream.unwrap();
        let protocol = protocol.as_bytes();
        let set = self.resources.set_protocol(&stream, protocol, &self.keeper);
        set.unwrap();
        stream
    }

    /// Streams of these protocols, one after the other.
    fn streams(&self, protocols: &[&str]) {
        for protocol in protocols {
            drop(self.stream(protocol));
        }
    }

    fn end(self) {
        self.keeper.end();
    }
}

/// `/a` has the service `a`.
fn resources() -> Resources {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    Resources::new(manager).service("a", [A])
}

/// The protocols that are listed, in order.
fn protocols(resources: &Resources) -> Vec<Arc<str>> {
    let mut protocols = resources.manager().protocols();
    protocols.sort();
    protocols
}

fn nothing_is_left(resources: &Resources) {
    let stat = resources.manager().stat();
    assert!(stat.system.is_zero() && stat.services["a"].is_zero());
    assert!(stat.peers.is_empty() && stat.protocols.is_empty());
}

#[test]
fn the_scopes_of_a_protocol_are_kept_from_its_second_stream_until_the_connection_ends() {
    let resources = resources();
    let open = Open::new(&resources);
    open.streams(&[A]);
    assert!(protocols(&resources).is_empty());
    open.streams(&[A]);
    let stat = resources.manager().stat();
    assert!(stat.protocols[A].is_zero() && stat.system.streams() == 0);
    let allocations = || allocation_counter::measure(|| open.streams(&[A])).count_total;
    // The stream alone.
    assert_eq!(allocations(), 1);
    open.end();
    nothing_is_left(&resources);
}

#[test]
fn a_connection_keeps_the_scopes_of_its_last_two_protocols() {
    let resources = resources();
    let open = Open::new(&resources);
    open.streams(&[A, B, A, B]);
    assert_eq!(protocols(&resources), [A.into(), B.into()]);
    // A protocol that comes once takes the place of the older one, and is not kept.
    open.streams(&[C]);
    assert_eq!(protocols(&resources), [B.into()]);
    open.streams(&[C]);
    assert_eq!(protocols(&resources), [B.into(), C.into()]);
    open.streams(&[B, A]);
    assert_eq!(protocols(&resources), [B.into()]);
    open.end();
    nothing_is_left(&resources);
}

#[test]
fn a_connection_that_keeps_scopes_takes_the_place_of_the_one_that_began_first() {
    let resources = resources();
    let open: Vec<_> = (0..CONNECTIONS).map(|_| Open::new(&resources)).collect();
    for (at, connection) in open.iter().enumerate() {
        connection.streams(&[A, A, A]);
        assert_eq!(kept(&resources), at + 1);
    }
    let one_more = Open::new(&resources);
    one_more.streams(&[A, A]);
    assert_eq!(kept(&resources), CONNECTIONS);
    // The first has stopped, and begins again like a new one.
    open[0].streams(&[A]);
    assert_eq!(kept(&resources), CONNECTIONS);
    open[0].streams(&[A, A]);
    assert_eq!(kept(&resources), CONNECTIONS);
    // Those that have ended keep nothing.
    for (ended, connection) in open.into_iter().enumerate() {
        connection.end();
        // The second has stopped too, for the first.
        let expected = match ended {
            0 => CONNECTIONS - 1,
            ended => CONNECTIONS - ended,
        };
        assert_eq!(kept(&resources), expected);
    }
    one_more.end();
    nothing_is_left(&resources);
}

/// How many peers have kept scopes.
fn kept(resources: &Resources) -> usize {
    let scopes = resources.manager().scopes().into_iter();
    let shares = scopes.filter(|scope| matches!(scope.id, rcmgr_core::ScopeId::ProtocolPeer(..)));
    shares.count()
}

#[test]
fn a_stream_that_outlives_its_connection_keeps_nothing() {
    let resources = resources();
    let open = Open::new(&resources);
    open.streams(&[A]);
    let [settled, negotiating] = [(); 2].map(|()| {
        let stream = resources.open_stream(&open.connection, Direction::Inbound);
        stream.unwrap()
    });
    let keeper = open.keeper.clone();
    let set = |stream| resources.set_protocol(stream, A.as_bytes(), &keeper);
    set(&settled).unwrap();
    open.end();
    set(&negotiating).unwrap();
    drop((settled, negotiating));
    nothing_is_left(&resources);
}

#[test]
fn a_stream_whose_service_is_refused_keeps_nothing() {
    let resources = resources();
    let open = Open::new(&resources);
    open.streams(&[A]);
    let mut limits = Limits::unlimited();
    limits
        .service
        .insert("a".into(), rcmgr_core::Limit::BLOCK_ALL);
    resources.manager().set_limits(limits);
    let stream = resources.open_stream(&open.connection, Direction::Inbound);
    let stream = stream.unwrap();
    let refused = resources.set_protocol(&stream, A.as_bytes(), &open.keeper);
    assert!(refused.is_err());
    drop(stream);
    assert!(protocols(&resources).is_empty());
    open.end();
    nothing_is_left(&resources);
}

#[test]
fn scopes_with_another_service_are_not_kept_and_take_no_place() {
    let resources = resources();
    let open = Open::new(&resources);
    open.streams(&[B]);
    let stream = resources.open_stream(&open.connection, Direction::Inbound);
    let stream = stream.unwrap();
    stream.set_protocol(B).unwrap();
    // A handler is faster than the wrapper.
    stream.set_service("other").unwrap();
    open.keeper.settled(&stream, B, None);
    drop(stream);
    assert!(open.keeper.kept(B.as_bytes()).is_none());
    assert!(!open.keeper.lock().is_listed);
    assert!(protocols(&resources).is_empty());
    // The next one is kept.
    open.streams(&[B]);
    assert!(open.keeper.kept(B.as_bytes()).is_some());
    assert!(open.keeper.lock().is_listed);
    open.end();
    assert!(protocols(&resources).is_empty());
    assert!(resources.manager().stat().system.is_zero());
}
