//! Remotes that attack a swarm. They drive the muxer themselves, so no rule of libp2p holds them back.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{Boxed, DialOpts, PortUse};
use libp2p::futures::AsyncWriteExt;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Transport, noise};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpStream, UdpSocket};
use tokio::task::JoinSet;

use super::{Kind, OwnThread, quic_transport, tcp_transport};

/// What the remotes do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Open streams as fast as possible, and send one byte of the negotiation.
    SilentStreams,
    /// Propose names of 64 KiB and of 16 KiB, byte by byte.
    LongNames,
    /// Open streams and reset them at once.
    OpenAndReset,
    /// Connect from one address as fast as possible.
    ManyConnections,
    /// Send garbage on streams and instead of a handshake.
    Garbage,
}

impl Attack {
    pub const ALL: [Self; 5] = [
        Self::SilentStreams,
        Self::LongNames,
        Self::OpenAndReset,
        Self::ManyConnections,
        Self::Garbage,
    ];

    /// The attack whose name is that of its variant.
    pub fn named(name: &str) -> Self {
        let found = (Self::ALL.into_iter()).find(|attack| format!("{attack:?}") == name);
        found.expect("an attack")
    }
}

/// How many remotes attack at a time.
const ATTACKERS: usize = 4;
/// Streams that an attacker keeps, if it is let.
const KEPT: usize = 200;
/// Streams on which an attacker proposes long names at a time.
const LONG_NAMES: usize = 16;
/// Connections that an attacker keeps, if it is let.
const KEPT_CONNECTIONS: usize = 16;

/// Attackers at work until this is dropped, on a thread of their own.
#[derive(Debug)]
pub struct Attackers {
    /// Streams, connections or datagrams so far.
    pub attacks: Arc<AtomicU64>,
    _running: OwnThread,
}

impl Attackers {
    pub fn start(attack: Attack, kind: Kind, target: &Multiaddr) -> Self {
        let attacks = Arc::new(AtomicU64::new(0));
        let (counted, target) = (attacks.clone(), target.clone());
        let running = OwnThread::start(move || async move {
            let mut working = JoinSet::new();
            for _ in 0..ATTACKERS {
                working.spawn(go_on(attack, kind, target.clone(), counted.clone()));
            }
            working.join_all().await;
        });
        Self {
            attacks,
            _running: running,
        }
    }
}

async fn go_on(attack: Attack, kind: Kind, target: Multiaddr, attacks: Arc<AtomicU64>) {
    loop {
        // The target ends the connection, or refuses it: start again.
        let _ = match attack {
            Attack::SilentStreams => silent_streams(kind, &target, &attacks).await,
            Attack::LongNames => long_names(kind, &target, &attacks).await,
            Attack::OpenAndReset => open_and_reset(kind, &target, &attacks).await,
            Attack::ManyConnections => connections(kind, &target, &attacks).await,
            Attack::Garbage => garbage(kind, &target, &attacks).await,
        };
        tokio::task::yield_now().await;
    }
}

fn count(attacks: &AtomicU64) {
    // Relaxed: only a number.
    attacks.fetch_add(1, Ordering::Relaxed);
}

/// A connection whose streams the attacker opens itself. The socket of QUIC lives in the transport.
struct Connected {
    muxer: StreamMuxerBox,
    _transport: Boxed<(PeerId, StreamMuxerBox)>,
}

impl Connected {
    async fn to(kind: Kind, target: &Multiaddr) -> io::Result<Self> {
        let key = Keypair::generate_ed25519();
        let mut transport = match kind {
            Kind::Tcp => tcp_transport(noise::Config::new(&key).unwrap())
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed(),
            Kind::Quic => quic_transport(&key)
                .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
                .boxed(),
        };
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::New,
        };
        let dial = transport.dial(target.clone(), options);
        let (_, muxer) = dial.map_err(io::Error::other)?.await?;
        Ok(Self {
            muxer,
            _transport: transport,
        })
    }

    /// Runs the muxer while it does this work.
    async fn with<T>(&mut self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let mut work = pin!(work);
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.muxer.poll_unpin(cx) {
                return Poll::Ready(Err(error));
            }
            work.as_mut().poll(cx)
        })
        .await
    }

    /// A new stream; `None` while the target accepts no stream.
    async fn open(&mut self) -> io::Result<Option<SubstreamBox>> {
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.muxer.poll_unpin(cx) {
                return Poll::Ready(Err(error));
            }
            match self.muxer.poll_outbound_unpin(cx) {
                Poll::Ready(opened) => Poll::Ready(opened.map(Some)),
                Poll::Pending => Poll::Ready(Ok(None)),
            }
        })
        .await
    }

    /// A new stream that has sent these bytes; `None` while the target accepts no stream.
    async fn open_with(&mut self, bytes: &[u8]) -> io::Result<Option<SubstreamBox>> {
        // Lets the other attackers take their turn.
        tokio::task::yield_now().await;
        let Some(mut stream) = self.open().await? else {
            return Ok(None);
        };
        self.with(async {
            // The target may have ended the stream already.
            let _ = write(&mut stream, bytes).await;
            Ok(())
        })
        .await?;
        Ok(Some(stream))
    }
}

