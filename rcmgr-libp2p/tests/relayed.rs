//! Relayed connections under limits, and direct ones that hole punching makes of them.

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use libp2p::futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{NetworkBehaviour, Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, dcutr, identify, quic, relay, tcp};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
use rcmgr_core::{Resource, ScopeClass, ScopeStat};
use rcmgr_libp2p::{LimitExt, Resources};
use support::dialing::{connect, exceeded, secured};
use support::mixed::boxed;
use support::streams::{self, Opener};
use support::{Kind, Running, listen, manager, spawn, spawn_with, until, until_nothing_is_held};
use tokio::sync::mpsc;

const ECHO: &str = "/echo/1.0.0";

#[derive(NetworkBehaviour)]
struct Client {
    relay: relay::client::Behaviour,
    streams: streams::Behaviour,
}

/// A swarm with TCP and QUIC, and with the transport of a relay client, all under limits.
fn client<B: NetworkBehaviour>(
    resources: &Resources,
    behaviour: impl FnOnce(&Keypair, relay::client::Behaviour) -> B,
) -> Swarm<B> {
    let key = Keypair::generate_ed25519();
    let (relayed, relay) = relay::client::new(key.public().to_peer_id());
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|key| boxed(secured(relayed, key).limited(resources)))
        .unwrap()
        .with_other_transport(|key| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default());
            boxed(secured(tcp, key).limited(resources))
        })
        .unwrap()
        .with_other_transport(|key| {
            boxed(quic::tokio::Transport::new(quic::Config::new(key)).limited(resources))
        })
        .unwrap()
        .with_behaviour(|key| behaviour(key, relay))
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(3600)))
        // Dials of hole punching that cannot succeed end soon.
        .with_connection_timeout(Duration::from_secs(2))
        .build()
}

fn resources(manager: &Manager) -> Resources {
    Resources::new(manager.clone())
}

/// A relay that runs, and a destination that listens through it.
struct Relayed {
    relay: Manager,
    there: Manager,
    relay_peer: PeerId,
    /// The destination, and its address through the relay.
    peer: PeerId,
    address: Multiaddr,
    accepted: mpsc::UnboundedReceiver<Stream>,
    running: [Running; 2],
}

impl Relayed {
    async fn start(kind: Kind) -> Self {
        Self::start_with(kind, manager(|_| ())).await
    }

    async fn start_with(kind: Kind, there: Manager) -> Self {
        let relay = manager(|_| ());
        let key = Keypair::generate_ed25519();
        let relay_peer = key.public().to_peer_id();
        let behaviour = relay::Behaviour::new(relay_peer, relay::Config::default());
        let mut server = support::swarm_of(key, &resources(&relay), behaviour);
        let at = listen(&mut server, kind).await;
        server.add_external_address(at.clone());
        let server = spawn(server);

        let (streams, accepted, _) = streams::behaviour(&[ECHO]);
        let mut listener = client(&resources(&there), |_, relay| Client { relay, streams });
        let peer = *listener.local_peer_id();
        let circuit = at
            .with(Protocol::P2p(relay_peer))
            .with(Protocol::P2pCircuit);
        listener.listen_on(circuit.clone()).unwrap();
        // The address is there once the relay has accepted the reservation.
        let address = circuit.with(Protocol::P2p(peer));
        loop {
            if let SwarmEvent::NewListenAddr { address: new, .. } =
                listener.select_next_some().await
            {
                assert_eq!(new, address);
                break;
            }
        }
        let running = [server, spawn(listener)];
        Self {
            relay,
            there,
            relay_peer,
            peer,
            address,
            accepted,
            running,
        }
    }

    async fn end(self, here: &Manager) {
        drop((self.running, self.accepted));
        for manager in [here, &self.there, &self.relay] {
            until_nothing_is_held(manager).await;
        }
    }
}

/// A source of relayed connections, and the opener of its streams.
fn source(here: &Manager) -> (Swarm<Client>, Opener) {
    let (streams, _, opener) = streams::behaviour(&[]);
    let source = client(&resources(here), |_, relay| Client { relay, streams });
    (source, opener)
}

