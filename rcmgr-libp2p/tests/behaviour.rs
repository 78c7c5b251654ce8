//! What the behaviour tells a swarm: refusals, and connections that are not under limits.

mod support;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libp2p::futures::StreamExt;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use rcmgr_atomic::Manager;
use rcmgr_core::{Direction, Limits, ScopeClass};
use rcmgr_libp2p::{Behaviour, Event, Refused, Resources};
use rcmgr_testkit::passed_in_own_process;
use support::streams::{self, Opener};
use support::{Kind, Running, listen, manager, mixed, spawn_with, until, until_nothing_is_held};
use tokio::sync::mpsc;

const PING: &str = "/ipfs/ping/1.0.0";

#[derive(NetworkBehaviour)]
struct Both {
    limits: Behaviour,
    streams: streams::Behaviour,
}

/// A swarm with the behaviour and one that opens streams. It does not run yet.
struct Node {
    swarm: Swarm<Both>,
    manager: Manager,
    opener: Opener,
    accepted: mpsc::UnboundedReceiver<libp2p::swarm::Stream>,
}

/// A node that runs.
struct Started {
    manager: Manager,
    opener: Opener,
    accepted: mpsc::UnboundedReceiver<libp2p::swarm::Stream>,
    peer: PeerId,
    events: mpsc::UnboundedReceiver<Event>,
    running: Running,
}

impl Node {
    fn new(manager: Manager) -> Self {
        let resources = Resources::new(manager).memory(0_u64, 100_u64);
        Self::of(&resources, &Kind::ALL)
    }

    fn of(resources: &Resources, limited: &[Kind]) -> Self {
        let (streams, accepted, opener) = streams::behaviour(&[PING]);
        let limits = resources.behaviour();
        Self {
            swarm: mixed::swarm(limited, resources, Both { limits, streams }),
            manager: resources.manager().clone(),
            opener,
            accepted,
        }
    }

    fn start(self) -> Started {
        self.start_with(|_, _| ())
    }

    /// Dials one address after the other.
    fn start_dialing(mut self, mut addresses: VecDeque<Multiaddr>) -> Started {
        let mut dial = move |swarm: &mut Swarm<Both>| {
            if let Some(address) = addresses.pop_front() {
                swarm.dial(address).unwrap();
            }
        };
        dial(&mut self.swarm);
        self.start_with(move |swarm, event| {
            if let SwarmEvent::ConnectionEstablished { .. } = event {
                dial(swarm);
            }
        })
    }

    fn start_with(
        self,
        mut on_event: impl FnMut(&mut Swarm<Both>, &SwarmEvent<BothEvent>) + Send + 'static,
    ) -> Started {
        let (sender, events) = mpsc::unbounded_channel();
        let peer = *self.swarm.local_peer_id();
        let running = spawn_with(self.swarm, move |swarm, event| {
            on_event(swarm, &event);
            if let SwarmEvent::Behaviour(BothEvent::Limits(event)) = event {
                // A test that has ended does not look at what is left.
                let _ = sender.send(event);
            }
        });
        Started {
            manager: self.manager,
            opener: self.opener,
            accepted: self.accepted,
            peer,
            events,
            running,
        }
    }
}

