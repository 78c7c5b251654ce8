//! The typed error in all that libp2p wraps it in.

use std::io;
use std::time::Duration;

use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox};
use libp2p::core::transport::Boxed;
use libp2p::core::transport::timeout::TransportTimeout;
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, dummy};
use libp2p::{Multiaddr, PeerId, Swarm, Transport, dns, quic, tcp};
use rcmgr_atomic::Manager;
use rcmgr_libp2p::{LimitExt, Resources, refusal};

use super::support::dialing::{connect, exceeded, port, secured, swarm_over};
use super::support::mixed::boxed;
use super::support::{Kind, listen, manager, spawn, until_nothing_is_held};
use super::{SCOPES, refused_dial, resources};

/// A transport as a program may wrap it.
type Wrapped = Boxed<(PeerId, StreamMuxerBox)>;

fn limited_tcp(key: &Keypair, resources: &Resources) -> Wrapped {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default());
    boxed(secured(tcp, key).limited(resources))
}

fn limited_quic(key: &Keypair, resources: &Resources) -> Wrapped {
    boxed(quic::tokio::Transport::new(quic::Config::new(key)).limited(resources))
}

/// Makes a transport.
type Make = fn(&Keypair, &Resources) -> Wrapped;

/// TCP and QUIC in all that libp2p puts around a transport.
fn wrapped() -> Vec<(&'static str, Make)> {
    vec![
        ("either", |key, resources| {
            let tcp = tcp::tokio::Transport::new(tcp::Config::default());
            let quic = quic::tokio::Transport::new(quic::Config::new(key));
            let tcp = boxed_muxer(secured(tcp, key).limited(resources));
            let quic = boxed_muxer(quic.limited(resources));
            tcp.or_transport(quic)
                .map(|either, _| either.into_inner())
                .boxed()
        }),
        ("either of boxed", |key, resources| {
            limited_quic(key, resources)
                .or_transport(limited_tcp(key, resources))
                .map(|either, _| either.into_inner())
                .boxed()
        }),
        ("timeout", |key, resources| {
            let tcp = limited_tcp(key, resources);
            let either = tcp.or_transport(limited_quic(key, resources));
            let either = either.map(|either, _| either.into_inner());
            TransportTimeout::new(either, Duration::from_secs(20)).boxed()
        }),
        ("DNS", |key, resources| {
            let tcp = limited_tcp(key, resources);
            let either = tcp.or_transport(limited_quic(key, resources));
            let either = either.map(|either, _| either.into_inner());
            dns::tokio::Transport::system(either).unwrap().boxed()
        }),
        ("error mapped to io::Error", |key, resources| {
            let tcp = limited_tcp(key, resources);
            let either = tcp.or_transport(limited_quic(key, resources));
            let either = either.map(|either, _| either.into_inner());
            either.map_err(io::Error::other).boxed()
        }),
    ]
}

fn boxed_muxer<T, M>(
    transport: T,
) -> impl Transport<
    Output = (PeerId, StreamMuxerBox),
    Error: Send + Sync + 'static,
    Dial: Send + 'static,
    ListenerUpgrade: Send + 'static,
> + Send
+ Unpin
where
    T: Transport<Output = (PeerId, M)> + Send + Unpin,
    T::Error: Send + Sync + 'static,
    T::Dial: Send + 'static,
    T::ListenerUpgrade: Send + 'static,
    M: StreamMuxer + Send + 'static,
    M::Substream: Send,
    M::Error: Send + Sync,
{
    transport.map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
}

/// A swarm over a wrapped transport.
fn swarm_of(wrap: Make, manager: &Manager) -> Swarm<dummy::Behaviour> {
    let resources = resources(manager);
    swarm_over(
        move |key: &Keypair| wrap(key, &resources),
        dummy::Behaviour,
        Duration::from_secs(20),
    )
}

#[tokio::test]
async fn an_inbound_refusal_is_found_in_all_that_libp2p_wraps_it_in() {
    for kind in Kind::ALL {
        for (name, wrap) in wrapped() {
            for (scope, limit_of) in SCOPES {
                let there = manager(|limits| limit_of(limits).conns = 0.into());
                let mut listener = swarm_of(wrap, &there);
                let address = listen(&mut listener, kind).await;
                let here = manager(|_| ());
                let mut dialer = swarm_of(wrap, &here);
                let error = refused_dial(&mut dialer, &mut listener, address).await;
                assert_eq!(exceeded(&error).scope.class(), scope, "{kind:?} {name}");
                until_nothing_is_held(&here).await;
                until_nothing_is_held(&there).await;
            }
        }
    }
}

#[tokio::test]
async fn an_outbound_refusal_is_found_in_all_that_libp2p_wraps_it_in() {
    for kind in Kind::ALL {
        for (name, wrap) in wrapped() {
            let there = manager(|_| ());
            let mut listener = swarm_of(wrap, &there);
            let address = listen(&mut listener, kind).await;
            let peer = *listener.local_peer_id();
            let _listener = spawn(listener);
            // Refused in `dial`, at its first poll, or after the handshake.
            for (scope, limit_of) in SCOPES {
                let here = manager(|limits| limit_of(limits).conns = 0.into());
                let mut dialer = swarm_of(wrap, &here);
                let unsupported = "/memory/7".parse().unwrap();
                let options = DialOpts::peer_id(peer)
                    .addresses(vec![dead(kind), address.clone(), unsupported])
                    .build();
                let error = connect(&mut dialer, options).await.unwrap_err();
                assert_eq!(exceeded(&error).scope.class(), scope, "{kind:?} {name}");
                let DialError::Transport(failed) = &error else {
                    panic!("{error:?}");
                };
                // The error of one address has it as well.
                let of_good = failed.iter().find(|(at, _)| port(at) == port(&address));
                assert!(refusal(&of_good.unwrap().1).is_some(), "{kind:?} {name}");
                until_nothing_is_held(&here).await;
            }
            until_nothing_is_held(&there).await;
        }
    }
}

/// An address at which nothing answers.
fn dead(kind: Kind) -> Multiaddr {
    let text = match kind {
        Kind::Tcp => "/ip4/127.0.0.1/tcp/1",
        // A dial by QUIC would wait for its timeout.
        Kind::Quic => "/ip4/127.0.0.1/udp/1/quic",
    };
    text.parse().unwrap()
}