/// Connections in and out, and descriptors.
fn conns(stat: &ScopeStat) -> [u64; 3] {
    [stat.conns_inbound, stat.conns_outbound, stat.fd]
}

#[tokio::test]
async fn a_relayed_connection_is_charged_at_its_ends_and_uses_no_descriptor() {
    for kind in Kind::ALL {
        let mut relayed = Relayed::start(kind).await;
        let here = manager(|_| ());
        let (mut source, opener) = source(&here);
        let local = (*source.local_peer_id()).into();
        let fd = kind.fds();
        let connected = connect(&mut source, relayed.address.clone()).await;
        assert_eq!(connected.unwrap(), relayed.peer);
        let source = spawn(source);
        let (relay, remote) = (relayed.relay_peer.into(), relayed.peer.into());

        // The source has a connection with the relay, and the relayed one on a stream of that.
        let stat = here.stat();
        assert_eq!(conns(&stat.system), [0, 2, fd], "{kind:?} {stat:#}");
        assert_eq!(conns(&stat.peers[&relay]), [0, 1, fd], "{stat:#}");
        assert_eq!(conns(&stat.peers[&remote]), [0, 1, 0], "{stat:#}");
        assert_eq!(stat.peers[&relay].streams_outbound, 1, "{stat:#}");
        assert_eq!(stat.services["libp2p.relay/v2"].streams_outbound, 1);

        until("the destination has it as well", || {
            relayed.there.stat().peers.contains_key(&local)
        })
        .await;
        let stat = relayed.there.stat();
        assert_eq!(conns(&stat.system), [1, 1, fd], "{kind:?} {stat:#}");
        assert_eq!(conns(&stat.peers[&relay]), [0, 1, fd], "{stat:#}");
        assert_eq!(conns(&stat.peers[&local]), [1, 0, 0], "{stat:#}");
        assert_eq!(stat.peers[&relay].streams_inbound, 1, "{stat:#}");

        // The relay has a stream from the source and one to the destination.
        let stat = relayed.relay.stat();
        assert_eq!(conns(&stat.system), [2, 0, 2 * fd], "{kind:?} {stat:#}");
        let streams = |stat: &ScopeStat| (stat.streams_inbound, stat.streams_outbound);
        assert_eq!(streams(&stat.system), (1, 1), "{stat:#}");
        assert_eq!(streams(&stat.peers[&local]), (1, 0), "{stat:#}");
        assert_eq!(streams(&stat.peers[&remote]), (0, 1), "{stat:#}");
        assert_eq!(streams(&stat.services["libp2p.relay/v2"]), (1, 1));

        // Streams on it are charged to the peer at the other end.
        let mut outbound = opener.open(relayed.peer, &[ECHO]).await.unwrap();
        outbound.write_all(b"ask").await.unwrap();
        outbound.flush().await.unwrap();
        let mut inbound = relayed.accepted.recv().await.unwrap();
        inbound.read_exact(&mut [0; 3]).await.unwrap();
        assert_eq!(here.stat().peers[&remote].streams_outbound, 1);
        assert_eq!(relayed.there.stat().peers[&local].streams_inbound, 1);
        assert_eq!(streams(&relayed.relay.stat().system), (1, 1));
        drop((outbound, inbound, source));
        relayed.end(&here).await;
    }
}

/// Lets one connection for each address through, loopback included.
fn one_per_address() -> Manager {
    manager(|limits| {
        limits.addresses = AddressLimits::new(AddressConfig {
            trust_loopback: false,
            subnets: SubnetLimits {
                v4: vec![SubnetLimit {
                    prefix_len: 32,
                    conns: 1,
                }],
                ..SubnetLimits::none()
            },
            ..AddressConfig::none()
        })
        .unwrap();
    })
}

