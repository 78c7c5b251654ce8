//! What a swarm with libp2p's default settings takes from the crate: transports in one line each,
//! limits for the bundled behaviours, metrics in the registry of libp2p.

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use libp2p::futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::metrics::{Metrics, Recorder, Registry};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, StreamUpgradeError, SwarmEvent, dummy};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, ping, relay};
use prometheus_client::encoding::text::encode;
use rcmgr::ScalingLimits;
use rcmgr::metrics::Observer;
use rcmgr_atomic::Manager;
use rcmgr_core::{GIB, ScopeClass};
use rcmgr_libp2p::Resources;
use support::streams;
use support::{Kind, manager, spawn, until, until_nothing_is_held};

const PING: &str = "/ipfs/ping/1.0.0";

fn pinging() -> ping::Behaviour {
    ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(10)))
}

/// A swarm with all transports that need no relay.
fn swarm(manager: &Manager) -> Swarm<ping::Behaviour> {
    let resources = Resources::new(manager.clone());
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| rcmgr_libp2p::tcp(key, &resources))
        .unwrap()
        .with_other_transport(|key| rcmgr_libp2p::quic(key, &resources))
        .unwrap()
        .with_other_transport(|key| rcmgr_libp2p::websocket(key, &resources))
        .unwrap()
        .with_behaviour(|_| pinging())
        .unwrap()
        .build()
}

