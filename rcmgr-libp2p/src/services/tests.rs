//! The table of services beside the behaviours that come with libp2p.

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::identity::Keypair;
use libp2p::swarm::handler::UpgradeInfoSend;
use libp2p::swarm::{ConnectionHandler, ConnectionId, NetworkBehaviour, StreamProtocol};
use libp2p::{
    Multiaddr, PeerId, autonat, dcutr, gossipsub, identify, kad, ping, relay, rendezvous,
};

use super::*;

/// The protocols that a behaviour accepts on a connection, as its handler lists them.
fn accepted(behaviour: &mut impl NetworkBehaviour, address: &Multiaddr) -> Vec<String> {
    let peer = PeerId::random();
    let inbound = behaviour
        .handle_established_inbound_connection(
            ConnectionId::new_unchecked(1),
            peer,
            address,
            address,
        )
        .unwrap();
    let outbound = behaviour
        .handle_established_outbound_connection(
            ConnectionId::new_unchecked(2),
            peer,
            address,
            Endpoint::Dialer,
            PortUse::Reuse,
        )
        .unwrap();
    [inbound, outbound].iter().flat_map(listed).collect()
}

fn listed(handler: &impl ConnectionHandler) -> Vec<String> {
    let listening = handler.listen_protocol();
    let names = listening.upgrade().protocol_info();
    names.map(|name| name.as_ref().to_owned()).collect()
}

fn service_of(protocol: &str) -> Option<String> {
    bundled().get(protocol).map(|name| name.to_string())
}

#[test]
fn each_protocol_that_a_bundled_behaviour_accepts_has_its_service() {
    let key = Keypair::generate_ed25519();
    let peer = key.public().to_peer_id();
    let direct: Multiaddr = "/ip4/192.0.2.7/tcp/4001".parse().unwrap();
    let relayed: Multiaddr = format!("{direct}/p2p/{peer}/p2p-circuit").parse().unwrap();

    let mut kad = kad::Behaviour::new(peer, kad::store::MemoryStore::new(peer));
    kad.set_mode(Some(kad::Mode::Server));
    let signed = gossipsub::MessageAuthenticity::Signed(key.clone());
    let config = gossipsub::ConfigBuilder::default()
        .support_floodsub()
        .build()
        .unwrap();
    let mut gossipsub: gossipsub::Behaviour = gossipsub::Behaviour::new(signed, config).unwrap();
    let mut identify = identify::Behaviour::new(identify::Config::new("id".into(), key.public()));
    let mut relay = relay::Behaviour::new(peer, Default::default());
    relay.set_status(Some(relay::Status::Enable));
    let (_transport, mut relay_client) = relay::client::new(peer);

    for (accepted, service) in [
        (
            accepted(
                &mut autonat::v1::Behaviour::new(peer, Default::default()),
                &direct,
            ),
            AUTONAT,
        ),
        (
            accepted(&mut autonat::v2::server::Behaviour::default(), &direct),
            AUTONAT_V2,
        ),
        (
            accepted(&mut autonat::v2::client::Behaviour::default(), &direct),
            AUTONAT_V2,
        ),
        (
            accepted(&mut dcutr::Behaviour::new(peer), &relayed),
            HOLEPUNCH,
        ),
        (accepted(&mut gossipsub, &direct), PUBSUB),
        (accepted(&mut identify, &direct), IDENTIFY),
        (accepted(&mut kad, &direct), DHT),
        (accepted(&mut ping::Behaviour::default(), &direct), PING),
        (accepted(&mut relay, &direct), RELAY),
        (accepted(&mut relay_client, &direct), RELAY),
        (
            accepted(
                &mut rendezvous::server::Behaviour::new(Default::default()),
                &direct,
            ),
            RENDEZVOUS,
        ),
    ] {
        assert!(!accepted.is_empty(), "{service}");
        for protocol in accepted {
            assert_eq!(
                service_of(&protocol).as_deref(),
                Some(service),
                "{protocol}"
            );
        }
    }
}

#[test]
fn the_names_are_those_of_libp2p() {
    let names = |protocols: &[&str]| -> Vec<_> {
        let names = protocols.iter();
        names
            .map(|name| StreamProtocol::try_from_owned(name.to_string()).unwrap())
            .collect()
    };
    let identify = [identify::PROTOCOL_NAME, identify::PUSH_PROTOCOL_NAME];
    assert_eq!(names(&IDENTIFY_PROTOCOLS), identify);
    let relay = [relay::HOP_PROTOCOL_NAME, relay::STOP_PROTOCOL_NAME];
    assert_eq!(names(&RELAY_PROTOCOLS), relay);
    assert_eq!(names(&[PING_PROTOCOL]), [ping::PROTOCOL_NAME]);
    assert_eq!(
        names(&[AUTONAT_PROTOCOL]),
        [autonat::v1::DEFAULT_PROTOCOL_NAME]
    );
    assert_eq!(names(&[HOLEPUNCH_PROTOCOL]), [dcutr::PROTOCOL_NAME]);
}
