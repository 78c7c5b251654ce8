//! Which addresses connections are charged and limited by, and which of them use a descriptor: QUIC,
//! WebSocket, DNS, hole punching, limits by subnet and trusted peers.

mod support;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use libp2p::core::{ConnectedPoint, Endpoint};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, dummy};
use libp2p::{Multiaddr, Swarm, dns, tcp, websocket};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::address::{
    AddressConfig, AddressLimits, NetworkLimit, Rate, RateLimits, SubnetLimit, SubnetLimits,
    SubnetRate,
};
use rcmgr_core::{Error, Resource, ScopeClass};
use rcmgr_libp2p::{LimitExt, Resources, refusal};
use support::dialing::{connect, establish, exceeded, port, secured, swarm_over};
use support::name_server::NameServer;
use support::sockets::Sockets;
use support::{Kind, listen, listen_on, manager, spawn, swarm, until, until_nothing_is_held};
use tokio::net::TcpListener;

const TIMEOUT: Duration = Duration::from_secs(20);

fn node(manager: &Manager) -> Swarm<dummy::Behaviour> {
    swarm(&Resources::new(manager.clone()), dummy::Behaviour)
}

/// A node whose TCP connections come from this address, over no other transport.
fn node_at(source: IpAddr, manager: &Manager) -> Swarm<dummy::Behaviour> {
    let resources = Resources::new(manager.clone());
    let transport = |key: &Keypair| secured(Sockets::From(source), key).limited(&resources);
    swarm_over(transport, dummy::Behaviour, TIMEOUT)
}

fn conns(manager: &Manager) -> [u64; 3] {
    let system = manager.stat().system;
    [system.conns_inbound, system.conns_outbound, system.fd]
}

#[tokio::test]
async fn a_quic_connection_that_is_dialed_from_a_new_port_has_a_descriptor_of_its_own() {
    let there = manager(|_| ());
    let mut listener = node(&there);
    let address = listen(&mut listener, Kind::Quic).await;
    let here = manager(|_| ());
    let mut dialer = node(&here);
    let dial = |from_new_port: bool| {
        let options = DialOpts::unknown_peer_id().address(address.clone());
        match from_new_port {
            true => options.allocate_new_port().build(),
            false => options.build(),
        }
    };
    let mut ports = Vec::new();
    for (from_new_port, descriptors) in [(false, 0), (false, 0), (true, 1), (true, 2)] {
        let [_, inbound] = establish(&mut dialer, &mut listener, dial(from_new_port)).await;
        ports.push(port(inbound.get_remote_address()));
        let count = u64::try_from(ports.len()).unwrap();
        assert_eq!(conns(&here), [0, count, descriptors]);
        assert_eq!(conns(&there), [count, 0, 0]);
    }
    // Two connections share a socket, and the other two have one each.
    assert_eq!(ports[0], ports[1]);
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);

    let mut limits = Limits::unlimited();
    limits.system.fd = 2.into();
    here.set_limits(limits);
    let _listener = spawn(listener);
    let error = connect(&mut dialer, dial(true)).await.unwrap_err();
    assert_eq!(exceeded(&error).resource, Resource::Fd);
    connect(&mut dialer, dial(false)).await.unwrap();
    drop(dialer);
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}

