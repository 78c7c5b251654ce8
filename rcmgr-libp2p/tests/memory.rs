//! The heap that an idle stream and an idle connection take, beside the same without limits.
//!
//! Each test runs its swarms on its own thread, where all allocations are counted.

mod support;

use std::fmt::Debug;
use std::future::poll_fn;
use std::pin::Pin;

use libp2p::core::muxing::{StreamMuxer, StreamMuxerBox};
use libp2p::futures::{AsyncReadExt, AsyncWriteExt, FutureExt, StreamExt};
use libp2p::swarm::{Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Transport, core};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::Direction;
use rcmgr_libp2p::{LimitExt, Resources};
use support::at_once::AtOnce;
use support::streams::{self, Opener};
use support::{Kind, Running, limits, listen, plain_swarm, spawn, swarm, until_nothing_is_held};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const PROTOCOL: &str = "/ipfs/ping/1.0.0";
const SERVICE: &str = "libp2p.ping";
/// The most bytes that limits may add to a side of an idle stream.
const MOST_OF_STREAM: i64 = 450;
/// The most bytes that limits may add to a side of an idle connection.
const MOST_OF_CONNECTION: i64 = 300;

/// Bytes that this work leaves on the heap.
fn bytes_left(runtime: &Runtime, work: impl Future<Output = ()>) -> i64 {
    allocation_counter::measure(|| runtime.block_on(work)).bytes_current
}

/// A value that nine in ten exceed or equal: tables that grow make some values larger.
fn low(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    values[values.len() / 10]
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
}

/// Some runs are larger as a whole, with limits or without.
fn lowest_of_three(run: impl Fn() -> i64) -> i64 {
    (0..3).map(|_| run()).min().unwrap()
}

/// Two swarms that are connected, with or without limits.
struct Pair {
    managers: Vec<Manager>,
    opener: Opener,
    accepted: mpsc::UnboundedReceiver<Stream>,
    remote: PeerId,
    running: [Running; 2],
}

impl Pair {
    async fn connect(kind: Kind, is_limited: bool) -> Self {
        let (listening, accepted, _) = streams::behaviour(&[PROTOCOL]);
        let (dialing, _, opener) = streams::behaviour(&[]);
        let mut managers = Vec::new();
        let [mut dialer, mut listener] = [dialing, listening].map(|behaviour| {
            if !is_limited {
                return plain_swarm(behaviour);
            }
            let manager = Manager::new(Limits::unlimited()).unwrap();
            managers.push(manager.clone());
            swarm(&Resources::new(manager), behaviour)
        });
        let peers = [*dialer.local_peer_id(), *listener.local_peer_id()];
        for manager in &managers {
            manager.set_limits(limits::in_every_scope(&peers, &[PROTOCOL], &[SERVICE]));
        }
        let address = listen(&mut listener, kind).await;
        let listener = spawn(listener);
        dialer.dial(address).unwrap();
        while !matches!(
            dialer.select_next_some().await,
            SwarmEvent::ConnectionEstablished { .. }
        ) {}
        Self {
            managers,
            opener,
            accepted,
            remote: peers[1],
            running: [spawn(dialer), listener],
        }
    }

    /// Opens a stream. A byte has passed in each direction.
    async fn open(&mut self, held: &mut Vec<Stream>) {
        let opened = self.opener.open(self.remote, &[PROTOCOL]).await;
        let (mut outbound, mut inbound) = (opened.unwrap(), self.accepted.recv().await.unwrap());
        outbound.write_all(b"?").await.unwrap();
        outbound.flush().await.unwrap();
        inbound.read_exact(&mut [0]).await.unwrap();
        inbound.write_all(b"!").await.unwrap();
        inbound.flush().await.unwrap();
        outbound.read_exact(&mut [0]).await.unwrap();
        held.extend([outbound, inbound]);
    }

    async fn end(self) {
        drop(self.running);
        for manager in &self.managers {
            until_nothing_is_held(manager).await;
        }
    }
}