async fn write(stream: &mut SubstreamBox, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

/// The first byte of a negotiation.
const FIRST: &[u8] = b"\x13";

async fn silent_streams(kind: Kind, target: &Multiaddr, attacks: &AtomicU64) -> io::Result<()> {
    let mut connected = Connected::to(kind, target).await?;
    let mut kept = VecDeque::new();
    loop {
        match connected.open_with(FIRST).await? {
            Some(stream) => {
                count(attacks);
                kept.push_back(stream);
            }
            None => drop(kept.pop_front()),
        }
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
}

async fn long_names(kind: Kind, target: &Multiaddr, attacks: &AtomicU64) -> io::Result<()> {
    let mut connected = Connected::to(kind, target).await?;
    loop {
        let mut streams = Vec::new();
        while streams.len() < LONG_NAMES {
            // The length of the name as a varint. The target reads 16 KiB - 1 at most.
            let length: &[u8] = match streams.len() % 2 {
                0 => b"\x80\x80\x04",
                _ => b"\xff\x7f",
            };
            let start = [b"\x13/multistream/1.0.0\n", length, b"/"].concat();
            if let Some(stream) = connected.open_with(&start).await? {
                count(attacks);
                streams.push(stream);
            }
        }
        for _ in 0..(64 << 10) {
            tokio::task::yield_now().await;
            connected
                .with(async {
                    // In turns, one byte each. The target ends those with too long a name.
                    let mut left = Vec::new();
                    for mut stream in streams.drain(..) {
                        if write(&mut stream, b"a").await.is_ok() {
                            left.push(stream);
                        }
                    }
                    streams = left;
                    Ok(())
                })
                .await?;
            count(attacks);
            if streams.is_empty() {
                break;
            }
        }
    }
}

async fn open_and_reset(kind: Kind, target: &Multiaddr, attacks: &AtomicU64) -> io::Result<()> {
    let mut connected = Connected::to(kind, target).await?;
    loop {
        if let Some(stream) = connected.open_with(FIRST).await? {
            count(attacks);
            drop(stream);
        }
    }
}

async fn connections(kind: Kind, target: &Multiaddr, attacks: &AtomicU64) -> io::Result<()> {
    let mut kept = VecDeque::new();
    loop {
        let connected = Connected::to(kind, target).await;
        count(attacks);
        kept.extend(connected);
        if kept.len() > KEPT_CONNECTIONS {
            kept.pop_front();
        }
    }
}

async fn garbage(kind: Kind, target: &Multiaddr, attacks: &AtomicU64) -> io::Result<()> {
    let mut garbage = vec![0; 1200];
    // On streams.
    if let Ok(mut connected) = Connected::to(kind, target).await {
        for _ in 0..100 {
            fastrand::fill(&mut garbage);
            if connected.open_with(&garbage).await?.is_some() {
                count(attacks);
            }
        }
    }
    // Instead of a handshake.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
        fastrand::fill(&mut garbage);
        match kind {
            Kind::Tcp => {
                let mut socket = TcpStream::connect(socket_address(target)).await?;
                // The target may end the connection at any time.
                let _ = socket.write_all(&garbage).await;
            }
            Kind::Quic => {
                let socket = UdpSocket::bind("127.0.0.1:0").await?;
                // The first bits of an initial packet.
                garbage[0] |= 0xc0;
                socket.send_to(&garbage, socket_address(target)).await?;
            }
        }
        count(attacks);
    }
    Ok(())
}

fn socket_address(target: &Multiaddr) -> SocketAddr {
    let port = target.iter().find_map(|part| match part {
        Protocol::Tcp(port) | Protocol::Udp(port) => Some(port),
        _ => None,
    });
    ([127, 0, 0, 1], port.unwrap()).into()
}
