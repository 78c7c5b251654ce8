//! Two nodes that ping and identify each other and share a record in Kademlia, under go-libp2p's
//! limits, with the live view of one of them.
//!
//! Without an argument they exchange one of each, print what was charged for it, and end. With an
//! address, such as `127.0.0.1:8080`, they go on until Ctrl-C: open `http://127.0.0.1:8080/`.

use std::env;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::futures::StreamExt;
use libp2p::kad::store::MemoryStore;
use libp2p::kad::{GetRecordOk, QueryResult, Quorum, Record, RecordKey};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, identify, kad, ping};
use rcmgr::metrics::{Observer, http};
use rcmgr::prelude::*;
use rcmgr::{ScalingLimits, ScopeId};
use rcmgr_libp2p::{Event, Resources};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(NetworkBehaviour)]
struct Node {
    limits: rcmgr_libp2p::Behaviour,
    ping: ping::Behaviour,
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
}

/// A node with 1 GiB and 1,024 descriptors for its swarm.
fn node() -> Result<(Swarm<Node>, Manager), Box<dyn Error>> {
    let mut scaling = ScalingLimits::default();
    rcmgr_libp2p::bundled_limits(&mut scaling);
    let manager = Manager::new(scaling.scale(GIB, 1024))?;
    let resources = Resources::new(manager.clone());
    let swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| rcmgr_libp2p::tcp(key, &resources))?
        .with_other_transport(|key| rcmgr_libp2p::quic(key, &resources))?
        .with_behaviour(|key| {
            let peer = key.public().to_peer_id();
            let mut kad = kad::Behaviour::new(peer, MemoryStore::new(peer));
            kad.set_mode(Some(kad::Mode::Server));
            let identify = identify::Config::new("/two-nodes/1.0.0".into(), key.public());
            Node {
                limits: resources.behaviour(),
                ping: ping::Behaviour::default(),
                identify: identify::Behaviour::new(identify),
                kad,
            }
        })?
        .build();
    Ok((swarm, manager))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let (mut first, first_manager) = node()?;
    let (mut second, second_manager) = node()?;

    let argument = env::args().nth(1);
    let address = argument.as_deref().unwrap_or("127.0.0.1:0");
    let view = TcpListener::bind(address).await?;
    let view_address = view.local_addr()?;
    println!("the live view of the second node is at http://{view_address}/");
    let observer = Observer::new(second_manager.clone()).name("second");
    let view = tokio::spawn(async move { axum::serve(view, http::router(observer)).await });

    let address = listen(&mut first).await?;
    println!("the first node listens at {address}");
    let first = tokio::spawn(async move {
        loop {
            report("first", &first.select_next_some().await);
        }
    });
    second.dial(address)?;
    tokio::time::timeout(Duration::from_secs(15), exchange(&mut second)).await??;

    println!("charged by the second node:");
    println!("{:#}", second_manager.stat());
    check(&second_manager)?;
    println!("lines of its metrics at /metrics:");
    for line in streams_of_the_metrics(view_address).await? {
        println!("  {line}");
    }
    if argument.is_some() {
        loop {
            tokio::select! {
                event = second.select_next_some() => report("second", &event),
                end = tokio::signal::ctrl_c() => break end?,
            }
        }
    }

    // A node that is dropped gives all back.
    first.abort();
    drop((second, first.await));
    view.abort();
    for manager in [first_manager, second_manager] {
        let released = async {
            while !manager.stat().system.is_zero() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), released)
            .await
            .map_err(|_| format!("still charged: {:#}", manager.stat()))?;
    }
    println!("both nodes have ended, and nothing is charged");
    Ok(())
}

/// Listens with TCP on loopback, and returns the address.
async fn listen(node: &mut Swarm<Node>) -> Result<Multiaddr, Box<dyn Error>> {
    node.listen_on("/ip4/127.0.0.1/tcp/0".parse()?)?;
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = node.select_next_some().await {
            return Ok(address);
        }
    }
}

/// Prints what the manager has refused.
fn report(node: &str, event: &SwarmEvent<NodeEvent>) {
    if let SwarmEvent::Behaviour(NodeEvent::Limits(Event::Refused(refused))) = event {
        println!("the {node} node: {}", refused.error);
    }
}

/// Runs the node until it has pinged and identified the other one, and found its own record there.
async fn exchange(node: &mut Swarm<Node>) -> Result<(), Box<dyn Error>> {
    let key = RecordKey::new(&"greeting");
    let (mut is_pinged, mut is_found) = (false, false);
    while !(is_pinged && is_found) {
        let event = node.select_next_some().await;
        report("second", &event);
        match event {
            SwarmEvent::Behaviour(NodeEvent::Ping(ping)) => {
                println!("a ping took {:?}", ping.result?);
                is_pinged = true;
            }
            SwarmEvent::Behaviour(NodeEvent::Identify(identify::Event::Received {
                peer_id,
                info,
                ..
            })) => {
                println!("the first node has {} protocols", info.protocols.len());
                let kad = &mut node.behaviour_mut().kad;
                for address in info.listen_addrs {
                    kad.add_address(&peer_id, address);
                }
                kad.put_record(Record::new(key.clone(), b"hello".to_vec()), Quorum::One)?;
            }
            SwarmEvent::Behaviour(NodeEvent::Kad(kad::Event::OutboundQueryProgressed {
                result,
                ..
            })) => match result {
                QueryResult::PutRecord(stored) => {
                    stored?;
                    println!("the record is stored");
                    node.behaviour_mut().kad.remove_record(&key);
                    node.behaviour_mut().kad.get_record(key.clone());
                }
                QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) => {
                    let value = String::from_utf8(found.record.value)?;
                    println!("the record is found: {value:?}");
                    is_found = true;
                }
                QueryResult::GetRecord(Err(error)) => return Err(error.into()),
                _ => {}
            },
            SwarmEvent::OutgoingConnectionError { error, .. } => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}

/// Each behaviour has had its streams, on one connection, and nothing was refused.
fn check(manager: &Manager) -> Result<(), Box<dyn Error>> {
    for name in ["libp2p.ping", "libp2p.identify", "libp2p.DHT"] {
        let id = ScopeId::Service(name.into());
        let reports = manager.scopes();
        let service = reports.iter().find(|report| report.id == id);
        let service = service.ok_or_else(|| format!("no stream of {name}"))?;
        if service.peak.streams_outbound == 0 {
            return Err(format!("{name} has opened no stream").into());
        }
        if service.refusals.total() > 0 {
            return Err(format!("{name} was refused").into());
        }
    }
    let system = manager.stat().system;
    if (system.conns_outbound, system.fd) != (1, 1) {
        return Err(format!("one connection over TCP was expected: {system}").into());
    }
    Ok(())
}

/// Asks the live view for the metrics, and returns the lines about open streams.
async fn streams_of_the_metrics(view: SocketAddr) -> Result<Vec<String>, Box<dyn Error>> {
    let mut stream = TcpStream::connect(view).await?;
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    let is_open = |line: &&str| line.starts_with("libp2p_rcmgr_streams{") && !line.ends_with(" 0");
    let lines: Vec<_> = answer.lines().filter(is_open).map(str::to_owned).collect();
    if lines.is_empty() {
        return Err("the metrics have no streams".into());
    }
    Ok(lines)
}
