//! Streams of real swarms under limits, over TCP and QUIC.

mod support;

use std::sync::Arc;

use libp2p::PeerId;
use libp2p::futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{Stream, SwarmEvent};
use rcmgr_atomic::Manager;
use rcmgr_core::{Error, KIB, Limits, MemoryGuard, Priority, ScopeClass};
use rcmgr_libp2p::{Resources, refusal, scope_of};
use support::streams::{self, Opener};
use support::{Kind, Running, listen, manager, spawn, swarm, until, until_nothing_is_held};
use tokio::sync::mpsc;

const ECHO: &str = "/echo/1.0.0";
const PING: &str = "/ipfs/ping/1.0.0";

/// Two swarms that are connected: one dials and opens streams, the other one accepts them.
struct Pair {
    here: Manager,
    there: Manager,
    opener: Opener,
    accepted: mpsc::UnboundedReceiver<Stream>,
    /// The peer that accepts, and the one that opens.
    remote: PeerId,
    local: PeerId,
    running: [Running; 2],
}

impl Pair {
    async fn connect(kind: Kind, here: Manager, there: Manager) -> Self {
        let (behaviour, accepted, _) = streams::behaviour(&[ECHO, PING]);
        let of = |manager: &Manager| Resources::new(manager.clone()).memory(0_u64, 100_u64);
        let mut listener = swarm(&of(&there), behaviour);
        let address = listen(&mut listener, kind).await;
        let (behaviour, _, opener) = streams::behaviour(&[]);
        let mut dialer = swarm(&of(&here), behaviour);
        let (remote, local) = (*listener.local_peer_id(), *dialer.local_peer_id());
        let listener = spawn(listener);
        dialer.dial(address).unwrap();
        while !matches!(
            dialer.select_next_some().await,
            SwarmEvent::ConnectionEstablished { .. }
        ) {}
        let running = [spawn(dialer), listener];
        Self {
            here,
            there,
            opener,
            accepted,
            remote,
            local,
            running,
        }
    }

    /// Opens a stream, and takes it at the other side.
    async fn open(&mut self, protocol: &'static str) -> [Stream; 2] {
        let outbound = self.opener.open(self.remote, &[protocol]).await.unwrap();
        [outbound, self.accepted.recv().await.unwrap()]
    }

    /// Ends both swarms: then nothing is held.
    async fn end(self) {
        drop((self.running, self.accepted));
        until_nothing_is_held(&self.here).await;
        until_nothing_is_held(&self.there).await;
    }
}

async fn exchange([outbound, inbound]: &mut [Stream; 2]) {
    outbound.write_all(b"ask").await.unwrap();
    outbound.flush().await.unwrap();
    let mut bytes = [0; 3];
    inbound.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ask");
}

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

/// The scope that refused a stream that was opened.
fn refused_by(opened: streams::Opened) -> ScopeClass {
    let error = opened.unwrap_err();
    match refusal(&error) {
        Some(Error::LimitExceeded(reached)) => reached.scope.class(),
        other => panic!("{other:?} in {error:?}"),
    }
}

/// Lowers one limit.
type Lower = fn(&mut Limits);

/// Limits of streams, in each scope that a stream is charged to.
fn stream_limits() -> Vec<(ScopeClass, Lower)> {
    vec![
        (ScopeClass::System, |limits| {
            limits.system.streams = 1.into()
        }),
        (ScopeClass::Transient, |limits| {
            limits.transient.streams = 0.into();
        }),
        (ScopeClass::Peer, |limits| {
            limits.peer_default.streams = 1.into();
        }),
        (ScopeClass::Protocol, |limits| {
            limits.protocol_default.streams = 1.into();
        }),
        (ScopeClass::ProtocolPeer, |limits| {
            limits.protocol_peer_default.streams = 1.into();
        }),
        (ScopeClass::Service, |limits| {
            limits.service_default = Some(rcmgr_core::Limit {
                streams: 1.into(),
                ..rcmgr_core::Limit::UNLIMITED
            });
        }),
        (ScopeClass::ServicePeer, |limits| {
            limits.service_peer_default.streams = 1.into();
        }),
        (ScopeClass::Stream, |limits| {
            limits.stream.memory = 99.into()
        }),
    ]
}

#[tokio::test]
async fn an_outbound_stream_is_refused_in_each_scope_and_the_connection_goes_on() {
    for kind in Kind::ALL {
        for (scope, limit) in stream_limits() {
            let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
            let first = pair.open(PING).await;
            let mut limits = Limits::unlimited();
            limit(&mut limits);
            pair.here.set_limits(limits);
            let refused = pair.opener.open(pair.remote, &[PING]).await;
            assert_eq!(refused_by(refused), scope, "{kind:?}");
            // The connection goes on. The remote may have accepted the refused stream.
            pair.here.set_limits(Limits::unlimited());
            let mut again = pair.opener.open(pair.remote, &[PING]).await.unwrap();
            again.write_all(b"ask").await.unwrap();
            again.flush().await.unwrap();
            let mut bytes = [0; 3];
            loop {
                let mut accepted = pair.accepted.recv().await.unwrap();
                if accepted.read_exact(&mut bytes).await.is_ok() {
                    break;
                }
            }
            assert_eq!(&bytes, b"ask");
            drop((first, again));
            pair.end().await;
        }
    }
}

#[tokio::test]
async fn an_inbound_stream_is_refused_in_each_scope_and_the_connection_goes_on() {
    for kind in Kind::ALL {
        for (scope, limit) in stream_limits() {
            let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
            let first = pair.open(PING).await;
            let mut limits = Limits::unlimited();
            limit(&mut limits);
            pair.there.set_limits(limits);
            let refused = pair.opener.open(pair.remote, &[PING]).await;
            let error = refused.unwrap_err();
            assert!(refusal(&error).is_none(), "{error:?}");
            assert_eq!(pair.there.refusals(scope).total(), 1, "{kind:?} {scope}");
            pair.there.set_limits(Limits::unlimited());
            let mut again = pair.open(PING).await;
            exchange(&mut again).await;
            drop((first, again));
            pair.end().await;
        }
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
        until_zero_streams(&pair).await;
        assert!(scope.reserve(1_u64, Priority::Always).is_err());
        pair.end().await;
    }
}

async fn until_zero_streams(pair: &Pair) {
    until("no stream is left", || {
        let are_none = |manager: &Manager| {
            let system = manager.stat().system;
            system.streams_inbound + system.streams_outbound == 0 && system.memory == 0
        };
        are_none(&pair.here) && are_none(&pair.there)
    })
    .await;
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
        until_zero_streams(&pair).await;
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
