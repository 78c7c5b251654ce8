//! A thousand peers connect, open streams and leave: nothing of them is left.
//!
//! All swarms run on the thread of the test, where all allocations are counted. Each test needs many
//! file descriptors, so there is one test in this program.

mod support;

use libp2p::futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_libp2p::Resources;
use support::streams::{self, Opener};
use support::{Kind, Running, limits, listen, spawn, swarm, until, until_nothing_is_held};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const PROTOCOLS: [&str; 2] = ["/ipfs/ping/1.0.0", "/echo/1.0.0"];
/// Peers by transport, if the process may have so many file descriptors. A QUIC peer has megabytes
/// of buffers.
const PEERS: [(Kind, usize); 2] = [(Kind::Tcp, 1000), (Kind::Quic, 60)];
/// File descriptors for all else.
const OTHERS: usize = 200;
/// How many peers connect at a time: a handshake has ten seconds.
const AT_A_TIME: usize = 20;
/// The most bytes that both managers together may keep for each peer that has left: room in tables.
/// A scope that stayed would take several times as much.
const MOST_KEPT: i64 = 128;
/// The same for all peers together.
const MOST_KEPT_OF_ALL: i64 = 32 << 10;

#[test]
fn a_thousand_peers_connect_open_streams_and_leave_nothing_behind() {
    let allowed = rlimit::increase_nofile_limit(4096).unwrap() as usize;
    for (kind, peers) in PEERS {
        // Both ends of a connection are in this process.
        let count = peers.min(allowed.saturating_sub(OTHERS) / 2);
        if count < peers {
            eprintln!("{kind:?}: only {count} peers: {allowed} file descriptors are allowed");
        }
        let few = bytes_after(kind, &[AT_A_TIME]);
        let many = bytes_after(kind, &[AT_A_TIME, count]);
        let kept = many - few;
        eprintln!("{kind:?}: {count} peers: the managers keep {kept} bytes more than after a few");
        assert!(
            kept <= MOST_KEPT_OF_ALL + MOST_KEPT * count as i64,
            "{kind:?}: {kept} bytes"
        );
    }
}

/// The heap of two managers when so many peers have come and gone, in waves.
fn bytes_after(kind: Kind, waves: &[usize]) -> i64 {
    let managers = [(); 2].map(|()| Manager::new(Limits::unlimited()).unwrap());
    for &count in waves {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().unwrap();
        runtime.block_on(peers_come_and_go(kind, count, &managers));
    }
    // The swarms have ended, and the managers have no other user.
    -allocation_counter::measure(|| drop(managers)).bytes_current
}

async fn peers_come_and_go(kind: Kind, count: usize, [here, there]: &[Manager; 2]) {
    let (behaviour, accepted, _) = streams::behaviour(&PROTOCOLS);
    let mut listener = swarm(&Resources::new(there.clone()), behaviour);
    let to = *listener.local_peer_id();
    for manager in [here, there] {
        manager.set_limits(limits::in_every_scope(&[to], &PROTOCOLS, &["libp2p.ping"]));
    }
    let address = listen(&mut listener, kind).await;
    let listener = spawn(listener);
    let echoing = tokio::spawn(echo_all(accepted));

    let mut peers = Vec::new();
    let mut connecting = JoinSet::new();
    for _ in 0..count {
        connecting.spawn(Peer::connect(here.clone(), address.clone(), to));
        if connecting.len() == AT_A_TIME {
            peers.push(connecting.join_next().await.unwrap().unwrap());
        }
    }
    peers.extend(connecting.join_all().await);

    // They are all there.
    let count = count as u64;
    until("each peer has its streams", || {
        there.stat().system.streams_inbound == 2 * count && there.stat().transient.is_zero()
    })
    .await;
    let [stat_here, stat_there] = [here.stat(), there.stat()];
    assert_eq!(stat_there.peers.len() as u64, count, "{kind:?}");
    assert_eq!(stat_there.system.conns_inbound, count, "{kind:?}");
    assert_eq!(stat_there.system.fd, count * kind.fds(), "{kind:?}");
    assert_eq!(stat_here.peers[&to.into()].conns_outbound, count);
    for protocol in PROTOCOLS {
        assert_eq!(stat_there.protocols[protocol].streams_inbound, count);
        assert_eq!(stat_here.protocols[protocol].streams_outbound, count);
    }
    assert_eq!(stat_there.services["libp2p.ping"].streams_inbound, count);

    // Half of them end their streams first, the others their connections.
    let half = peers.len() / 2;
    let (first, others) = peers.split_at_mut(half);
    first.iter_mut().for_each(|peer| peer.streams.clear());
    others.iter_mut().for_each(|peer| drop(peer.running.take()));
    drop(peers);
    for manager in [here, there] {
        until_nothing_is_held(manager).await;
    }
    drop((listener, echoing));
}

/// A peer that has connected and opened a stream for each protocol.
struct Peer {
    streams: Vec<Stream>,
    running: Option<Running>,
}

impl Peer {
    async fn connect(manager: Manager, address: Multiaddr, to: PeerId) -> Self {
        let (behaviour, _, opener) = streams::behaviour(&[]);
        let mut dialer = swarm(&Resources::new(manager), behaviour);
        dialer.dial(address).unwrap();
        loop {
            match dialer.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => break,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error:?}"),
                _ => {}
            }
        }
        let running = Some(spawn(dialer));
        let mut streams = Vec::new();
        for protocol in PROTOCOLS {
            streams.push(echoed(&opener, to, protocol).await);
        }
        Self { streams, running }
    }
}

/// A stream whose first byte was echoed.
async fn echoed(opener: &Opener, to: PeerId, protocol: &'static str) -> Stream {
    let mut stream = opener.open(to, &[protocol]).await.unwrap();
    stream.write_all(b"?").await.unwrap();
    stream.flush().await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"?");
    stream
}

async fn echo_all(mut accepted: mpsc::UnboundedReceiver<Stream>) {
    while let Some(mut stream) = accepted.recv().await {
        tokio::spawn(async move {
            let mut byte = [0];
            // A stream may end with its connection at any time.
            while let Ok(1) = stream.read(&mut byte).await {
                if stream.write_all(&byte).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
        });
    }
}
