//! Connections of real swarms under limits, over TCP and QUIC.

mod support;

use libp2p::futures::StreamExt;
use libp2p::swarm::{DialError, SwarmEvent, dial_opts::DialOpts, dummy};
use libp2p::{Multiaddr, PeerId, Swarm};
use rcmgr_core::{Error, KIB, ScopeClass};
use rcmgr_libp2p::{Resources, refusal};
use support::dialing::connect;
use support::{Kind, listen, manager, spawn, swarm, until, until_nothing_is_held};

fn refused_by(error: &DialError) -> ScopeClass {
    match refusal(error) {
        Some(Error::LimitExceeded(reached)) => reached.scope.class(),
        other => panic!("{other:?} in {error:?}"),
    }
}

#[tokio::test]
async fn a_connection_is_charged_to_its_peer_on_both_sides_until_it_is_closed() {
    for kind in Kind::ALL {
        let here = manager(|_| ());
        let there = manager(|_| ());
        let resources = |manager| Resources::new(manager).memory(8 * KIB, 0_u64);
        let mut listener = swarm(&resources(there.clone()), dummy::Behaviour);
        let mut dialer = swarm(&resources(here.clone()), dummy::Behaviour);
        let address = listen(&mut listener, kind).await;
        let (from, to) = (*dialer.local_peer_id(), *listener.local_peer_id());
        let listener = spawn(listener);

        let peer = connect(&mut dialer, address).await.unwrap();
        assert_eq!(peer, to);
        let stat = here.stat();
        let outbound = stat.peers[&to.into()];
        assert_eq!(outbound.conns_outbound, 1, "{kind:?}");
        assert_eq!(outbound.fd, kind.fds(), "{kind:?}");
        assert_eq!(outbound.memory, 8 * KIB, "{kind:?}");
        assert_eq!(stat.system, outbound, "{kind:?}");
        assert!(stat.transient.is_zero(), "{kind:?}");

        until("the listener has the connection", || {
            there.stat().peers.contains_key(&from.into())
        })
        .await;
        let stat = there.stat();
        let inbound = stat.peers[&from.into()];
        assert_eq!(inbound.conns_inbound, 1, "{kind:?}");
        assert_eq!(inbound.fd, kind.fds(), "{kind:?}");
        assert!(stat.transient.is_zero(), "{kind:?}");

        dialer.disconnect_peer_id(to).unwrap();
        spawn_until_zero(dialer, &here).await;
        until_nothing_is_held(&there).await;
        drop(listener);
    }
}

async fn spawn_until_zero(swarm: Swarm<dummy::Behaviour>, manager: &rcmgr_atomic::Manager) {
    let running = spawn(swarm);
    until_nothing_is_held(manager).await;
    drop(running);
}

