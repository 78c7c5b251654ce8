//! How connections end, and that each ending releases what they held.

mod support;

use std::time::Duration;

use libp2p::core::transport::Transport;
use libp2p::futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, NetworkBehaviour, SwarmEvent, dummy};
use libp2p::{Multiaddr, Swarm, connection_limits, tcp};
use rcmgr_atomic::Manager;
use rcmgr_libp2p::{LimitExt, Resources, refusal};
use support::denier::Denier;
use support::dialing::{connect, establish, port, secured, swarm_over};
use support::stalled::{Gate, Stalled};
use support::{Kind, listen, manager, spawn, swarm, until, until_nothing_is_held};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const TIMEOUT: Duration = Duration::from_secs(20);

fn node(manager: &Manager) -> Swarm<dummy::Behaviour> {
    swarm(&Resources::new(manager.clone()), dummy::Behaviour)
}

/// Connections in and out, and descriptors.
fn conns(manager: &Manager) -> [u64; 3] {
    let system = manager.stat().system;
    [system.conns_inbound, system.conns_outbound, system.fd]
}

/// A node over TCP whose writes stop while the gate is closed.
fn stalled_node<B: NetworkBehaviour>(
    manager: &Manager,
    gate: &Gate,
    after_handshake: impl FnOnce() + Clone + Send + 'static,
    behaviour: B,
) -> Swarm<B> {
    let resources = Resources::new(manager.clone());
    let transport = |key: &Keypair| {
        let tcp = tcp::tokio::Transport::new(tcp::Config::default());
        let gate = gate.clone();
        let tcp = tcp.map(move |stream, _| Stalled(stream, gate));
        let connected = secured(tcp, key).map(move |connected, _| {
            after_handshake();
            connected
        });
        connected.limited(&resources)
    };
    swarm_over(transport, behaviour, TIMEOUT)
}

