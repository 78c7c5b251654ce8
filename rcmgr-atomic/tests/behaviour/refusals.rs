//! Refusals: what an error says, how they are counted, and when a retry succeeds.

use rcmgr_atomic::{
    Direction, Error, Limit, LimitExceeded, LimitValue, Limits, PeerId, Priority, Resource,
    ScopeClass, ScopeId,
};

use crate::support::{connection, manager, peer, refused, stream};

#[test]
fn an_error_has_every_fact_of_the_refusal() {
    let manager = manager(|limits| limits.system.memory = 1000.into());
    let stream = stream(&manager);
    stream.reserve_memory(500, Priority::Always).unwrap();
    let error = stream.reserve_memory(101, Priority::Medium).unwrap_err();
    assert!(error.is_temporary());
    assert_eq!(
        refused(error),
        LimitExceeded {
            scope: ScopeId::System.into(),
            resource: Resource::Memory,
            direction: None,
            requested: 101,
            used: 500,
            limit: LimitValue::Limited(1000),
            priority: Some(Priority::Medium),
        }
    );
}

#[test]
fn peaks_and_refusals_are_counted_by_scope_and_kept_by_class() {
    let manager = manager(|limits| limits.peer_default.streams_inbound = 1.into());
    let first = stream(&manager);
    assert!(manager.open_stream(&peer(), Direction::Inbound).is_err());
    let scope = manager.view_peer(&peer());
    assert_eq!(scope.refusals().streams_inbound, 1);
    first.reserve_memory(100, Priority::Always).unwrap();
    first.release();
    let peak = scope.peak();
    assert_eq!((peak.memory, peak.streams_inbound), (100, 1));
    drop((first, scope));
    assert!(manager.peers().is_empty());
    assert_eq!(manager.refusals(ScopeClass::Peer).streams_inbound, 1);
    let by_class = ScopeClass::ALL.map(|class| manager.refusals(class));
    assert_eq!(manager.all_refusals(), by_class);
    assert_eq!(manager.for_each_scope(|_| {}), by_class);
    // The refused stream was charged for a moment. That is not a peak.
    assert_eq!(manager.view_system().peak().streams_inbound, 1);
}

#[test]
fn a_peer_that_refused_often_opens_streams_as_soon_as_it_has_room() {
    let manager = manager(|limits| limits.peer_default.streams_inbound = 1.into());
    let other: PeerId = "not-tenant-7".parse().unwrap();
    let open_both_ways = |peer: &PeerId| {
        [
            manager.open_stream(peer, Direction::Inbound).map(drop),
            manager
                .open_stream_with(peer, Direction::Inbound, "/ping", None)
                .map(drop),
        ]
    };
    let opens = |peer: &PeerId| {
        let [one, with] = open_both_ways(peer);
        assert_eq!(one.is_ok(), with.is_ok());
        one.is_ok()
    };
    let scope = manager.view_peer(&peer());
    let mut refusals = 0;
    let mut refuse_often = || {
        for _ in 0..3 {
            assert!(!opens(&peer()));
            refusals += 2;
            assert_eq!(scope.refusals().streams_inbound, refusals);
        }
    };

    let first = stream(&manager);
    refuse_often();
    // Another peer is not mistaken for it, even if its id ends the same. The peer has room for outbound
    // streams.
    assert!(opens(&other));
    let _ = manager.open_stream(&peer(), Direction::Outbound).unwrap();
    refuse_often();
    // An override.
    scope.set_limit(Limit::UNLIMITED);
    assert!(opens(&peer()));
    scope.reset_limit();
    refuse_often();
    // A stream is closed.
    drop(first);
    assert!(opens(&peer()));
    let second = stream(&manager);
    refuse_often();
    // The scope is collected, and made again.
    drop((second, scope));
    assert!(manager.peers().is_empty());
    assert!(opens(&peer()));
    // The scope is made again under a new limit, while a stream of the old scope is open.
    let outbound = manager.open_stream(&peer(), Direction::Outbound).unwrap();
    let mut limits = Limits::unlimited();
    limits.peer_default.streams_inbound = 0.into();
    manager.set_limits(limits.clone());
    let refuse_by = |class| {
        for result in open_both_ways(&peer()) {
            assert_eq!(refused(result.unwrap_err()).scope.scope.class(), class);
        }
    };
    (0..3).for_each(|_| refuse_by(ScopeClass::Peer));
    // A stream's own limit comes first.
    limits.stream.streams_inbound = 0.into();
    manager.set_limits(limits.clone());
    refuse_by(ScopeClass::Stream);
    limits.stream = Limit::UNLIMITED;
    manager.set_limits(limits);
    (0..3).for_each(|_| refuse_by(ScopeClass::Peer));
    drop(outbound);
    manager.set_limits(Limits::unlimited());
    assert!(opens(&peer()));
    // A closed manager asks no scope.
    let _third = stream(&manager);
    manager.view_peer(&peer()).set_limit(Limit::BLOCK_ALL);
    (0..3).for_each(|_| refuse_by(ScopeClass::Peer));
    manager.close();
    for result in open_both_ways(&peer()) {
        assert!(matches!(result, Err(Error::ScopeClosed { .. })));
    }
}

#[test]
fn the_peer_is_asked_before_its_share_of_a_service() {
    let manager = manager(|limits| {
        limits.peer_default = Limit::BLOCK_ALL;
        limits.service_peer_default = Limit::BLOCK_ALL;
    });
    let connection = connection(&manager);
    connection.set_service("web").unwrap();
    let error = refused(connection.set_peer(&peer()).unwrap_err());
    assert_eq!(error.scope, ScopeId::Peer(peer()).into());
    assert!(manager.peers().is_empty());
}
