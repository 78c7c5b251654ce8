//! A swarm under limits that is attacked, and an honest peer that pings it meanwhile.

use std::time::Duration;

use allocation_counter::AllocationInfo;
use libp2p::futures::StreamExt;
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, ping};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_libp2p::Resources;
use tokio::sync::{mpsc, oneshot};

use crate::support::{Kind, OwnThread, limits, listen, plain_swarm, streams, swarm};

/// How often the victim pings.
const OFTEN: Duration = Duration::from_millis(5);
/// Connections of each address.
pub const CONNECTIONS: u64 = 8;

#[derive(NetworkBehaviour)]
struct Behaviour {
    ping: ping::Behaviour,
    streams: streams::Behaviour,
}

/// The limits of the victim: each peer has its part, and all attackers together leave room.
fn limits() -> Limits {
    let mut limits = limits::in_every_scope(&[], &["/ipfs/ping/1.0.0"], &["libp2p.ping"]);
    limits.system.streams_inbound = 512.into();
    limits.transient.streams_inbound = 256.into();
    limits.transient.conns_inbound = 32.into();
    limits.peer_default.streams_inbound = 32.into();
    limits.addresses = limits::of_addresses(CONNECTIONS);
    limits
}

/// A swarm on a thread of its own, where all its allocations are counted.
#[derive(Debug)]
pub struct Victim {
    pub address: Multiaddr,
    pub manager: Manager,
    stop: oneshot::Sender<()>,
    thread: std::thread::JoinHandle<AllocationInfo>,
}

impl Victim {
    pub async fn start(kind: Kind) -> Self {
        let manager = Manager::new(limits()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let (listening, address) = oneshot::channel();
        let resources = Resources::new(manager.clone());
        let thread = std::thread::spawn(move || {
            allocation_counter::measure(|| {
                let mut builder = tokio::runtime::Builder::new_current_thread();
                let runtime = builder.enable_all().build().unwrap();
                runtime.block_on(async {
                    let (streams, _accepted, _) = streams::behaviour(&["/echo/1.0.0"]);
                    // libp2p-ping reads the next inbound ping when something wakes its connection.
                    // Over QUIC often nothing but its own interval does, with or without an attack.
                    let config = ping::Config::new().with_interval(OFTEN);
                    let ping = ping::Behaviour::new(config);
                    let mut swarm = swarm(&resources, Behaviour { ping, streams });
                    listening.send(listen(&mut swarm, kind).await).unwrap();
                    let run = async {
                        loop {
                            swarm.select_next_some().await;
                        }
                    };
                    tokio::select! {
                        () = run => {}
                        _ = stopped => {}
                    }
                });
            })
        });
        Self {
            address: address.await.unwrap(),
            manager,
            stop,
            thread,
        }
    }

    /// Ends the swarm. Returns the most memory that it had allocated.
    pub fn end(self) -> u64 {
        self.stop.send(()).unwrap();
        self.thread
            .join()
            .expect("the swarm does not panic")
            .bytes_max
    }
}

/// A peer without limits that pings the victim. It ends when this is dropped.
#[derive(Debug)]
pub struct Honest {
    /// The round trips, or why a ping failed.
    pub pings: mpsc::UnboundedReceiver<Result<Duration, String>>,
    _running: OwnThread,
}

impl Honest {
    /// Connects, and pings again so long after each answer.
    pub fn start(victim: &Multiaddr, interval: Duration) -> Self {
        let (sender, pings) = mpsc::unbounded_channel();
        let victim = victim.clone();
        let running = OwnThread::start(move || async move {
            let config = ping::Config::new().with_interval(interval);
            let mut swarm = plain_swarm(ping::Behaviour::new(config));
            swarm.dial(victim).unwrap();
            loop {
                let outcome = match swarm.select_next_some().await {
                    SwarmEvent::Behaviour(event) => {
                        event.result.map_err(|failure| failure.to_string())
                    }
                    SwarmEvent::ConnectionClosed { cause, .. } => Err(format!("closed: {cause:?}")),
                    SwarmEvent::OutgoingConnectionError { error, .. } => Err(error.to_string()),
                    _ => continue,
                };
                // The test may not look at them any longer.
                let _ = sender.send(outcome);
            }
        });
        Self {
            pings,
            _running: running,
        }
    }

    /// The next round trip.
    pub async fn ping(&mut self) -> Duration {
        self.pings.recv().await.unwrap().unwrap()
    }
}