#[tokio::test]
async fn an_outbound_connection_is_refused_with_the_typed_error_in_the_dial_error() {
    for kind in Kind::ALL {
        let there = manager(|_| ());
        let mut listener = swarm(&Resources::new(there.clone()), dummy::Behaviour);
        let address = listen(&mut listener, kind).await;
        let _listener = spawn(listener);
        for (scope, here) in [
            (
                ScopeClass::System,
                manager(|limits| limits.system.conns_outbound = 0.into()),
            ),
            (
                ScopeClass::Transient,
                manager(|limits| limits.transient.conns = 0.into()),
            ),
            (
                ScopeClass::Peer,
                manager(|limits| limits.peer_default.conns_outbound = 0.into()),
            ),
            (
                ScopeClass::Connection,
                manager(|limits| limits.conn.memory = 1.into()),
            ),
        ] {
            let mut dialer = swarm(&Resources::new(here.clone()), dummy::Behaviour);
            let error = connect(&mut dialer, address.clone()).await.unwrap_err();
            assert_eq!(refused_by(&error), scope, "{kind:?}");
            until_nothing_is_held(&here).await;
        }
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn an_inbound_connection_is_refused_and_the_swarm_hears_of_it_unless_it_is_swallowed() {
    for kind in Kind::ALL {
        for (swallows, limited) in [(false, "system"), (true, "system"), (true, "peer")] {
            let there = manager(|limits| match limited {
                "system" => limits.system.conns_inbound = 0.into(),
                _ => limits.peer_default.conns_inbound = 0.into(),
            });
            let mut resources = Resources::new(there.clone());
            if swallows {
                resources = resources.swallow_refused_connections();
            }
            let mut listener = swarm(&resources, dummy::Behaviour);
            let address = listen(&mut listener, kind).await;
            let here = manager(|_| ());
            let mut dialer = swarm(&Resources::new(here.clone()), dummy::Behaviour);
            dialer.dial(address).unwrap();

            // The dialer of a connection that its peer's scope refuses may see it established first.
            let mut heard = false;
            let mut is_over = false;
            let is_silent = swallows && limited == "system";
            while !is_over || !(heard || is_silent) {
                tokio::select! {
                    event = listener.select_next_some() => match event {
                        SwarmEvent::IncomingConnectionError { error, .. } => {
                            assert!(refusal(&error).is_some(), "{error:?}");
                            heard = true;
                        }
                        SwarmEvent::ConnectionEstablished { .. } => panic!("not refused"),
                        _ => {}
                    },
                    event = dialer.select_next_some() => is_over |= matches!(
                        event,
                        SwarmEvent::OutgoingConnectionError { .. } | SwarmEvent::ConnectionClosed { .. }
                    ),
                }
            }
            assert_eq!(heard, !is_silent, "{kind:?}");
            until_nothing_is_held(&there).await;
            until_nothing_is_held(&here).await;
        }
    }
}

#[tokio::test]
async fn a_dead_address_does_not_use_up_the_limit_of_the_peer_for_the_next_address() {
    let there = manager(|_| ());
    let mut listener = swarm(&Resources::new(there.clone()), dummy::Behaviour);
    let address = listen(&mut listener, Kind::Tcp).await;
    let peer = *listener.local_peer_id();
    let listener = spawn(listener);

    let here = manager(|limits| limits.peer_default.conns_outbound = 1.into());
    let mut dialer = swarm(&Resources::new(here.clone()), dummy::Behaviour);
    // Nothing listens on port 1.
    let dead: Multiaddr = "/ip4/127.0.0.1/tcp/1".parse().unwrap();
    let options = DialOpts::peer_id(peer)
        .addresses(vec![dead, address])
        .build();
    assert_eq!(connect(&mut dialer, options).await.unwrap(), peer);
    assert_eq!(here.stat().peers[&peer.into()].conns_outbound, 1);
    drop(dialer);
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
    drop(listener);
}

#[tokio::test]
async fn a_dial_of_many_addresses_charges_each_tcp_socket_at_once_and_quic_when_polled() {
    let there = manager(|_| ());
    let mut listener = swarm(&Resources::new(there.clone()), dummy::Behaviour);
    let good = listen(&mut listener, Kind::Tcp).await;
    let peer = *listener.local_peer_id();
    let listener = spawn(listener);

    let here = manager(|_| ());
    let mut dialer = swarm(&Resources::new(here.clone()), dummy::Behaviour);
    // Addresses of a test network: nothing answers.
    let tcp = (1..12).map(|port| format!("/ip4/127.0.0.1/tcp/{port}").parse().unwrap());
    let quic = (1..4).map(|port| {
        format!("/ip4/127.0.0.1/udp/{port}/quic-v1")
            .parse()
            .unwrap()
    });
    let addresses = [good].into_iter().chain(tcp).chain(quic).collect();
    let options = DialOpts::peer_id(peer).addresses(addresses).build();
    dialer.dial(options).unwrap();
    let stat = here.stat();
    assert_eq!((stat.system.conns_outbound, stat.system.fd), (12, 12));
    assert_eq!(stat.transient, stat.system);

    loop {
        if let SwarmEvent::ConnectionEstablished { .. } = dialer.select_next_some().await {
            break;
        }
    }
    until("the other dials are dropped", || {
        let system = here.stat().system;
        (system.conns_outbound, system.fd) == (1, 1)
    })
    .await;
    drop(dialer);
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
    drop(listener);
}

#[tokio::test]
async fn an_address_that_no_transport_supports_is_neither_charged_nor_refused() {
    let here = manager(|limits| limits.system.conns_outbound = 0.into());
    let mut dialer = swarm(&Resources::new(here.clone()), dummy::Behaviour);
    let memory: Multiaddr = "/memory/7".parse().unwrap();
    let error = connect(&mut dialer, memory).await.unwrap_err();
    assert!(refusal(&error).is_none(), "{error:?}");
    assert_eq!(here.refusals(ScopeClass::System).total(), 0);
    until_nothing_is_held(&here).await;
}

#[tokio::test]
async fn a_tcp_connection_that_says_nothing_is_transient_until_it_ends() {
    let there = manager(|_| ());
    let mut listener = swarm(&Resources::new(there.clone()), dummy::Behaviour);
    let address = listen(&mut listener, Kind::Tcp).await;
    let listener = spawn(listener);
    let port = address.iter().find_map(|part| match part {
        libp2p::multiaddr::Protocol::Tcp(port) => Some(port),
        _ => None,
    });
    let silent = tokio::net::TcpStream::connect(("127.0.0.1", port.unwrap()))
        .await
        .unwrap();
    until("it is charged", || {
        there.stat().transient.conns_inbound == 1
    })
    .await;
    assert_eq!(there.stat().system.fd, 1);
    drop(silent);
    until_nothing_is_held(&there).await;
    drop(listener);
}

#[tokio::test]
async fn the_wrong_peer_and_a_closed_manager_leave_nothing_behind() {
    for kind in Kind::ALL {
        let there = manager(|_| ());
        let mut listener = swarm(&Resources::new(there.clone()), dummy::Behaviour);
        let address = listen(&mut listener, kind).await;
        let _listener = spawn(listener);
        let here = manager(|_| ());
        let mut dialer = swarm(&Resources::new(here.clone()), dummy::Behaviour);

        let wrong = DialOpts::peer_id(PeerId::random())
            .addresses(vec![address.clone()])
            .build();
        let error = connect(&mut dialer, wrong).await.unwrap_err();
        assert!(matches!(error, DialError::WrongPeerId { .. }), "{error:?}");
        until_nothing_is_held(&here).await;

        here.close();
        let error = connect(&mut dialer, address).await.unwrap_err();
        assert!(
            matches!(refusal(&error), Some(Error::ScopeClosed { .. })),
            "{error:?}"
        );
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn a_swarm_that_dials_itself_holds_nothing() {
    for kind in Kind::ALL {
        let here = manager(|_| ());
        let mut swarm = swarm(&Resources::new(here.clone()), dummy::Behaviour);
        // A swarm dials none of the addresses that it listens on. 127.0.0.2 is no such address.
        let any: Multiaddr = kind
            .listen_address()
            .to_string()
            .replace("127.0.0.1", "0.0.0.0")
            .parse()
            .unwrap();
        swarm.listen_on(any).unwrap();
        let address = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await
                && address.to_string().contains("/127.0.0.1/")
            {
                break address.to_string().replace("127.0.0.1", "127.0.0.2");
            }
        };
        let address: Multiaddr = address.parse().unwrap();
        // By default TCP is dialed from the port that the swarm listens on, which may be taken.
        let options = DialOpts::unknown_peer_id().address(address);
        let options = match kind {
            Kind::Tcp => options.allocate_new_port().build(),
            Kind::Quic => options.build(),
        };
        let error = connect(&mut swarm, options).await.unwrap_err();
        assert!(matches!(error, DialError::LocalPeerId { .. }), "{error:?}");
        drop(swarm);
        until_nothing_is_held(&here).await;
    }
}