#[tokio::test]
async fn a_websocket_connection_uses_the_descriptor_of_its_tcp_socket_and_obeys_limits() {
    let of = |manager: &Manager| {
        let resources = Resources::new(manager.clone());
        let transport = |key: &Keypair| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default());
            secured(websocket::Config::new(tcp), key).limited(&resources)
        };
        swarm_over(transport, dummy::Behaviour, TIMEOUT)
    };
    let there = manager(|_| ());
    let mut listener = of(&there);
    let address = listen_on(&mut listener, "/ip4/127.0.0.1/tcp/0/ws").await;
    let here = manager(|_| ());
    let mut dialer = of(&here);
    establish(&mut dialer, &mut listener, address.clone()).await;
    assert_eq!(conns(&here), [0, 1, 1]);
    assert_eq!(conns(&there), [1, 0, 1]);

    let _listener = spawn(listener);
    let mut limits = Limits::unlimited();
    limits.system.fd = 1.into();
    here.set_limits(limits.clone());
    let error = connect(&mut dialer, address.clone()).await.unwrap_err();
    assert_eq!(exceeded(&error).resource, Resource::Fd);

    here.set_limits(Limits::unlimited());
    there.set_limits(limits);
    connect(&mut dialer, address.clone()).await.unwrap_err();
    assert_eq!(there.refusals(ScopeClass::System).fd, 1);

    // Its address has an IP address.
    there.set_limits(with_addresses(AddressConfig {
        subnets: none_with("127.0.0.1/32"),
        ..loopback_counts()
    }));
    connect(&mut dialer, address.clone()).await.unwrap_err();
    assert_eq!(there.addresses().stat().refused_by_subnet, 1);
    drop(dialer);
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}

/// Limits by address under which loopback is an address like others.
fn loopback_counts() -> AddressConfig {
    AddressConfig {
        trust_loopback: false,
        ..AddressConfig::none()
    }
}

fn with_addresses(config: AddressConfig) -> Limits {
    let mut limits = Limits::unlimited();
    limits.addresses = AddressLimits::new(config).unwrap();
    limits
}

/// No connection with this address.
fn none_with(address: &str) -> SubnetLimits {
    SubnetLimits {
        v4_networks: vec![NetworkLimit {
            network: address.parse().unwrap(),
            conns: 0.into(),
        }],
        ..SubnetLimits::none()
    }
}

/// The name of the listener, with the port at which it listens.
fn named(address: &Multiaddr) -> Multiaddr {
    let text = format!("/dns4/node.test/tcp/{}", port(address));
    text.parse().unwrap()
}

#[tokio::test]
async fn each_address_that_a_name_resolves_to_is_charged_in_turn_if_dns_is_outside() {
    let names = NameServer::start(&[[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]]).await;
    let there = manager(|_| ());
    let mut listener = node(&there);
    // The other two addresses of the name do not answer.
    let address = named(&listen(&mut listener, Kind::Tcp).await);
    let _listener = spawn(listener);
    let here = manager(|_| ());
    let resources = Resources::new(here.clone());
    let transport = |key: &Keypair| {
        let tcp = tcp::tokio::Transport::new(tcp::Config::default());
        let (config, options) = names.config();
        dns::tokio::Transport::custom(secured(tcp, key).limited(&resources), config, options)
    };
    let mut dialer = swarm_over(transport, dummy::Behaviour, TIMEOUT);
    connect(&mut dialer, address.clone()).await.unwrap();
    assert_eq!(conns(&here), [0, 1, 1]);
    // One attempt at a time.
    assert_eq!(here.view_system().peak().conns_outbound, 1);

    // The limits by address see each of them.
    for (refused, is_good) in [("127.0.0.3/32", false), ("127.0.0.1/32", true)] {
        let before = here.addresses().stat().refused_by_subnet;
        here.set_limits(with_addresses(AddressConfig {
            subnets: none_with(refused),
            ..loopback_counts()
        }));
        let connected = connect(&mut dialer, address.clone()).await;
        assert_eq!(connected.is_err(), is_good, "{refused}: {connected:?}");
        assert_eq!(here.addresses().stat().refused_by_subnet, before + 1);
    }
    drop(dialer);
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}

