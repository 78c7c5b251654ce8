//! Refusals, as the behaviour tells them.

use libp2p::futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use rcmgr_core::{Direction, Limits, ScopeClass};
use rcmgr_libp2p::Resources;

use super::support::{Kind, listen, manager};
use super::{Node, PING, end, until_connections};

/// Lowers one limit.
type Lower = fn(&mut Limits);

#[tokio::test]
async fn a_refused_connection_is_reported_with_its_address_and_with_its_peer_once_that_is_known() {
    let limits: [(Direction, ScopeClass, Lower); 6] = [
        (Direction::Inbound, ScopeClass::System, |limits| {
            limits.system.conns_inbound = 0.into();
        }),
        (Direction::Inbound, ScopeClass::Transient, |limits| {
            limits.transient.conns_inbound = 0.into();
        }),
        (Direction::Inbound, ScopeClass::Peer, |limits| {
            limits.peer_default.conns_inbound = 0.into();
        }),
        (Direction::Outbound, ScopeClass::System, |limits| {
            limits.system.conns_outbound = 0.into();
        }),
        (Direction::Outbound, ScopeClass::Transient, |limits| {
            limits.transient.conns_outbound = 0.into();
        }),
        (Direction::Outbound, ScopeClass::Peer, |limits| {
            limits.peer_default.conns_outbound = 0.into();
        }),
    ];
    for kind in Kind::ALL {
        for (direction, scope, lower) in limits {
            for swallows in [false, true] {
                let unlimited = || Resources::new(manager(|_| ()));
                let mut limited = Resources::new(manager(lower));
                if swallows {
                    limited = limited.swallow_refused_connections();
                }
                let (to, from) = match direction {
                    Direction::Inbound => (limited, unlimited()),
                    Direction::Outbound => (unlimited(), limited),
                };
                let mut listener = Node::of(&to, &Kind::ALL);
                let mut dialer = Node::of(&from, &Kind::ALL);
                let address = listen(&mut listener.swarm, kind).await;
                dialer.swarm.dial(address.clone()).unwrap();
                let (mut listener, mut dialer) = (listener.start(), dialer.start());
                let (reporter, other) = match direction {
                    Direction::Inbound => (&mut listener, &dialer),
                    Direction::Outbound => (&mut dialer, &listener),
                };
                let refused = reporter.refused().await;
                assert_eq!(refused.class, ScopeClass::Connection);
                assert_eq!(refused.direction, direction);
                assert_eq!(refused.error.scope().unwrap().class(), scope);
                let peer = (scope == ScopeClass::Peer).then_some(other.peer);
                assert_eq!(refused.peer, peer, "{kind:?} {direction} {scope}");
                let remote = refused.address.unwrap();
                match direction {
                    Direction::Inbound => assert_eq!(remote.iter().next(), address.iter().next()),
                    Direction::Outbound => assert_eq!(remote, address),
                }
                assert_eq!((refused.protocol, refused.dropped_before), (None, 0));
                end([listener, dialer]).await;
            }
        }
    }
}

#[tokio::test]
async fn a_refused_stream_is_reported_with_its_peer_and_with_its_protocol_once_that_is_known() {
    let limits: [(ScopeClass, Lower); 8] = [
        (ScopeClass::System, |limits| {
            limits.system.streams = 0.into()
        }),
        (ScopeClass::Transient, |limits| {
            limits.transient.streams = 0.into();
        }),
        (ScopeClass::Peer, |limits| {
            limits.peer_default.streams = 0.into();
        }),
        (ScopeClass::Stream, |limits| {
            limits.stream.memory = 99.into()
        }),
        (ScopeClass::Protocol, |limits| {
            limits.protocol_default.streams = 0.into();
        }),
        (ScopeClass::ProtocolPeer, |limits| {
            limits.protocol_peer_default.streams = 0.into();
        }),
        (ScopeClass::Service, |limits| {
            limits.service_default = Some(rcmgr_core::Limit {
                streams: 0.into(),
                ..rcmgr_core::Limit::UNLIMITED
            });
        }),
        (ScopeClass::ServicePeer, |limits| {
            limits.service_peer_default.streams = 0.into();
        }),
    ];
    for kind in Kind::ALL {
        for direction in [Direction::Inbound, Direction::Outbound] {
            for (at, (scope, lower)) in limits.into_iter().enumerate() {
                let (to, from) = match direction {
                    Direction::Inbound => (manager(lower), manager(|_| ())),
                    Direction::Outbound => (manager(|_| ()), manager(lower)),
                };
                let (mut listener, mut dialer) = (Node::new(to), Node::new(from));
                let address = listen(&mut listener.swarm, kind).await;
                dialer.swarm.dial(address).unwrap();
                let (mut listener, mut dialer) = (listener.start(), dialer.start());
                until_connections(&dialer.manager, 1).await;
                let opened = dialer.opener.open(listener.peer, &[PING]).await;
                assert!(opened.is_err(), "{kind:?} {direction} {scope}");

                let (reporter, other) = match direction {
                    Direction::Inbound => (&mut listener, &dialer),
                    Direction::Outbound => (&mut dialer, &listener),
                };
                let refused = reporter.refused().await;
                assert_eq!(refused.class, ScopeClass::Stream);
                assert_eq!(refused.direction, direction);
                assert_eq!(refused.error.scope().unwrap().class(), scope);
                assert_eq!(refused.peer, Some(other.peer));
                let protocol = (at >= 4).then_some(PING);
                assert_eq!(refused.protocol.as_deref(), protocol, "{kind:?} {scope}");
                assert_eq!((refused.address, refused.dropped_before), (None, 0));
                end([listener, dialer]).await;
            }
        }
    }
}

#[tokio::test]
async fn refusals_that_find_no_room_are_dropped_and_the_next_event_says_how_many() {
    const REFUSED: u64 = 1000;
    for kind in Kind::ALL {
        let there = manager(|limits| limits.peer_default.streams_inbound = 0.into());
        let (mut listener, mut dialer) = (Node::new(there), Node::new(manager(|_| ())));
        let to = *listener.swarm.local_peer_id();
        let address = listen(&mut listener.swarm, kind).await;
        dialer.swarm.dial(address).unwrap();
        let dialer = dialer.start();
        while !matches!(
            listener.swarm.select_next_some().await,
            SwarmEvent::ConnectionEstablished { .. }
        ) {}

        // The connection has a task of its own, and the swarm does not look at the reports.
        until_connections(&dialer.manager, 1).await;
        for _ in 0..REFUSED {
            dialer.opener.open(to, &[PING]).await.unwrap_err();
        }
        let dropped = listener.swarm.behaviour().limits.dropped();
        assert_eq!(dropped, REFUSED - 256, "{kind:?}");
        let mut listener = listener.start();
        assert_eq!(listener.refused().await.dropped_before, dropped);
        for _ in 1..256 {
            assert_eq!(listener.refused().await.dropped_before, 0);
        }
        dialer.opener.open(to, &[PING]).await.unwrap_err();
        assert_eq!(listener.refused().await.dropped_before, 0);
        end([listener, dialer]).await;
    }
}