#[test]
fn limits_add_at_most_450_bytes_to_a_side_of_an_idle_stream() {
    // QUIC allows 256 streams of a connection at a time.
    const COUNT: usize = 200;
    for kind in Kind::ALL {
        let [bare, limited] = [false, true].map(|is_limited| {
            lowest_of_three(|| {
                let runtime = runtime();
                let mut held = Vec::with_capacity(2 * COUNT);
                let mut pair = runtime.block_on(Pair::connect(kind, is_limited));
                let bytes = (0..COUNT).map(|_| bytes_left(&runtime, pair.open(&mut held)));
                let bytes = low(bytes.collect());
                for manager in &pair.managers {
                    let stat = manager.stat().services[SERVICE];
                    assert_eq!(stat.streams_inbound + stat.streams_outbound, COUNT as u64);
                }
                drop(held);
                runtime.block_on(pair.end());
                bytes / 2
            })
        });
        eprintln!("{kind:?}: a side of an idle stream takes {bare} bytes, {limited} under limits");
        assert!(limited - bare <= MOST_OF_STREAM, "{kind:?}");
    }
}

// Over real sockets, the memory of QUIC and of TCP with yamux varies by more than that from run to run.
// So the transport of this test allocates nothing.
#[test]
fn limits_add_at_most_300_bytes_to_an_idle_connection_of_any_transport() {
    const COUNT: usize = 32;
    let peer = PeerId::random();
    for (remote, fds) in [
        ("/ip4/192.0.2.7/tcp/4001", 1),
        ("/ip4/192.0.2.7/udp/4001/quic-v1", 0),
    ] {
        for direction in [Direction::Inbound, Direction::Outbound] {
            let remote: Multiaddr = remote.parse().unwrap();
            let transport = || AtOnce {
                peer,
                remote: remote.clone(),
            };
            let limits = limits::in_every_scope(&[peer], &[PROTOCOL], &[SERVICE]);
            let manager = Manager::new(limits).unwrap();
            let resources = Resources::new(manager.clone());
            // With a behaviour, the wrapper counts the connections of each peer.
            let _behaviour = resources.behaviour();

            let bare = Connections::open(transport(), &remote, direction, COUNT);
            let limited = transport().limited(&resources);
            let limited = Connections::open(limited, &remote, direction, COUNT);
            let stat = manager.stat().system;
            let conns = stat.conns_inbound + stat.conns_outbound;
            assert_eq!((conns, stat.fd), (COUNT as u64, COUNT as u64 * fds));
            let added = limited.bytes - bare.bytes;
            eprintln!("{remote} {direction:?}: limits add {added} bytes");
            assert!((1..=MOST_OF_CONNECTION).contains(&added), "{remote}");
            drop(limited);
            assert!(manager.stat().system.is_zero());
        }
    }
}

/// Idle connections of a transport.
struct Connections {
    _held: Vec<StreamMuxerBox>,
    /// The median of what one takes.
    bytes: i64,
}

impl Connections {
    fn open<T, M>(mut transport: T, remote: &Multiaddr, direction: Direction, count: usize) -> Self
    where
        T: Transport<Output = (PeerId, M), Error: Debug> + Unpin,
        M: StreamMuxer<Substream: Send, Error: Send + Sync> + Send + 'static,
    {
        let options = core::transport::DialOpts {
            role: core::Endpoint::Dialer,
            port_use: core::transport::PortUse::Reuse,
        };
        let mut held = Vec::with_capacity(count);
        let mut connect = || {
            let connected = match direction {
                Direction::Inbound => {
                    let event = poll_fn(|cx| Pin::new(&mut transport).poll(cx));
                    let (upgrade, _) = event.now_or_never().unwrap().into_incoming().unwrap();
                    upgrade.now_or_never()
                }
                Direction::Outbound => {
                    let dial = transport.dial(remote.clone(), options);
                    dial.ok().unwrap().now_or_never()
                }
            };
            let (_, muxer) = connected.unwrap().unwrap();
            held.push(StreamMuxerBox::new(muxer));
        };
        let mut bytes: Vec<i64> = (0..count)
            .map(|_| allocation_counter::measure(&mut connect).bytes_current)
            .collect();
        bytes.sort_unstable();
        Self {
            _held: held,
            bytes: bytes[count / 2],
        }
    }
}
