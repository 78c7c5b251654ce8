//! Streams of real swarms under limits, over TCP and QUIC.

mod support;

use std::sync::Arc;

use libp2p::futures::AsyncWriteExt;
use rcmgr_atomic::Manager;
use rcmgr_core::{KIB, MemoryGuard, Priority, ScopeClass};
use rcmgr_libp2p::scope_of;
use support::pair::{ECHO, PING, Pair, exchange};
use support::{Kind, manager, until, until_nothing_is_held};

#[tokio::test]
async fn a_stream_is_charged_to_peer_protocol_and_service_on_both_sides_until_it_is_dropped() {
    for kind in Kind::ALL {
        let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        let mut echo = pair.open(ECHO).await;
        let mut ping = pair.open(PING).await;
        exchange(&mut echo).await;
        exchange(&mut ping).await;
        for (manager, peer, is_outbound) in [
            (&pair.here, pair.remote, true),
            (&pair.there, pair.local, false),
        ] {
            let stat = manager.stat();
            let streams = |stat: &rcmgr_core::ScopeStat| match is_outbound {
                true => (stat.streams_outbound, stat.streams_inbound),
                false => (stat.streams_inbound, stat.streams_outbound),
            };
            assert_eq!(streams(&stat.system), (2, 0), "{kind:?} {stat:#}");
            assert_eq!(streams(&stat.peers[&peer.into()]), (2, 0));
            assert_eq!(streams(&stat.protocols[ECHO]), (1, 0));
            assert_eq!(streams(&stat.protocols[PING]), (1, 0));
            assert_eq!(streams(&stat.services["libp2p.ping"]), (1, 0));
            assert_eq!(stat.system.memory, 200);
            assert!(stat.transient.is_zero(), "{stat:#}");
        }
        drop(ping);
        until("one stream is left", || {
            [&pair.here, &pair.there]
                .iter()
                .all(|manager| manager.stat().system.memory == 100)
        })
        .await;
        drop(echo);
        pair.end().await;
    }
}

#[tokio::test]
async fn the_scope_of_a_stream_is_found_and_its_memory_is_released_with_the_stream() {
    for kind in Kind::ALL {
        let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        let [mut outbound, mut inbound] = pair.open(ECHO).await;
        for (stream, manager) in [(&mut outbound, &pair.here), (&mut inbound, &pair.there)] {
            let scope = scope_of(stream).unwrap();
            assert_eq!(scope.protocol().as_deref(), Some(ECHO));
            let held = MemoryGuard::new(scope, 64 * KIB, Priority::Medium).unwrap();
            assert_eq!(manager.stat().protocols[ECHO].memory, 64 * KIB + 100);
            // The guard outlives the stream below, and must not keep it charged.
            std::mem::forget(held);
        }
        let scope: Arc<_> = scope_of(&mut outbound).unwrap();
        drop((outbound, inbound));
        pair.until_no_stream_is_left().await;
        assert!(scope.reserve(1_u64, Priority::Always).is_err());
        pair.end().await;
    }
}

#[tokio::test]
async fn a_stream_of_no_limited_connection_has_no_scope() {
    let mut other = libp2p::futures::io::Cursor::new(Vec::new());
    assert!(scope_of(&mut other).is_none());
    other.write_all(b"still a stream").await.unwrap();
}

#[tokio::test]
async fn a_protocol_that_the_remote_does_not_support_makes_no_scope_at_the_remote() {
    for kind in Kind::ALL {
        let pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        let opened = pair.opener.open(pair.remote, &["/never/heard/of"]).await;
        assert!(
            matches!(
                opened,
                Err(libp2p::swarm::StreamUpgradeError::NegotiationFailed)
            ),
            "{opened:?}"
        );
        pair.until_no_stream_is_left().await;
        assert!(pair.there.protocols().is_empty());
        assert!(pair.here.protocols().is_empty());
        pair.end().await;
    }
}

#[tokio::test]
async fn the_protocol_that_is_charged_is_the_one_agreed_on_after_others_were_declined() {
    for kind in Kind::ALL {
        let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        let protocols = ["/not/this", "/nor/this", ECHO];
        let outbound = pair.opener.open(pair.remote, &protocols).await.unwrap();
        let inbound = pair.accepted.recv().await.unwrap();
        for manager in [&pair.here, &pair.there] {
            let names: Vec<String> = manager.protocols().iter().map(|p| p.to_string()).collect();
            assert_eq!(names, [ECHO]);
        }
        drop((outbound, inbound));
        pair.end().await;
    }
}

#[tokio::test]
async fn a_stream_may_outlive_its_connection_and_is_charged_until_it_is_dropped() {
    for kind in Kind::ALL {
        let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        let streams = pair.open(ECHO).await;
        let Pair {
            here,
            there,
            running,
            ..
        } = pair;
        drop(running);
        until("the connections are gone", || {
            let conns = |manager: &Manager| {
                let system = manager.stat().system;
                system.conns_inbound + system.conns_outbound
            };
            conns(&here) + conns(&there) == 0
        })
        .await;
        assert_eq!(here.stat().system.streams_outbound, 1);
        assert_eq!(there.stat().system.streams_inbound, 1);
        drop(streams);
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn thousands_of_refused_inbound_streams_leave_the_connection_and_the_counters_whole() {
    for kind in Kind::ALL {
        let there = manager(|limits| limits.peer_default.streams_inbound = 1.into());
        let mut pair = Pair::connect(kind, manager(|_| ()), there).await;
        let mut first = pair.open(ECHO).await;
        for _ in 0..2000 {
            let opened = pair.opener.open(pair.remote, &[ECHO]).await;
            assert!(opened.is_err(), "{kind:?}");
        }
        assert_eq!(pair.there.refusals(ScopeClass::Peer).total(), 2000);
        exchange(&mut first).await;
        drop(first);
        pair.end().await;
    }
}