#[tokio::test]
async fn a_name_is_one_connection_without_an_address_if_dns_is_inside() {
    let names = NameServer::start(&[[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]]).await;
    let there = manager(|_| ());
    let mut listener = node(&there);
    let address = named(&listen(&mut listener, Kind::Tcp).await);
    let _listener = spawn(listener);
    // The limits by address refuse all that the name resolves to, and do not see them.
    let here = Manager::new(with_addresses(AddressConfig {
        subnets: none_with("127.0.0.0/8"),
        ..loopback_counts()
    }))
    .unwrap();
    let resources = Resources::new(here.clone());
    let transport = |key: &Keypair| {
        let tcp = tcp::tokio::Transport::new(tcp::Config::default());
        let (config, options) = names.config();
        let tcp = dns::tokio::Transport::custom(tcp, config, options);
        secured(tcp, key).limited(&resources)
    };
    let mut dialer = swarm_over(transport, dummy::Behaviour, TIMEOUT);
    dialer.dial(address).unwrap();
    assert_eq!(conns(&here), [0, 1, 1]);
    support::dialing::established(&mut dialer).await;
    assert_eq!(conns(&here), [0, 1, 1]);
    assert_eq!(here.view_system().peak().conns_outbound, 1);
    drop(dialer);
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}

#[tokio::test]
async fn a_tcp_dial_in_the_role_of_the_listener_is_an_outbound_connection() {
    let sockets = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address: Multiaddr = format!(
        "/ip4/127.0.0.1/tcp/{}",
        sockets.local_addr().unwrap().port()
    )
    .parse()
    .unwrap();
    // The remote accepts the socket, and is the dialer of what runs on it.
    let there = manager(|_| ());
    let resources = Resources::new(there.clone());
    let sockets = Sockets::Accepted(Arc::new(sockets));
    let transport = |key: &Keypair| secured(sockets, key).limited(&resources);
    let mut remote = swarm_over(transport, dummy::Behaviour, TIMEOUT);
    remote.dial(address.clone()).unwrap();
    let peer = *remote.local_peer_id();
    let _remote = spawn(remote);

    let here = manager(|limits| limits.system.conns_inbound = 0.into());
    let mut dialer = node(&here);
    let options = DialOpts::peer_id(peer)
        .addresses(vec![address])
        .override_role()
        .build();
    assert_eq!(connect(&mut dialer, options).await.unwrap(), peer);
    assert_eq!(conns(&here), [0, 1, 1]);
    assert_eq!(here.stat().peers[&peer.into()].conns_outbound, 1);
    drop(dialer);
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}

#[tokio::test]
async fn a_quic_hole_punch_is_one_connection_on_each_side() {
    let [here, there] = [manager(|_| ()), manager(|_| ())];
    let [mut puncher, mut dialer] = [node(&here), node(&there)];
    let at = listen(&mut puncher, Kind::Quic).await;
    let from = listen(&mut dialer, Kind::Quic).await;
    let to = *dialer.local_peer_id();
    // The transport waits for the remote's connection, and hands it out as that of this dial.
    let punch = || {
        DialOpts::peer_id(to)
            .addresses(vec![from.clone()])
            .condition(PeerCondition::Always)
            .override_role()
            .allocate_new_port()
            .build()
    };
    puncher.dial(punch()).unwrap();
    let [outbound, punched] = establish(&mut dialer, &mut puncher, at.clone()).await;
    assert!(outbound.is_dialer() && punched.is_dialer(), "{punched:?}");
    let ConnectedPoint::Dialer { role_override, .. } = punched else {
        panic!("{punched:?}");
    };
    assert_eq!(role_override, Endpoint::Listener);
    assert_eq!(conns(&here), [0, 1, 0]);
    assert_eq!(conns(&there), [0, 1, 0]);
    assert_eq!(here.stat().peers[&to.into()].conns_outbound, 1);
    assert!(here.stat().transient.is_zero());
    assert_eq!(here.view_system().peak().conns_inbound, 0);

    // If the dial is refused, what comes is an inbound connection like any other.
    let mut limits = Limits::unlimited();
    limits.system.conns_outbound = 1.into();
    here.set_limits(limits);
    let error = connect(&mut puncher, punch()).await.unwrap_err();
    assert_eq!(exceeded(&error).resource, Resource::ConnsOutbound);
    let [_, inbound] = establish(&mut dialer, &mut puncher, at).await;
    assert!(inbound.is_listener(), "{inbound:?}");
    assert_eq!(conns(&here), [1, 1, 0]);
    drop((puncher, dialer));
    until_nothing_is_held(&here).await;
    until_nothing_is_held(&there).await;
}