#[tokio::test]
async fn a_relayed_connection_does_not_count_as_one_with_the_address_of_the_relay() {
    for kind in Kind::ALL {
        let relayed = Relayed::start_with(kind, one_per_address()).await;
        let here = one_per_address();
        let (mut source, _) = source(&here);
        connect(&mut source, relayed.address.clone()).await.unwrap();
        until("the destination has it as well", || {
            relayed.there.stat().system.conns_inbound == 1
        })
        .await;
        for manager in [&here, &relayed.there] {
            // The connection with the relay has the only permit.
            assert_eq!(manager.addresses().stat().permits, 1);
            assert_eq!(manager.addresses().stat().refused_by_subnet, 0);
        }
        drop(source);
        relayed.end(&here).await;
    }
}

#[tokio::test]
async fn a_relayed_connection_obeys_the_limits_of_both_ends() {
    type Lower = fn(&mut Limits);
    let lowered: [(ScopeClass, Lower); 4] = [
        (ScopeClass::System, |limits| {
            limits.system.conns_inbound = 0.into();
            limits.system.conns_outbound = 1.into();
        }),
        (ScopeClass::Transient, |limits| {
            limits.transient.conns = 0.into();
        }),
        (ScopeClass::Peer, |limits| {
            limits.peer_default.conns = 0.into();
        }),
        (ScopeClass::Connection, |limits| {
            limits.conn.memory = 1.into();
        }),
    ];
    for kind in Kind::ALL {
        let relayed = Relayed::start(kind).await;
        let here = manager(|_| ());
        let (mut source, _) = source(&here);
        let to_relay = relayed
            .address
            .iter()
            .take(4 - usize::from(kind == Kind::Tcp));
        let to_relay: Multiaddr = to_relay.collect();
        connect(&mut source, to_relay).await.unwrap();
        for (scope, lower) in lowered {
            let mut limits = Limits::unlimited();
            lower(&mut limits);
            here.set_limits(limits.clone());
            let error = connect(&mut source, relayed.address.clone())
                .await
                .unwrap_err();
            assert_eq!(exceeded(&error).scope.class(), scope, "{kind:?}");
            here.set_limits(Limits::unlimited());
            until("the source has the connection with the relay alone", || {
                conns(&here.stat().system) == [0, 1, kind.fds()]
            })
            .await;

            let before = relayed.there.refusals(scope).total();
            relayed.there.set_limits(limits);
            source.dial(relayed.address.clone()).unwrap();
            until_polled(&mut source, || {
                relayed.there.refusals(scope).total() > before
                    && conns(&here.stat().system) == [0, 1, kind.fds()]
            })
            .await;
            relayed.there.set_limits(Limits::unlimited());
            let stat = relayed.there.stat();
            assert_eq!(conns(&stat.system), [0, 1, kind.fds()], "{stat:#}");
        }
        drop(source);
        relayed.end(&here).await;
    }
}

/// Waits until `condition` holds, and runs a swarm meanwhile.
async fn until_polled<B: NetworkBehaviour>(swarm: &mut Swarm<B>, condition: impl FnMut() -> bool) {
    let run = async {
        loop {
            swarm.select_next_some().await;
        }
    };
    tokio::select! {
        () = until("the condition of the test", condition) => {}
        () = run => unreachable!(),
    }
}

#[tokio::test]
async fn a_stream_to_the_relay_that_is_refused_is_found_in_the_error_of_the_dial() {
    for kind in Kind::ALL {
        let relayed = Relayed::start(kind).await;
        let here = manager(|limits| limits.system.streams_outbound = 0.into());
        let (mut source, _) = source(&here);
        let error = connect(&mut source, relayed.address.clone())
            .await
            .unwrap_err();
        assert_eq!(exceeded(&error).resource, Resource::StreamsOutbound);
        drop(source);
        relayed.end(&here).await;
    }
}

#[derive(NetworkBehaviour)]
struct Puncher {
    relay: relay::client::Behaviour,
    identify: identify::Behaviour,
    dcutr: dcutr::Behaviour,
}