/// Listens, and returns the address that a remote dials.
async fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>, address: &str) -> Multiaddr {
    swarm.listen_on(address.parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

#[tokio::test]
async fn pings_pass_over_each_transport_and_are_charged_on_both_sides() {
    for (address, fds) in [
        ("/ip4/127.0.0.1/tcp/0", 1),
        ("/ip4/127.0.0.1/udp/0/quic-v1", 0),
        ("/ip4/127.0.0.1/tcp/0/ws", 1),
    ] {
        let (here, there) = (manager(|_| ()), manager(|_| ()));
        let mut listener = swarm(&there);
        let mut dialer = swarm(&here);
        let (local, remote) = (*dialer.local_peer_id(), *listener.local_peer_id());
        let dialed = listen(&mut listener, address).await;
        let listener = spawn(listener);
        dialer.dial(dialed).unwrap();
        loop {
            match dialer.select_next_some().await {
                SwarmEvent::Behaviour(event) => {
                    event.result.unwrap();
                    break;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{address}: {error}"),
                _ => {}
            }
        }
        let dialer = spawn(dialer);

        // Each side has opened a stream for its pings, and has accepted one.
        for (manager, peer) in [(&here, remote), (&there, local)] {
            until("both streams are open", || {
                let ping = manager.stat().protocols.get(PING).copied();
                ping.is_some_and(|ping| (ping.streams_inbound, ping.streams_outbound) == (1, 1))
            })
            .await;
            let peer = manager.stat().peers[&peer.into()];
            let conns = peer.conns_inbound + peer.conns_outbound;
            assert_eq!((conns, peer.fd), (1, fds), "{address}");
        }
        drop((listener, dialer));
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[derive(NetworkBehaviour)]
struct Client {
    relay: relay::client::Behaviour,
    ping: ping::Behaviour,
}

/// A swarm that reaches others, and is reached, over a relay.
fn client(manager: &Manager) -> Swarm<Client> {
    let resources = Resources::new(manager.clone());
    let key = Keypair::generate_ed25519();
    let (relayed, relay) = rcmgr_libp2p::relay_client(&key, &resources).unwrap();
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|key| rcmgr_libp2p::tcp(key, &resources))
        .unwrap()
        .with_other_transport(|_| relayed)
        .unwrap()
        .with_behaviour(|_| Client {
            relay,
            ping: pinging(),
        })
        .unwrap()
        .build()
}

async fn until_pinged(swarm: &mut Swarm<Client>, remote: PeerId) {
    loop {
        if let SwarmEvent::Behaviour(ClientEvent::Ping(ping)) = swarm.select_next_some().await
            && ping.peer == remote
        {
            ping.result.unwrap();
            return;
        }
    }
}

#[tokio::test]
async fn a_relayed_connection_is_charged_without_a_descriptor_and_the_relay_charges_its_streams() {
    let [at_relay, at_source, at_destination] = [(); 3].map(|()| manager(|_| ()));
    let mut relay = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| rcmgr_libp2p::tcp(key, &Resources::new(at_relay.clone())))
        .unwrap()
        .with_behaviour(|key| {
            relay::Behaviour::new(key.public().to_peer_id(), relay::Config::default())
        })
        .unwrap()
        .build();
    let address = listen(&mut relay, "/ip4/127.0.0.1/tcp/0").await;
    relay.add_external_address(address.clone());
    let circuit = address
        .with(Protocol::P2p(*relay.local_peer_id()))
        .with(Protocol::P2pCircuit);
    let relay = spawn(relay);

    let mut destination = client(&at_destination);
    let mut source = client(&at_source);
    let (from, to) = (*source.local_peer_id(), *destination.local_peer_id());
    listen(&mut destination, &circuit.to_string()).await;
    let destination = spawn(destination);
    source.dial(circuit.with(Protocol::P2p(to))).unwrap();
    until_pinged(&mut source, to).await;
    let source = spawn(source);

    // The connection to the relay has the descriptor.
    let system = at_source.stat().system;
    assert_eq!((system.conns_outbound, system.conns_inbound), (2, 0));
    assert_eq!(system.fd, 1);
    assert_eq!(at_source.stat().peers[&to.into()].fd, 0);
    let system = at_destination.stat().system;
    assert_eq!((system.conns_outbound, system.conns_inbound), (1, 1));
    assert_eq!(system.fd, 1);
    assert_eq!(at_destination.stat().peers[&from.into()].conns_inbound, 1);
    // At the relay it is a stream from the source, and one to the destination.
    let stat = at_relay.stat();
    assert_eq!((stat.system.conns_inbound, stat.system.fd), (2, 2));
    let relayed = stat.services["libp2p.relay/v2"];
    assert_eq!((relayed.streams_inbound, relayed.streams_outbound), (1, 1));

    drop((source, destination, relay));
    for manager in [at_relay, at_source, at_destination] {
        until_nothing_is_held(&manager).await;
    }
}

#[tokio::test]
async fn under_the_bundled_limits_a_peer_has_two_inbound_streams_for_pings() {
    let mut scaling = ScalingLimits::default();
    rcmgr_libp2p::bundled_limits(&mut scaling);
    let there = Manager::new(scaling.scale(GIB, 4096)).unwrap();
    let here = manager(|_| ());
    let (behaviour, mut accepted, _) = streams::behaviour(&[PING]);
    let mut listener = support::swarm(&Resources::new(there.clone()), behaviour);
    let (behaviour, _, opener) = streams::behaviour(&[]);
    let mut dialer = support::swarm(&Resources::new(here.clone()), behaviour);
    let remote = *listener.local_peer_id();
    let address = support::listen(&mut listener, Kind::Tcp).await;
    dialer.dial(address).unwrap();
    let listener = spawn(listener);
    while !matches!(
        dialer.select_next_some().await,
        SwarmEvent::ConnectionEstablished { .. }
    ) {}
    let dialer = spawn(dialer);

    let mut open = Vec::new();
    for _ in 0..2 {
        open.push(opener.open(remote, &[PING]).await.unwrap());
        open.push(accepted.recv().await.unwrap());
    }
    let third = opener.open(remote, &[PING]).await;
    assert!(matches!(third, Err(StreamUpgradeError::NegotiationFailed)));
    assert_eq!(there.refusals(ScopeClass::ProtocolPeer).total(), 1);

    drop((open, listener, dialer, accepted));
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}

fn encoded(registry: &Registry) -> Vec<String> {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// The name of the metric that a line of the exposition is about.
fn metric(line: &str) -> &str {
    let line = line
        .trim_start_matches("# HELP ")
        .trim_start_matches("# TYPE ");
    line.split([' ', '{']).next().unwrap()
}

#[tokio::test]
async fn one_registry_has_the_metrics_of_libp2p_and_those_of_the_manager() {
    let (here, there) = (
        manager(|limits| limits.system.conns = 8.into()),
        manager(|_| ()),
    );
    let mut alone = Registry::default();
    alone.register_collector(Box::new(Observer::new(here.clone())));
    let mut both = Registry::default();
    let metrics = Metrics::new(&mut both);
    both.register_collector(Box::new(Observer::new(here.clone())));

    let mut listener = support::swarm(&Resources::new(there.clone()), dummy::Behaviour);
    let mut dialer = support::swarm(&Resources::new(here.clone()), dummy::Behaviour);
    let address = support::listen(&mut listener, Kind::Tcp).await;
    let listener = spawn(listener);
    dialer.dial(address).unwrap();
    loop {
        let event = dialer.select_next_some().await;
        metrics.record(&event);
        if let SwarmEvent::ConnectionEstablished { .. } = event {
            break;
        }
    }

    let lines = encoded(&both);
    let is_ours = |line: &&String| {
        let metric = metric(line);
        metric.starts_with("libp2p_rcmgr_") || metric.starts_with("rcmgr_")
    };
    let (ours, theirs): (Vec<_>, Vec<_>) = lines.iter().partition(is_ours);
    let alone = encoded(&alone);
    // The last line ends the whole text.
    assert_eq!(ours.len(), alone.len() - 1);
    for (ours, alone) in ours.iter().zip(&alone) {
        assert_eq!(*ours, alone);
    }
    let has = |start: &str| lines.iter().any(|line| line.starts_with(start));
    assert!(has(
        "libp2p_rcmgr_connections{dir=\"outbound\",scope=\"system\"} 1"
    ));
    assert!(theirs.iter().any(|line| {
        line.starts_with("libp2p_swarm_connections_established_total") && line.ends_with(" 1")
    }));
    // No metric has two descriptions.
    let described: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("# TYPE"))
        .collect();
    let names: BTreeSet<_> = described.iter().map(|line| metric(line)).collect();
    assert_eq!(names.len(), described.len());

    drop((dialer, listener));
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}
