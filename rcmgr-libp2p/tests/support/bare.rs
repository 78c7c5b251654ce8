//! A peer without a swarm and without limits: the test says what it does on its streams.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::task::{Context, Poll};

use libp2p::core::Endpoint;
use libp2p::core::muxing::{StreamMuxerBox, StreamMuxerExt, SubstreamBox};
use libp2p::core::transport::{
    Boxed, DialOpts, ListenerId, PortUse, TransportEvent, upgrade::Version,
};
use libp2p::futures::StreamExt;
use libp2p::identity::Keypair;
use libp2p::{Multiaddr, PeerId, Transport, noise, quic, tcp, yamux};
use multistream_select::listener_select_proto;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::Kind;

type BoxedTransport = Boxed<(PeerId, StreamMuxerBox)>;

/// A connection of the peer. It breaks when this is dropped.
#[derive(Debug)]
pub struct Bare {
    open: mpsc::UnboundedSender<oneshot::Sender<SubstreamBox>>,
    /// The streams that the remote has opened.
    pub accepted: mpsc::UnboundedReceiver<SubstreamBox>,
    tasks: JoinSet<()>,
}

/// A peer that listens.
pub struct Listening {
    pub peer: PeerId,
    pub address: Multiaddr,
    transport: BoxedTransport,
}

impl Bare {
    pub async fn dial(kind: Kind, address: Multiaddr) -> Self {
        let (_, mut transport) = transport(kind);
        let options = DialOpts {
            role: Endpoint::Dialer,
            port_use: PortUse::Reuse,
        };
        let (_, muxer) = transport.dial(address, options).unwrap().await.unwrap();
        Self::new(transport, muxer)
    }

    fn new(transport: BoxedTransport, muxer: StreamMuxerBox) -> Self {
        let (open, commands) = mpsc::unbounded_channel();
        let (sender, accepted) = mpsc::unbounded_channel();
        let mut driver = Driver {
            muxer,
            commands,
            wanted: VecDeque::new(),
            accepted: sender,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _transport = transport;
            poll_fn(|cx| driver.poll(cx)).await;
        });
        Self {
            open,
            accepted,
            tasks,
        }
    }

    /// Opens a stream. Nothing of it reaches the remote before something is written. `None`: the
    /// connection is closed.
    pub async fn open(&self) -> Option<SubstreamBox> {
        let (sender, opened) = oneshot::channel();
        self.open.send(sender).ok()?;
        opened.await.ok()
    }

    /// Closes the connection, whatever its streams do.
    pub async fn close(mut self) {
        drop(self.open);
        self.tasks.join_next().await.unwrap().unwrap();
    }

    /// Drops the streams that were accepted. Agrees to `protocol` on those that come from now on, and
    /// holds them.
    pub fn serve(&mut self, protocol: &'static str) {
        while self.accepted.try_recv().is_ok() {}
        let none = mpsc::unbounded_channel().1;
        let mut accepted = std::mem::replace(&mut self.accepted, none);
        self.tasks.spawn(async move {
            let mut held = Vec::new();
            while let Some(stream) = accepted.recv().await {
                held.extend(listener_select_proto(stream, [protocol]).await);
            }
        });
    }
}

impl Listening {
    pub async fn new(kind: Kind) -> Self {
        let (peer, mut transport) = transport(kind);
        let address = kind.listen_address();
        transport.listen_on(ListenerId::next(), address).unwrap();
        let Some(TransportEvent::NewAddress { listen_addr, .. }) = transport.next().await else {
            panic!("it does not listen");
        };
        Self {
            peer,
            address: listen_addr,
            transport,
        }
    }

    pub async fn accept(mut self) -> Bare {
        loop {
            if let Some(TransportEvent::Incoming { upgrade, .. }) = self.transport.next().await {
                let (_, muxer) = upgrade.await.unwrap();
                return Bare::new(self.transport, muxer);
            }
        }
    }
}

struct Driver {
    muxer: StreamMuxerBox,
    commands: mpsc::UnboundedReceiver<oneshot::Sender<SubstreamBox>>,
    wanted: VecDeque<oneshot::Sender<SubstreamBox>>,
    accepted: mpsc::UnboundedSender<SubstreamBox>,
}

impl Driver {
    /// Runs the connection until it is closed.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(reply)) => {
                    self.wanted.push_back(reply);
                    continue;
                }
                // The connection is closed on purpose.
                Poll::Ready(None) => return self.muxer.poll_close_unpin(cx).map(drop),
                Poll::Pending => {}
            }
            if let Poll::Ready(Err(_)) = self.muxer.poll_unpin(cx) {
                return Poll::Ready(());
            }
            let inbound = match self.muxer.poll_inbound_unpin(cx) {
                Poll::Ready(Ok(stream)) => {
                    // A test that accepts nothing has dropped the receiver.
                    let _ = self.accepted.send(stream);
                    true
                }
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => false,
            };
            let outbound = match self.wanted.is_empty() {
                true => Poll::Pending,
                false => self.muxer.poll_outbound_unpin(cx),
            };
            match (outbound, self.wanted.pop_front()) {
                (Poll::Ready(Ok(stream)), Some(reply)) => drop(reply.send(stream)),
                (Poll::Ready(Err(_)), _) => return Poll::Ready(()),
                (Poll::Pending | Poll::Ready(Ok(_)), reply) => {
                    self.wanted.extend(reply);
                    if !inbound {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

/// A transport without limits, and its peer. Its muxers have room for many streams.
fn transport(kind: Kind) -> (PeerId, BoxedTransport) {
    let key = Keypair::generate_ed25519();
    let boxed = match kind {
        Kind::Tcp => {
            let mut yamux = yamux::Config::default();
            yamux.set_max_num_streams(4096);
            tcp::tokio::Transport::new(tcp::Config::default())
                .upgrade(Version::V1Lazy)
                .authenticate(noise::Config::new(&key).unwrap())
                .multiplex(yamux)
                .boxed()
        }
        Kind::Quic => quic::tokio::Transport::new(quic::Config::new(&key))
            .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
            .boxed(),
    };
    (key.public().to_peer_id(), boxed)
}