fn puncher(manager: &Manager) -> Swarm<Puncher> {
    client(&resources(manager), |key, relay| Puncher {
        relay,
        identify: identify::Behaviour::new(identify::Config::new("/test".into(), key.public())),
        dcutr: dcutr::Behaviour::new(key.public().to_peer_id()),
    })
}

/// Runs a swarm. It tells how many of its connections are pending, inbound and outbound.
fn spawn_counted(swarm: Swarm<Puncher>) -> (Running, Arc<Mutex<[u64; 3]>>) {
    let counted = Arc::new(Mutex::new([1, 0, 0]));
    let told = counted.clone();
    let running = spawn_with(swarm, move |swarm, _| {
        let info = swarm.network_info();
        let counters = info.connection_counters();
        *told.lock().unwrap() = [
            counters.num_pending(),
            counters.num_established_incoming(),
            counters.num_established_outgoing(),
        ]
        .map(u64::from);
    });
    (running, counted)
}

#[derive(NetworkBehaviour)]
struct Relay {
    relay: relay::Behaviour,
    identify: identify::Behaviour,
}

#[tokio::test]
async fn a_direct_connection_by_dcutr_is_charged_once_at_each_end() {
    for kind in Kind::ALL {
        let [at_relay, here, there] = [manager(|_| ()), manager(|_| ()), manager(|_| ())];
        let key = Keypair::generate_ed25519();
        let relay_peer = key.public().to_peer_id();
        let behaviour = Relay {
            relay: relay::Behaviour::new(relay_peer, relay::Config::default()),
            identify: identify::Behaviour::new(identify::Config::new("/test".into(), key.public())),
        };
        let mut server = support::swarm_of(key, &resources(&at_relay), behaviour);
        let at = listen(&mut server, kind).await;
        server.add_external_address(at.clone());
        let server = spawn(server);

        let mut destination = puncher(&there);
        listen(&mut destination, kind).await;
        let peer = *destination.local_peer_id();
        let circuit = at
            .with(Protocol::P2p(relay_peer))
            .with(Protocol::P2pCircuit);
        destination.listen_on(circuit.clone()).unwrap();
        // The relay tells it the address that others see.
        let (mut is_reserved, mut is_observed) = (false, false);
        while !is_reserved || !is_observed {
            match destination.select_next_some().await {
                SwarmEvent::NewListenAddr { .. } => is_reserved = true,
                SwarmEvent::NewExternalAddrCandidate { .. } => is_observed = true,
                _ => {}
            }
        }
        let (destination, inbound) = spawn_counted(destination);

        let mut source = puncher(&here);
        listen(&mut source, kind).await;
        let local = *source.local_peer_id();
        source.dial(circuit.with(Protocol::P2p(peer))).unwrap();
        loop {
            if let SwarmEvent::Behaviour(PuncherEvent::Dcutr(event)) =
                source.select_next_some().await
            {
                assert_eq!(event.remote_peer_id, peer);
                event.result.unwrap();
                break;
            }
        }
        let (source, outbound) = spawn_counted(source);
        // A TCP dial in the role of the listener fails here: without a NAT in between both sides
        // are listeners on it. The other side's dial succeeds.
        until("each connection of the swarms is charged once", || {
            [(&here, &outbound, peer), (&there, &inbound, local)]
                .into_iter()
                .all(|(manager, counted, remote)| {
                    let stat = manager.stat();
                    let [pending, inbound, outbound] = *counted.lock().unwrap();
                    // All but the relayed one have a socket of their own.
                    let descriptors = (inbound + outbound).saturating_sub(1) * kind.fds();
                    let of_remote = stat.peers.get(&remote.into()).map(conns);
                    pending == 0
                        && conns(&stat.system) == [inbound, outbound, descriptors]
                        && conns(&stat.transient) == [0, 0, 0]
                        && of_remote.is_some_and(|[inbound, outbound, fd]| {
                            inbound + outbound >= 2 && fd == (inbound + outbound - 1) * kind.fds()
                        })
                })
        })
        .await;
        drop((source, destination, server));
        for manager in [&here, &there, &at_relay] {
            until_nothing_is_held(manager).await;
        }
    }
}
