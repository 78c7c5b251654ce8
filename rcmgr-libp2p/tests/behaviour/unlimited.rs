//! Connections that are not under limits, as the behaviour tells them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use libp2p::core::transport::upgrade::Version;
use libp2p::futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, Transport, noise, relay, tcp, yamux};
use rcmgr_core::{Direction, Endpoint, UsesFd};
use rcmgr_libp2p::{Behaviour, Event, LimitExt, Resources};
use rcmgr_testkit::passed_in_own_process;
use tokio::sync::mpsc;

use super::support::denier::Denier;
use super::support::{
    self, Kind, Running, listen, manager, mixed, spawn, spawn_with, until, until_nothing_is_held,
};
use super::{Node, Started, end, until_connections};

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
        .open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
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
    if passed_in_own_process("unlimited::connections_without_limits_are_logged_once") {
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
    const DIALS: u64 = 80;
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

#[derive(NetworkBehaviour)]
struct Denying {
    denier: Denier,
    limits: Behaviour,
}

#[tokio::test]
async fn a_connection_that_another_behaviour_denies_does_not_hide_the_next_one() {
    let there = manager(|_| ());
    let resources = Resources::new(there.clone());
    let node = Denying {
        denier: Denier::EstablishedTcp,
        limits: resources.behaviour(),
    };
    let mut listener = mixed::swarm(&[Kind::Tcp], &resources, node);
    let peer = *listener.local_peer_id();
    let limited = listen(&mut listener, Kind::Tcp).await;
    let unlimited = listen(&mut listener, Kind::Quic).await;
    let (sender, mut events) = mpsc::unbounded_channel();
    let listener = spawn_with(listener, move |_, event| {
        if let SwarmEvent::Behaviour(DenyingEvent::Limits(event)) = event {
            // A test that has ended does not look at what is left.
            let _ = sender.send(event);
        }
    });

    let mut dialer = Node::new(manager(|_| ()));
    let from = *dialer.swarm.local_peer_id();
    let to = |address| DialOpts::peer_id(peer).addresses(vec![address]).build();
    dialer.swarm.dial(to(limited)).unwrap();
    // The dialer may see it established before it is closed.
    while !matches!(
        dialer.swarm.select_next_some().await,
        SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. }
    ) {}
    until_nothing_is_held(&there).await;
    dialer.swarm.dial(to(unlimited)).unwrap();
    let dialer = dialer.start();
    let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
    let Some(Event::Unlimited { peer, address, .. }) = event.unwrap() else {
        panic!("not an unlimited connection");
    };
    assert_eq!(peer, from);
    assert!(
        address.iter().any(|part| part == Protocol::QuicV1),
        "{address}"
    );
    assert!(events.is_empty());
    drop(listener);
    assert_eq!(dialer.end().await, []);
}

#[derive(NetworkBehaviour)]
struct Client {
    limits: Behaviour,
    relay: relay::client::Behaviour,
}

/// A swarm whose TCP is under limits, and whose relay client is not: it cannot be wrapped when
/// `with_relay_client` makes it.
fn client(resources: &Resources) -> Swarm<Client> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default())
                .upgrade(Version::V1Lazy)
                .authenticate(noise::Config::new(key)?)
                .multiplex(yamux::Config::default());
            Ok(tcp.limited(resources))
        })
        .unwrap()
        .with_relay_client(noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_, relay| Client {
            limits: resources.behaviour(),
            relay,
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        .build()
}

/// Runs a swarm, and sends its events on limits.
fn run(swarm: Swarm<Client>) -> (Running, mpsc::UnboundedReceiver<Event>) {
    let (sender, events) = mpsc::unbounded_channel();
    let running = spawn_with(swarm, move |_, event| {
        if let SwarmEvent::Behaviour(ClientEvent::Limits(event)) = event {
            // A test that has ended does not look at what is left.
            let _ = sender.send(event);
        }
    });
    (running, events)
}

#[tokio::test]
async fn a_relay_client_that_was_not_wrapped_is_reported_at_its_first_connection() {
    let managers = [(); 3].map(|()| manager(|_| ()));
    let [of_relay, of_source, of_destination] = managers.each_ref();
    let resources = |of: &rcmgr_atomic::Manager| Resources::new(of.clone());
    let mut server = support::swarm(
        &resources(of_relay),
        relay::Behaviour::new(libp2p::PeerId::random(), relay::Config::default()),
    );
    let relay_peer = *server.local_peer_id();
    let address = listen(&mut server, Kind::Tcp).await;
    server.add_external_address(address.clone());
    let server = spawn(server);

    let mut destination = client(&resources(of_destination));
    let circuit = address
        .with_p2p(relay_peer)
        .unwrap()
        .with(Protocol::P2pCircuit);
    destination.listen_on(circuit.clone()).unwrap();
    while !matches!(
        destination.select_next_some().await,
        SwarmEvent::NewListenAddr { .. }
    ) {}
    let mut source = client(&resources(of_source));
    let peers = [*source.local_peer_id(), *destination.local_peer_id()];
    source.dial(circuit.with_p2p(peers[1]).unwrap()).unwrap();
    let (source, mut at_source) = run(source);
    let (destination, mut at_destination) = run(destination);
    for (events, of) in [(&mut at_source, peers[1]), (&mut at_destination, peers[0])] {
        let event = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
        let Some(Event::Unlimited { peer, address, .. }) = event.unwrap() else {
            panic!("not an unlimited connection");
        };
        // The connection with the relay itself is under limits.
        assert_eq!(peer, of);
        assert!(
            of == peers[0] || address.iter().any(|part| part == Protocol::P2pCircuit),
            "{address}"
        );
        assert!(events.is_empty());
    }
    drop((source, destination, server));
    for manager in managers {
        until_nothing_is_held(&manager).await;
    }
}
