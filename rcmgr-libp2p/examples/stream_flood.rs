//! A node under a flood of streams: four hostile peers open streams as fast as they can, and never
//! negotiate a protocol. The limits hold, and the pings of an honest peer go on.
//!
//! It ends by itself after a few seconds.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt};
use libp2p::core::transport::{DialOpts, PortUse};
use libp2p::core::upgrade::Version;
use libp2p::futures::{AsyncWrite, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, Transport, noise, ping, tcp, yamux};
use rcmgr::prelude::*;
use rcmgr::{ScalingLimits, ScopeClass, ScopeId, ScopeStat};
use rcmgr_libp2p::Event::Refused;
use rcmgr_libp2p::Resources;

const HOSTILE_PEERS: u64 = 4;

/// The inbound streams that a peer may have at a time.
const STREAMS_OF_A_PEER: u64 = 32;

const CALM: Duration = Duration::from_secs(2);
const FLOOD: Duration = Duration::from_secs(5);

/// The time between two pings.
const INTERVAL: Duration = Duration::from_millis(50);

#[derive(NetworkBehaviour)]
struct Node {
    limits: rcmgr_libp2p::Behaviour,
    ping: ping::Behaviour,
}

fn node(manager: &Manager) -> Result<Swarm<Node>, Box<dyn Error>> {
    let resources = Resources::new(manager.clone());
    let pings = ping::Config::new().with_interval(INTERVAL);
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| rcmgr_libp2p::tcp(key, &resources))?
        .with_behaviour(|_| Node {
            limits: resources.behaviour(),
            ping: ping::Behaviour::new(pings),
        })?
        .build();
    Ok(swarm)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut scaling = ScalingLimits::default();
    rcmgr_libp2p::bundled_limits(&mut scaling);
    let mut limits = scaling.scale(GIB, 1024);
    limits.peer_default.streams_inbound = STREAMS_OF_A_PEER.into();
    let manager = Manager::new(limits)?;
    let mut victim = node(&manager)?;
    victim.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    let address = loop {
        if let SwarmEvent::NewListenAddr { address, .. } = victim.select_next_some().await {
            break address;
        }
    };
    let victim = tokio::spawn(async move {
        let mut is_first = true;
        loop {
            let event = victim.select_next_some().await;
            if let SwarmEvent::Behaviour(NodeEvent::Limits(Refused(refused))) = event
                && is_first
            {
                println!("the first refusal: {}", refused.error);
                is_first = false;
            }
        }
    });

    let mut honest = node(&Manager::new(Limits::unlimited())?)?;
    honest.dial(address.clone())?;
    let calm = pings(&mut honest, CALM).await?;
    println!("before the flood: {}", described(&calm));

    let hostile: Vec<_> = (0..HOSTILE_PEERS)
        .map(|_| tokio::spawn(flood(address.clone())))
        .collect();
    let flooded = pings(&mut honest, FLOOD).await?;
    println!("under the flood: {}", described(&flooded));

    let refused = manager.refusals(ScopeClass::Peer).total();
    let peak = peak(&manager);
    println!("refused streams: {refused}");
    println!("open streams at a time, at most: {}", peak.streams_inbound);
    println!(
        "memory charged at a time, at most: {} KiB",
        peak.memory / KIB
    );

    if refused < 1000 {
        return Err("this was no flood".into());
    }
    if peak.streams_inbound > (HOSTILE_PEERS + 1) * STREAMS_OF_A_PEER {
        return Err("a peer had more streams than its limit".into());
    }
    // A busy machine may take its time, but the pings go on.
    if flooded.len() < (FLOOD.as_millis() / INTERVAL.as_millis() / 4) as usize {
        return Err("the pings of the honest peer did not go on".into());
    }
    for task in hostile {
        if task.is_finished() {
            let error = task.await?.unwrap_err();
            return Err(format!("a hostile peer lost its connection: {error}").into());
        }
        task.abort();
    }
    victim.abort();
    println!("the limits held");
    Ok(())
}

/// The round trips of the pings for a while. Each of them must succeed.
async fn pings(node: &mut Swarm<Node>, time: Duration) -> Result<Vec<Duration>, Box<dyn Error>> {
    let mut pings = Vec::new();
    let end = tokio::time::sleep(time);
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            event = node.select_next_some() => match event {
                SwarmEvent::Behaviour(NodeEvent::Ping(ping)) => pings.push(ping.result?),
                SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
                SwarmEvent::ConnectionClosed { .. } => return Err("disconnected".into()),
                _ => {}
            },
        }
    }
    pings.sort();
    Ok(pings)
}

fn described(sorted: &[Duration]) -> String {
    match sorted.get(sorted.len() / 2) {
        Some(median) => format!("{} pings, {median:?} at the median", sorted.len()),
        None => "no pings".to_owned(),
    }
}

/// The highest usage of the whole node.
fn peak(manager: &Manager) -> ScopeStat {
    let reports = manager.scopes();
    let system = reports.iter().find(|report| report.id == ScopeId::System);
    system.map_or_else(ScopeStat::default, |system| system.peak)
}

/// Opens streams until the connection is lost, and keeps the last of them open.
async fn flood(victim: Multiaddr) -> Result<Infallible, Box<dyn Error + Send + Sync>> {
    let key = Keypair::generate_ed25519();
    let mut transport = tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(&key)?)
        .multiplex(yamux::Config::default())
        .map(|(_, muxer), _| StreamMuxerBox::new(muxer))
        .boxed();
    let options = DialOpts {
        role: Endpoint::Dialer,
        port_use: PortUse::New,
    };
    let mut muxer = transport.dial(victim, options)?.await?;
    let mut open = VecDeque::new();
    loop {
        let stream = poll_fn(|cx| {
            // This sends what the streams have written.
            if let Poll::Ready(Err(error)) = muxer.poll_unpin(cx) {
                return Poll::Ready(Err(error));
            }
            let mut stream = ready!(muxer.poll_outbound_unpin(cx))?;
            // The beginning of a negotiation. Without a byte, the victim hears of no stream. Where it
            // cannot be written at once, another stream follows.
            let _ = Pin::new(&mut stream).poll_write(cx, b"\x13/multistream/1.0.0\n");
            Poll::Ready(Ok(stream))
        })
        .await?;
        open.push_back(stream);
        if open.len() > 2 * STREAMS_OF_A_PEER as usize {
            open.pop_front();
        }
        tokio::task::yield_now().await;
    }
}