/// A dialer whose connections come from this address.
async fn dialer_from(source: [u8; 4], kind: Kind, manager: &Manager) -> Swarm<dummy::Behaviour> {
    let ip = IpAddr::from(source);
    if kind == Kind::Tcp {
        return node_at(ip, manager);
    }
    // QUIC dials from the socket at which it listens.
    let mut dialer = node(manager);
    listen_on(&mut dialer, &format!("/ip4/{ip}/udp/0/quic-v1")).await;
    dialer
}

#[tokio::test]
async fn inbound_connections_obey_the_limits_of_their_subnets() {
    for kind in Kind::ALL {
        let subnets = SubnetLimits {
            v4: vec![
                SubnetLimit {
                    prefix_len: 32,
                    conns: 2,
                },
                SubnetLimit {
                    prefix_len: 8,
                    conns: 3,
                },
            ],
            ..SubnetLimits::none()
        };
        let there = Manager::new(with_addresses(AddressConfig {
            subnets,
            ..loopback_counts()
        }))
        .unwrap();
        let mut listener = node(&there);
        let address = listen(&mut listener, kind).await;
        let _listener = spawn(listener);
        let here = manager(|_| ());
        let mut first = dialer_from([127, 0, 0, 1], kind, &here).await;
        let mut second = dialer_from([127, 0, 0, 2], kind, &here).await;
        connect(&mut first, address.clone()).await.unwrap();
        connect(&mut first, address.clone()).await.unwrap();
        // Its address has two.
        connect(&mut first, address.clone()).await.unwrap_err();
        connect(&mut second, address.clone()).await.unwrap();
        // The network of both has three.
        connect(&mut second, address.clone()).await.unwrap_err();
        let refused = there.addresses().most_refused(2);
        let networks: Vec<_> = refused.iter().map(|of| of.network.to_string()).collect();
        assert_eq!(there.addresses().stat().refused_by_subnet, 2);
        assert!(
            networks.contains(&"127.0.0.1/32".to_owned()),
            "{networks:?}"
        );
        assert!(networks.contains(&"127.0.0.0/8".to_owned()), "{networks:?}");

        // A connection that ends leaves its place to another one.
        drop(first);
        until("its places are free", || {
            there.addresses().stat().permits == 1
        })
        .await;
        connect(&mut second, address).await.unwrap();
        drop(second);
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
        assert_eq!(there.addresses().stat().permits, 0);
    }
}

#[tokio::test]
async fn new_connections_obey_the_rate_of_their_address_in_both_directions() {
    for kind in Kind::ALL {
        let rates = RateLimits {
            v4: vec![SubnetRate {
                prefix_len: 32,
                rate: Rate {
                    per_second: 1e-9,
                    burst: 2,
                },
            }],
            ..RateLimits::none()
        };
        let limited = || {
            let rates = rates.clone();
            Manager::new(with_addresses(AddressConfig {
                rates,
                ..loopback_counts()
            }))
            .unwrap()
        };
        for is_inbound in [true, false] {
            let (there, here) = match is_inbound {
                true => (limited(), manager(|_| ())),
                false => (manager(|_| ()), limited()),
            };
            let mut listener = node(&there);
            let address = listen(&mut listener, kind).await;
            let _listener = spawn(listener);
            let mut dialer = node(&here);
            connect(&mut dialer, address.clone()).await.unwrap();
            connect(&mut dialer, address.clone()).await.unwrap();
            let error = connect(&mut dialer, address).await.unwrap_err();
            let told = matches!(refusal(&error), Some(Error::RateLimit(_)));
            assert_eq!(told, !is_inbound, "{error:?}");
            let limited = if is_inbound { &there } else { &here };
            assert_eq!(limited.addresses().stat().refused_by_rate, 1);
            drop(dialer);
            until_nothing_is_held(&here).await;
            until_nothing_is_held(&there).await;
        }
    }
}

