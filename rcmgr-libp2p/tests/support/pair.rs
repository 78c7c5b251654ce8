//! Two connected swarms: one opens streams, the other one accepts them.

use libp2p::PeerId;
use libp2p::core::upgrade::Version;
use libp2p::futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::identity::Keypair;
use libp2p::swarm::Stream;
use rcmgr_atomic::Manager;
use rcmgr_libp2p::Resources;
use tokio::sync::mpsc;

use super::dialing::connect;
use super::streams::{self, Opener};
use super::{Kind, Running, listen, spawn, swarm, swarm_with, until, until_nothing_is_held};

pub const ECHO: &str = "/echo/1.0.0";
pub const PING: &str = "/ipfs/ping/1.0.0";

/// The memory of a stream, in bytes. Connections have none.
pub const STREAM_MEMORY: u64 = 100;

pub struct Pair {
    pub here: Manager,
    pub there: Manager,
    pub opener: Opener,
    pub accepted: mpsc::UnboundedReceiver<Stream>,
    /// The peer that accepts, and the one that opens.
    pub remote: PeerId,
    pub local: PeerId,
    pub running: [Running; 2],
}

impl Pair {
    pub async fn connect(kind: Kind, here: Manager, there: Manager) -> Self {
        Self::connect_with(kind, Version::V1, here, there).await
    }

    /// A pair that opens streams with this version of multistream-select.
    pub async fn connect_with(kind: Kind, version: Version, here: Manager, there: Manager) -> Self {
        let (behaviour, accepted, _) = streams::behaviour(&[ECHO, PING]);
        let of = |manager: &Manager| Resources::new(manager.clone()).memory(0_u64, STREAM_MEMORY);
        let mut listener = swarm(&of(&there), behaviour);
        let address = listen(&mut listener, kind).await;
        let (behaviour, _, opener) = streams::behaviour(&[]);
        let key = Keypair::generate_ed25519();
        let mut dialer = swarm_with(key, &of(&here), behaviour, |config| {
            config.with_substream_upgrade_protocol_override(version)
        });
        let (remote, local) = (*listener.local_peer_id(), *dialer.local_peer_id());
        let listener = spawn(listener);
        connect(&mut dialer, address).await.unwrap();
        let running = [spawn(dialer), listener];
        Self {
            here,
            there,
            opener,
            accepted,
            remote,
            local,
            running,
        }
    }

    /// Opens a stream, and takes it at the other side.
    pub async fn open(&mut self, protocol: &'static str) -> [Stream; 2] {
        let outbound = self.opener.open(self.remote, &[protocol]).await.unwrap();
        [outbound, self.accepted.recv().await.unwrap()]
    }

    /// Waits until neither side has a stream.
    pub async fn until_no_stream_is_left(&self) {
        until("no stream is left", || {
            let are_none = |manager: &Manager| {
                let system = manager.stat().system;
                system.streams_inbound + system.streams_outbound == 0 && system.memory == 0
            };
            are_none(&self.here) && are_none(&self.there)
        })
        .await;
    }

    /// Ends both swarms: then nothing is held.
    pub async fn end(self) {
        drop((self.running, self.accepted));
        until_nothing_is_held(&self.here).await;
        until_nothing_is_held(&self.there).await;
    }
}

/// Sends something through a stream.
pub async fn exchange([outbound, inbound]: &mut [Stream; 2]) {
    outbound.write_all(b"ask").await.unwrap();
    outbound.flush().await.unwrap();
    let mut bytes = [0; 3];
    inbound.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ask");
}
