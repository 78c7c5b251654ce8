//! What the behaviour tells a swarm: refusals, and connections that are not under limits.

mod refused;
#[path = "../support/mod.rs"]
mod support;
mod unlimited;

use std::collections::VecDeque;
use std::time::Duration;

use libp2p::swarm::{NetworkBehaviour, Stream, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use rcmgr_atomic::Manager;
use rcmgr_libp2p::{Behaviour, Event, Refused, Resources};
use support::streams::{self, Opener};
use support::{Kind, Running, mixed, spawn_with, until, until_nothing_is_held};
use tokio::sync::mpsc;

const PING: &str = "/ipfs/ping/1.0.0";

#[derive(NetworkBehaviour)]
struct Both {
    limits: Behaviour,
    streams: streams::Behaviour,
}

/// A swarm with the behaviour and one that opens streams. It does not run yet.
struct Node {
    swarm: Swarm<Both>,
    manager: Manager,
    opener: Opener,
    accepted: mpsc::UnboundedReceiver<Stream>,
}

/// A node that runs.
struct Started {
    manager: Manager,
    opener: Opener,
    accepted: mpsc::UnboundedReceiver<Stream>,
    peer: PeerId,
    events: mpsc::UnboundedReceiver<Event>,
    running: Running,
}

impl Node {
    fn new(manager: Manager) -> Self {
        let resources = Resources::new(manager).memory(0_u64, 100_u64);
        Self::of(&resources, &Kind::ALL)
    }

    fn of(resources: &Resources, limited: &[Kind]) -> Self {
        let (streams, accepted, opener) = streams::behaviour(&[PING]);
        let limits = resources.behaviour();
        Self {
            swarm: mixed::swarm(limited, resources, Both { limits, streams }),
            manager: resources.manager().clone(),
            opener,
            accepted,
        }
    }

    fn start(self) -> Started {
        self.start_with(|_, _| ())
    }

    /// Dials one address after the other.
    fn start_dialing(mut self, mut addresses: VecDeque<Multiaddr>) -> Started {
        let mut dial = move |swarm: &mut Swarm<Both>| {
            if let Some(address) = addresses.pop_front() {
                swarm.dial(address).unwrap();
            }
        };
        dial(&mut self.swarm);
        self.start_with(move |swarm, event| {
            if let SwarmEvent::ConnectionEstablished { .. } = event {
                dial(swarm);
            }
        })
    }

    fn start_with(
        self,
        mut on_event: impl FnMut(&mut Swarm<Both>, &SwarmEvent<BothEvent>) + Send + 'static,
    ) -> Started {
        let (sender, events) = mpsc::unbounded_channel();
        let peer = *self.swarm.local_peer_id();
        let running = spawn_with(self.swarm, move |swarm, event| {
            on_event(swarm, &event);
            if let SwarmEvent::Behaviour(BothEvent::Limits(event)) = event {
                // A test that has ended does not look at what is left.
                let _ = sender.send(event);
            }
        });
        Started {
            manager: self.manager,
            opener: self.opener,
            accepted: self.accepted,
            peer,
            events,
            running,
        }
    }
}

impl Started {
    async fn event(&mut self) -> Event {
        let event = tokio::time::timeout(Duration::from_secs(20), self.events.recv()).await;
        event.expect("an event within 20 s").unwrap()
    }

    async fn refused(&mut self) -> Refused {
        match self.event().await {
            Event::Refused(refused) => refused,
            other => panic!("{other:?}"),
        }
    }

    /// Stops the swarm. Returns the events that were left.
    async fn end(mut self) -> Vec<Event> {
        drop((self.running, self.accepted));
        until_nothing_is_held(&self.manager).await;
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

async fn end(nodes: [Started; 2]) {
    for node in nodes {
        assert_eq!(node.end().await, []);
    }
}

/// Waits until the manager has this number of connections with peers.
async fn until_connections(manager: &Manager, number: u64) {
    until("the connections are there", || {
        let of = |stat: &rcmgr_core::ScopeStat| stat.conns_inbound + stat.conns_outbound;
        manager.stat().peers.values().map(of).sum::<u64>() == number
    })
    .await;
}