#[tokio::test]
async fn a_trusted_peer_connects_past_the_limits_from_its_address_and_others_do_not() {
    for kind in Kind::ALL {
        let here = manager(|_| ());
        let mut trusted = dialer_from([127, 0, 0, 2], kind, &here).await;
        let mut other = dialer_from([127, 0, 0, 2], kind, &here).await;
        let there = manager(|limits| {
            limits.system.conns = 0.into();
            limits.transient.conns = 0.into();
        });
        let entry = format!("/ip4/127.0.0.2/p2p/{}", trusted.local_peer_id());
        there.addresses().allowlist().add(entry.parse().unwrap());
        let mut listener = node(&there);
        let address = listen(&mut listener, kind).await;
        let _listener = spawn(listener);
        let peer = (*trusted.local_peer_id()).into();

        connect(&mut trusted, address.clone()).await.unwrap();
        until("it is charged to its peer", || {
            there.stat().peers.contains_key(&peer)
        })
        .await;
        let stat = there.stat();
        assert_eq!(
            stat.allowlisted_system.conns_inbound, 1,
            "{kind:?} {stat:#}"
        );
        assert!(stat.allowlisted_transient.is_zero(), "{stat:#}");
        assert!(stat.system.is_zero(), "{stat:#}");

        // Another peer from there is found out by the handshake.
        let before = there.refusals(ScopeClass::System).total();
        let _ = connect(&mut other, address.clone()).await;
        until("it is refused", || {
            there.refusals(ScopeClass::System).total() > before
                || there.refusals(ScopeClass::Transient).total() > before
        })
        .await;
        // A peer from elsewhere is refused on arrival.
        let mut elsewhere = dialer_from([127, 0, 0, 3], kind, &here).await;
        let error = connect(&mut elsewhere, address).await.unwrap_err();
        assert!(matches!(error, DialError::Transport(_)), "{error:?}");
        let stat = there.stat();
        assert_eq!(stat.peers.len(), 1, "{stat:#}");
        drop((trusted, other, elsewhere));
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn a_trusted_address_and_a_trusted_peer_are_dialed_past_the_limits() {
    for kind in Kind::ALL {
        let there = manager(|_| ());
        let mut listener = node(&there);
        let address = listen(&mut listener, kind).await;
        let peer = *listener.local_peer_id();
        let _listener = spawn(listener);
        let limited = || manager(|limits| limits.system.conns_outbound = 0.into());
        let by_address = "/ip4/127.0.0.0/ipcidr/8".to_owned();
        let by_peer = format!("/ip4/127.0.0.1/p2p/{peer}");
        let of_another = format!("/ip4/127.0.0.1/p2p/{}", libp2p::PeerId::random());
        for (entry, is_trusted) in [(by_address, true), (by_peer, true), (of_another, false)] {
            let here = limited();
            here.addresses().allowlist().add(entry.parse().unwrap());
            let mut dialer = node(&here);
            let connected = connect(&mut dialer, address.clone()).await;
            match connected {
                Ok(_) => assert_eq!(here.stat().allowlisted_system.conns_outbound, 1),
                Err(error) => assert_eq!(exceeded(&error).resource, Resource::ConnsOutbound),
            }
            assert_eq!(here.stat().peers.len() == 1, is_trusted, "{kind:?} {entry}");
            drop(dialer);
            until_nothing_is_held(&here).await;
        }
        until_nothing_is_held(&there).await;
    }
}