#[tokio::test]
async fn a_denied_connection_is_charged_while_its_close_waits_for_a_remote_that_does_not_read() {
    let [here, there] = [manager(|_| ()), manager(|_| ())];
    let gate = Gate::default();
    let closed = gate.clone();
    let stall = move || closed.close();
    let mut denied = stalled_node(&here, &gate, stall, Denier::Established);
    let mut other = node(&there);

    // Outbound.
    let address = listen(&mut other, Kind::Tcp).await;
    let other = spawn(other);
    let error = connect(&mut denied, address).await.unwrap_err();
    assert!(matches!(error, DialError::Denied { .. }), "{error:?}");
    assert_eq!(
        denied
            .network_info()
            .connection_counters()
            .num_connections(),
        0
    );
    until_polled(&mut denied, || gate.is_waited_for()).await;
    assert_eq!(conns(&here), [0, 1, 1]);
    gate.open();
    until_polled(&mut denied, || conns(&here) == [0, 0, 0]).await;

    // Inbound.
    let address = listen(&mut denied, Kind::Tcp).await;
    let mut dialer = node(&there);
    dialer.dial(address).unwrap();
    let dialer = spawn(dialer);
    while !matches!(
        denied.select_next_some().await,
        SwarmEvent::IncomingConnectionError { .. }
    ) {}
    assert_eq!(
        denied
            .network_info()
            .connection_counters()
            .num_connections(),
        0
    );
    until_polled(&mut denied, || gate.is_waited_for()).await;
    assert_eq!(conns(&here), [1, 0, 1]);
    gate.open();
    until_polled(&mut denied, || conns(&here) == [0, 0, 0]).await;

    drop((denied, dialer, other));
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
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
async fn a_connection_is_charged_until_its_close_has_ended() {
    let [here, there] = [manager(|_| ()), manager(|_| ())];
    let gate = Gate::default();
    let mut dialer = stalled_node(&here, &gate, || (), dummy::Behaviour);
    let mut listener = node(&there);
    let address = listen(&mut listener, Kind::Tcp).await;
    establish(&mut dialer, &mut listener, address).await;
    let peer = *listener.local_peer_id();
    let listener = spawn(listener);
    gate.close();
    dialer.disconnect_peer_id(peer).unwrap();
    until_polled(&mut dialer, || gate.is_waited_for()).await;
    // The task of the connection still closes it when the swarm is gone.
    drop(dialer);
    assert_eq!(conns(&here), [0, 1, 1]);
    gate.open();
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
    drop(listener);
}

fn limits_of_libp2p() -> [connection_limits::ConnectionLimits; 5] {
    let limits = connection_limits::ConnectionLimits::default;
    [
        limits().with_max_pending_incoming(Some(0)),
        limits().with_max_pending_outgoing(Some(0)),
        limits().with_max_established_incoming(Some(0)),
        limits().with_max_established_outgoing(Some(0)),
        limits().with_max_established_per_peer(Some(0)),
    ]
}

#[tokio::test]
async fn a_connection_that_another_behaviour_denies_is_released() {
    for kind in Kind::ALL {
        for limits in limits_of_libp2p() {
            let [here, there] = [manager(|_| ()), manager(|_| ())];
            let of = |manager: &Manager| {
                let behaviour = connection_limits::Behaviour::new(limits.clone());
                swarm(&Resources::new(manager.clone()), behaviour)
            };
            let mut listener = of(&there);
            let address = listen(&mut listener, kind).await;
            let listener = spawn(listener);
            let mut dialer = of(&here);
            // The dialer of a connection that the listener denies may see it established first.
            match connect(&mut dialer, address).await {
                Ok(_) => {
                    while !matches!(
                        dialer.select_next_some().await,
                        SwarmEvent::ConnectionClosed { .. }
                    ) {}
                }
                Err(error) => assert!(refusal(&error).is_none(), "{error:?}"),
            }
            let dialer = spawn(dialer);
            until_nothing_is_held(&here).await;
            until_nothing_is_held(&there).await;
            drop((dialer, listener));
        }
    }
}

/// A dial between two swarms that both listen. By default libp2p dials TCP from the port that the
/// swarm listens on: then several connections of the two would have the same pair of addresses.
fn from_new_port(kind: Kind, address: &Multiaddr) -> DialOpts {
    match kind {
        Kind::Tcp => DialOpts::unknown_peer_id()
            .address(address.clone())
            .allocate_new_port()
            .build(),
        // From a new port it would have a socket of its own.
        Kind::Quic => address.clone().into(),
    }
}

#[tokio::test]
async fn a_swarm_that_is_dropped_with_open_connections_releases_them() {
    for kind in Kind::ALL {
        let [here, there] = [manager(|_| ()), manager(|_| ())];
        let [mut one, mut other] = [node(&here), node(&there)];
        let to_one = listen(&mut one, kind).await;
        let to_other = listen(&mut other, kind).await;
        for _ in 0..3 {
            establish(&mut one, &mut other, from_new_port(kind, &to_other)).await;
            establish(&mut other, &mut one, from_new_port(kind, &to_one)).await;
        }
        assert_eq!(conns(&here), [3, 3, 6 * kind.fds()], "{kind:?}");
        assert_eq!(conns(&there), [3, 3, 6 * kind.fds()], "{kind:?}");
        drop(one);
        until_nothing_is_held(&here).await;
        // The other one sees them end.
        let other = spawn(other);
        until_nothing_is_held(&there).await;
        drop(other);
    }
}

/// An address at which something listens and never says a word.
async fn silent(kind: Kind) -> (Multiaddr, Silent) {
    match kind {
        Kind::Tcp => {
            let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let address = format!("/ip4/127.0.0.1/tcp/{port}");
            (address.parse().unwrap(), Silent::Tcp(listener))
        }
        Kind::Quic => {
            let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
            let port = socket.local_addr().unwrap().port();
            let address = format!("/ip4/127.0.0.1/udp/{port}/quic-v1");
            (address.parse().unwrap(), Silent::Quic(socket))
        }
    }
}

/// What listens.
#[derive(Debug)]
#[expect(dead_code, reason = "they are held open")]
enum Silent {
    Tcp(TcpListener),
    Quic(UdpSocket),
}

#[tokio::test]
async fn a_swarm_that_is_dropped_in_the_middle_of_a_dial_releases_it() {
    for kind in Kind::ALL {
        let (address, silent) = silent(kind).await;
        let here = manager(|_| ());
        let mut dialer = node(&here);
        for _ in 0..3 {
            let options = DialOpts::unknown_peer_id().address(address.clone());
            dialer.dial(options.build()).unwrap();
        }
        until_polled(&mut dialer, || conns(&here)[1] == 3).await;
        assert_eq!(conns(&here), [0, 3, 3 * kind.fds()], "{kind:?}");
        assert_eq!(here.stat().transient, here.stat().system);
        drop(dialer);
        until_nothing_is_held(&here).await;
        drop(silent);
    }
}

#[tokio::test]
async fn a_dial_that_is_aborted_is_released() {
    for kind in Kind::ALL {
        let (address, silent) = silent(kind).await;
        let here = manager(|_| ());
        let mut dialer = node(&here);
        let peer = libp2p::PeerId::random();
        let options = DialOpts::peer_id(peer)
            .condition(PeerCondition::Always)
            .addresses(vec![address]);
        dialer.dial(options.build()).unwrap();
        until_polled(&mut dialer, || conns(&here)[1] == 1).await;
        // Disconnects from a peer that is being dialed.
        let _ = dialer.disconnect_peer_id(peer);
        let dialer = spawn(dialer);
        until_nothing_is_held(&here).await;
        drop((dialer, silent));
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_is_transient_until_the_timeout_of_the_transport() {
    let timeout = Duration::from_millis(300);
    let resources = |manager: &Manager| Resources::new(manager.clone());
    let of = |manager: &Manager| {
        let transport = |key: &Keypair| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default());
            secured(tcp, key).limited(&resources(manager))
        };
        swarm_over(transport, dummy::Behaviour, timeout)
    };
    // Inbound: the remote keeps its socket open, and sees the end.
    let there = manager(|_| ());
    let mut listener = of(&there);
    let address = listen(&mut listener, Kind::Tcp).await;
    let listener = spawn(listener);
    let mut remote = TcpStream::connect(("127.0.0.1", port(&address)))
        .await
        .unwrap();
    until("it is charged", || conns(&there) == [1, 0, 1]).await;
    assert_eq!(there.stat().transient, there.stat().system);
    until_nothing_is_held(&there).await;
    // What the listener had said comes first.
    let mut said = Vec::new();
    let _ = remote.read_to_end(&mut said).await;
    drop(listener);

    // Outbound.
    let (address, silent) = silent(Kind::Tcp).await;
    let here = manager(|_| ());
    let mut dialer = of(&here);
    dialer.dial(address).unwrap();
    assert_eq!(conns(&here), [0, 1, 1]);
    assert_eq!(here.stat().transient, here.stat().system);
    while !matches!(
        dialer.select_next_some().await,
        SwarmEvent::OutgoingConnectionError { .. }
    ) {}
    until_nothing_is_held(&here).await;
    drop(silent);
}
