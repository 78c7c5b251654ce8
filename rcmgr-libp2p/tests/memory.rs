//! The heap that an idle stream and an idle connection take, beside the same without limits.
//!
//! Each test runs its swarms on its own thread, where all allocations are counted.

mod support;

use libp2p::PeerId;
use libp2p::futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{Stream, Swarm, SwarmEvent, dummy};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_libp2p::Resources;
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

#[test]
fn limits_add_at_most_300_bytes_to_a_side_of_an_idle_connection() {
    const COUNT: usize = 60;
    // QUIC's own memory for a connection varies by more than that from run to run.
    let kind = Kind::Tcp;
    let [bare, limited] = [false, true].map(|is_limited| {
        lowest_of_three(|| {
            let runtime = runtime();
            let _inside = runtime.enter();
            let mut managers = Vec::new();
            let [mut dialer, mut listener] = [(); 2].map(|()| {
                if !is_limited {
                    return plain_swarm(dummy::Behaviour);
                }
                let manager = Manager::new(Limits::unlimited()).unwrap();
                managers.push(manager.clone());
                swarm(&Resources::new(manager), dummy::Behaviour)
            });
            let peers = [*dialer.local_peer_id(), *listener.local_peer_id()];
            for manager in &managers {
                manager.set_limits(limits::in_every_scope(&peers, &[PROTOCOL], &[SERVICE]));
            }
            let address = runtime.block_on(listen(&mut listener, kind));
            // The first connection makes the scope of the peer.
            let bytes = (0..COUNT).map(|_| {
                let options = DialOpts::peer_id(peers[1])
                    .addresses(vec![address.clone()])
                    .condition(PeerCondition::Always);
                dialer.dial(options.build()).unwrap();
                bytes_left(&runtime, async {
                    tokio::join!(established(&mut dialer), established(&mut listener));
                })
            });
            let bytes = low(bytes.collect());
            for manager in &managers {
                let stat = manager.stat().system;
                assert_eq!(stat.conns_inbound + stat.conns_outbound, COUNT as u64);
            }
            drop((listener, dialer));
            for manager in &managers {
                runtime.block_on(until_nothing_is_held(manager));
            }
            bytes / 2
        })
    });
    eprintln!("{kind:?}: a side of an idle connection takes {bare} bytes, {limited} under limits");
    assert!(limited - bare <= MOST_OF_CONNECTION, "{kind:?}");
}

/// Runs the swarm until it has another connection.
async fn established(swarm: &mut Swarm<dummy::Behaviour>) {
    while !matches!(
        swarm.select_next_some().await,
        SwarmEvent::ConnectionEstablished { .. }
    ) {}
}