impl Started {
    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await;
        event.expect("an event within 20 s").unwrap()
    }

    async fn refused(&mut self) -> Refused {
        match self.event().await {
            Event::Refused(refused) => refused,
            other => panic!("{other:?}"),
        }
    }

    /// Stops the swarm. Returns the events that were left.
    async fn end(mut self) -> Vec<Event> {
        drop((self.running, self.accepted));
        until_nothing_is_held(&self.manager).await;
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

async fn end(nodes: [Started; 2]) {
    for node in nodes {
        assert_eq!(node.end().await, []);
    }
}

/// Waits until the manager has this number of connections with peers.
async fn until_connections(manager: &Manager, number: u64) {
    until("the connections are there", || {
        let of = |stat: &rcmgr_core::ScopeStat| stat.conns_inbound + stat.conns_outbound;
        manager.stat().peers.values().map(of).sum::<u64>() == number
    })
    .await;
}

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

/// Two nodes with only `limited` under limits. One dials the other over each of `dialed`, one after
/// the other.
async fn connected(limited: &[Kind], dialed: &[Kind]) -> ([Started; 2], Vec<Multiaddr>) {
    let node = || Node::of(&Resources::new(manager(|_| ())), limited);
    let mut listener = node();
    let mut addresses = Vec::new();
    for kind in dialed {
        addresses.push(listen(&mut listener.swarm, *kind).await);
    }
    let dials = addresses.iter().cloned().collect();
    ([listener.start(), node().start_dialing(dials)], addresses)
}

#[tokio::test]
async fn a_connection_that_came_past_the_wrapper_is_reported_and_one_that_did_not_is_not() {
    for (limited, other) in [(Kind::Tcp, Kind::Quic), (Kind::Quic, Kind::Tcp)] {
        let dialed = [limited, other, limited, limited, other];
        let (nodes, addresses) = connected(&[limited], &dialed).await;
        let [mut listener, mut dialer] = nodes;
        let peers = [dialer.peer, listener.peer];
        for address in [&addresses[1], &addresses[4]] {
            for (node, of) in [(&mut listener, peers[0]), (&mut dialer, peers[1])] {
                let Event::Unlimited {
                    peer,
                    address: remote,
                    ..
                } = node.event().await
                else {
                    panic!("not an unlimited connection");
                };
                assert_eq!(peer, of, "{other:?}");
                // The listener sees the port that the dialer has dialed from.
                assert_eq!(remote.iter().next(), address.iter().next());
                assert_eq!(
                    remote.iter().nth(1) == address.iter().nth(1),
                    of == peers[1]
                );
            }
        }
        for node in [&listener, &dialer] {
            until_connections(&node.manager, 3).await;
        }
        end([listener, dialer]).await;
    }
}

#[tokio::test]
async fn what_else_the_manager_counts_for_a_peer_does_not_hide_a_connection_without_limits() {
    let manager = manager(|_| ());
    let resources = Resources::new(manager.clone());
    let mut listener = Node::of(&Resources::new(support::manager(|_| ())), &[]);
    let address = listen(&mut listener.swarm, Kind::Quic).await;
    let listener = listener.start();
    // Another server of the program has a connection of the same peer.
    let connection = manager
        .open_connection(
            Direction::Inbound,
            rcmgr_core::UsesFd::Yes,
            rcmgr_core::Endpoint::None,
        )
        .unwrap();
    connection.set_peer(&listener.peer.into()).unwrap();
    // And so has another swarm with resources of its own.
    let mut other = Node::of(&Resources::new(manager.clone()), &Kind::ALL);
    other.swarm.dial(address.clone()).unwrap();
    let other = other.start();
    until_connections(&manager, 2).await;

    let mut dialer = Node::of(&resources, &[Kind::Tcp]);
    dialer.swarm.dial(address).unwrap();
    let mut dialer = dialer.start();
    assert!(matches!(dialer.event().await, Event::Unlimited { .. }));
    drop(connection);
    drop((other.running, other.accepted));
    assert_eq!(dialer.end().await, []);
    drop(listener);
}

/// Counts the warnings of the crate.
#[derive(Default)]
struct Warnings(Arc<AtomicU64>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN && metadata.target().starts_with("rcmgr_libp2p")
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn connections_without_limits_are_logged_once() {
    if passed_in_own_process("connections_without_limits_are_logged_once") {
        return;
    }
    let warnings = Warnings::default();
    let count = warnings.0.clone();
    tracing::subscriber::set_global_default(warnings).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (nodes, _) = connected(&[Kind::Tcp], &[Kind::Tcp, Kind::Quic, Kind::Quic]).await;
        let [listener, mut dialer] = nodes;
        for _ in 0..2 {
            assert!(matches!(dialer.event().await, Event::Unlimited { .. }));
        }
        assert_eq!(dialer.end().await, []);
        listener.end().await;
    });
    // Once for each of the two swarms.
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

/// Dials again and again, and closes each second connection at once, so that others end while new
/// ones are set up.
async fn churn(listener: Node, address: Multiaddr, dialer: Node) -> [Started; 2] {
    const DIALS: u64 = 300;
    let peer = *listener.swarm.local_peer_id();
    let again = move || {
        DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(vec![address.clone()])
            .build()
    };
    let ended = Arc::new(AtomicU64::new(0));
    let count = ended.clone();
    let listener = listener.start();
    let mut dialer = dialer;
    for _ in 0..8 {
        dialer.swarm.dial(again()).unwrap();
    }
    let mut established = 8;
    let dialer = dialer.start_with(move |swarm, event| match event {
        SwarmEvent::ConnectionEstablished { connection_id, .. } => {
            established += 1;
            if established % 2 == 0 {
                swarm.close_connection(*connection_id);
            }
            if established <= DIALS {
                swarm.dial(again()).unwrap();
            }
        }
        SwarmEvent::ConnectionClosed { .. } | SwarmEvent::OutgoingConnectionError { .. } => {
            count.fetch_add(1, Ordering::Relaxed);
        }
        _ => {}
    });
    until("half of the connections are closed", || {
        ended.load(Ordering::Relaxed) >= DIALS / 2
    })
    .await;
    [listener, dialer]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn connections_that_end_while_others_begin_are_not_taken_for_connections_without_limits() {
    for kind in Kind::ALL {
        let (mut listener, dialer) = (Node::new(manager(|_| ())), Node::new(manager(|_| ())));
        let address = listen(&mut listener.swarm, kind).await;
        end(churn(listener, address, dialer).await).await;
    }
}

#[tokio::test]
async fn an_allowlisted_peer_is_not_taken_for_one_without_limits() {
    for kind in Kind::ALL {
        let there = manager(|limits| limits.system.conns = 0.into());
        let loopback = "/ip4/127.0.0.0/ipcidr/8".parse().unwrap();
        there.addresses().allowlist().add(loopback);
        let (mut listener, dialer) = (Node::new(there), Node::new(manager(|_| ())));
        let address = listen(&mut listener.swarm, kind).await;
        let (listener, dialer) = (listener.start(), dialer.start_dialing([address].into()));
        until_connections(&listener.manager, 1).await;
        assert_eq!(listener.manager.stat().allowlisted_system.conns_inbound, 1);
        until_connections(&dialer.manager, 1).await;
        end([listener, dialer]).await;
    }
}
