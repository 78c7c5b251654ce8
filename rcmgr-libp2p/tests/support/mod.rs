//! Swarms over loopback under limits.

#![allow(dead_code)]

pub mod at_once;
pub mod attack;
pub mod bare;
pub mod denier;
pub mod dialing;
pub mod limits;
pub mod mixed;
pub mod name_server;
pub mod pair;
pub mod sockets;
pub mod stalled;
pub mod streams;

use std::time::Duration;

use libp2p::core::transport::upgrade::Version;
use libp2p::futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::swarm::{Config, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, Swarm, SwarmBuilder, Transport, noise, quic, tcp, yamux};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::ManagerStat;
use rcmgr_libp2p::{Resources, SwarmTransport};
use tokio::sync::oneshot;

/// The transports that each test tries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tcp,
    Quic,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::Tcp, Self::Quic];

    /// The transport whose name is that of its variant.
    pub fn named(name: &str) -> Self {
        let found = Self::ALL
            .into_iter()
            .find(|kind| format!("{kind:?}") == name);
        found.expect("a transport")
    }

    pub fn listen_address(self) -> Multiaddr {
        let text = match self {
            Self::Tcp => "/ip4/127.0.0.1/tcp/0",
            Self::Quic => "/ip4/127.0.0.1/udp/0/quic-v1",
        };
        text.parse().unwrap()
    }

    /// Descriptors of a connection.
    pub fn fds(self) -> u64 {
        match self {
            Self::Tcp => 1,
            Self::Quic => 0,
        }
    }
}

pub fn manager(change: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    change(&mut limits);
    Manager::new(limits).unwrap()
}

/// A swarm with TCP and QUIC under the limits of `resources`.
pub fn swarm<B: NetworkBehaviour>(resources: &Resources, behaviour: B) -> Swarm<B> {
    swarm_of(Keypair::generate_ed25519(), resources, behaviour)
}

/// The same with a key that the test knows.
pub fn swarm_of<B: NetworkBehaviour>(
    key: Keypair,
    resources: &Resources,
    behaviour: B,
) -> Swarm<B> {
    swarm_with(key, resources, behaviour, |config| config)
}

/// The same with another configuration.
pub fn swarm_with<B: NetworkBehaviour>(
    key: Keypair,
    resources: &Resources,
    behaviour: B,
    configure: impl FnOnce(Config) -> Config,
) -> Swarm<B> {
    SwarmBuilder::with_existing_identity(key)
        .with_tokio()
        .with_other_transport(|key| rcmgr_libp2p::tcp(key, resources))
        .unwrap()
        .with_other_transport(|key| rcmgr_libp2p::quic(key, resources))
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| configure(config.with_idle_connection_timeout(NEVER)))
        .build()
}

/// The same swarm without limits: nothing of it is wrapped.
pub fn plain_swarm<B: NetworkBehaviour>(behaviour: B) -> Swarm<B> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_other_transport(|key| Ok(tcp_transport(noise::Config::new(key)?)))
        .unwrap()
        .with_other_transport(quic_transport)
        .unwrap()
        .with_behaviour(|_| behaviour)
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(NEVER))
        .build()
}

/// A timeout that no test waits for.
pub const NEVER: Duration = Duration::from_secs(3600);

/// TCP with yamux.
fn tcp_transport(noise: noise::Config) -> impl SwarmTransport {
    tcp::tokio::Transport::new(tcp::Config::default())
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex(yamux::Config::default())
}

fn quic_transport(key: &Keypair) -> quic::tokio::Transport {
    quic::tokio::Transport::new(quic::Config::new(key))
}

/// Listens on loopback. Returns the address.
pub async fn listen<B: NetworkBehaviour>(swarm: &mut Swarm<B>, kind: Kind) -> Multiaddr {
    listen_on(swarm, &kind.listen_address().to_string()).await
}

/// Listens on an address. Returns it with the port that was chosen.
pub async fn listen_on<B: NetworkBehaviour>(swarm: &mut Swarm<B>, address: &str) -> Multiaddr {
    swarm.listen_on(address.parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// Runs a swarm until its task is aborted.
pub fn spawn<B>(swarm: Swarm<B>) -> Running
where
    B: NetworkBehaviour + Send,
    B::ToSwarm: Send,
{
    spawn_with(swarm, |_, _| ())
}

/// Runs a swarm until its task is aborted, and gives each event to `on_event`.
pub fn spawn_with<B>(
    mut swarm: Swarm<B>,
    mut on_event: impl FnMut(&mut Swarm<B>, SwarmEvent<B::ToSwarm>) + Send + 'static,
) -> Running
where
    B: NetworkBehaviour + Send,
    B::ToSwarm: Send,
{
    Running(tokio::spawn(async move {
        loop {
            let event = swarm.select_next_some().await;
            on_event(&mut swarm, event);
        }
    }))
}

/// A swarm that runs. It ends when this is dropped.
#[derive(Debug)]
pub struct Running(tokio::task::JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Work on a thread and a runtime of its own, until this is dropped.
#[derive(Debug)]
pub struct OwnThread {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl OwnThread {
    pub fn start<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send + 'static) -> Self {
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            let runtime = builder.enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = work() => {}
                }
            });
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for OwnThread {
    fn drop(&mut self) {
        drop(self.stop.take());
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap();
        }
    }
}

/// Waits until `condition` holds, and fails after twenty seconds.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = tokio::time::Instant::now();
    while !condition() {
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "not within 20 s: {what}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until the manager counts nothing at all.
pub async fn until_nothing_is_held(manager: &Manager) {
    let started = tokio::time::Instant::now();
    loop {
        let stat = manager.stat();
        if is_zero(&stat) {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(20),
            "still held: {stat:#}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn is_zero(stat: &ManagerStat) -> bool {
    stat.system.is_zero()
        && stat.transient.is_zero()
        && stat.allowlisted_system.is_zero()
        && stat.allowlisted_transient.is_zero()
        && stat.services.values().all(rcmgr_core::ScopeStat::is_zero)
        && stat.protocols.is_empty()
        && stat.peers.is_empty()
}
