//! A behaviour whose streams are opened and handled by the test.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use libp2p::core::Endpoint;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::swarm::handler::{ConnectionEvent, FullyNegotiatedInbound, FullyNegotiatedOutbound};
use libp2p::swarm::{
    ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, NotifyHandler, Stream, StreamProtocol, StreamUpgradeError, SubstreamProtocol,
    THandler, THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{Multiaddr, PeerId};
use tokio::sync::{mpsc, oneshot};

/// How an attempt to open a stream ended.
pub type Opened = Result<Stream, StreamUpgradeError<Infallible>>;

#[derive(Debug)]
pub struct Open {
    peer: PeerId,
    protocols: Vec<StreamProtocol>,
    reply: oneshot::Sender<Opened>,
}

/// Opens streams of a swarm from outside.
#[derive(Debug, Clone)]
pub struct Opener(mpsc::UnboundedSender<Open>);

impl Opener {
    /// Opens a stream to a peer that is connected, for the first of the protocols that it supports.
    pub async fn open(&self, peer: PeerId, protocols: &[&'static str]) -> Opened {
        let opened = self.try_open(peer, protocols).await;
        opened.expect("the connection is open")
    }

    /// The same. `None`: the connection has ended.
    pub async fn try_open(&self, peer: PeerId, protocols: &[&'static str]) -> Option<Opened> {
        let (reply, opened) = oneshot::channel();
        let protocols = protocols
            .iter()
            .map(|name| StreamProtocol::new(name))
            .collect();
        self.0
            .send(Open {
                peer,
                protocols,
                reply,
            })
            .unwrap();
        opened.await.ok()
    }
}

#[derive(Debug)]
pub struct Behaviour {
    protocols: Vec<StreamProtocol>,
    /// How long a negotiation may take.
    timeout: Duration,
    accepted: mpsc::UnboundedSender<Stream>,
    commands: mpsc::UnboundedReceiver<Open>,
}

/// A behaviour that supports these protocols, the streams that it accepts, and the opener of streams.
pub fn behaviour(
    protocols: &[&'static str],
) -> (Behaviour, mpsc::UnboundedReceiver<Stream>, Opener) {
    let (accepted, streams) = mpsc::unbounded_channel();
    let (opener, commands) = mpsc::unbounded_channel();
    let protocols = protocols
        .iter()
        .map(|name| StreamProtocol::new(name))
        .collect();
    let behaviour = Behaviour {
        protocols,
        timeout: Duration::from_secs(10),
        accepted,
        commands,
    };
    (behaviour, streams, Opener(opener))
}

impl Behaviour {
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    fn handler(&self) -> Handler {
        Handler {
            protocols: self.protocols.clone(),
            timeout: self.timeout,
            accepted: self.accepted.clone(),
            requests: VecDeque::new(),
        }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler())
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        match event {}
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        match self.commands.poll_recv(cx) {
            Poll::Ready(Some(open)) => Poll::Ready(ToSwarm::NotifyHandler {
                peer_id: open.peer,
                handler: NotifyHandler::Any,
                event: open,
            }),
            _ => Poll::Pending,
        }
    }
}

#[derive(Debug)]
pub struct Handler {
    protocols: Vec<StreamProtocol>,
    /// How long a negotiation may take.
    timeout: Duration,
    accepted: mpsc::UnboundedSender<Stream>,
    requests: VecDeque<Open>,
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Open;
    type ToBehaviour = Infallible;
    type InboundProtocol = Protocols;
    type OutboundProtocol = Protocols;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = oneshot::Sender<Opened>;

    fn listen_protocol(&self) -> SubstreamProtocol<Protocols> {
        SubstreamProtocol::new(Protocols(self.protocols.clone()), ()).with_timeout(self.timeout)
    }

    fn connection_keep_alive(&self) -> bool {
        true
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Protocols, oneshot::Sender<Opened>, Infallible>> {
        match self.requests.pop_front() {
            Some(open) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Protocols(open.protocols), open.reply)
                    .with_timeout(self.timeout),
            }),
            None => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, open: Open) {
        self.requests.push_back(open);
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Protocols, Protocols, (), oneshot::Sender<Opened>>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => {
                // A test that does not look at the streams drops the receiver: they end.
                let _ = self.accepted.send(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol,
                info,
            }) => drop(info.send(Ok(protocol))),
            ConnectionEvent::DialUpgradeError(failed) => drop(failed.info.send(Err(failed.error))),
            _ => {}
        }
    }
}

/// An upgrade to one of several protocols.
#[derive(Debug)]
pub struct Protocols(Vec<StreamProtocol>);

impl UpgradeInfo for Protocols {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Protocols {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_inbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}

impl OutboundUpgrade<Stream> for Protocols {
    type Output = Stream;
    type Error = Infallible;
    type Future = Ready<Result<Stream, Infallible>>;

    fn upgrade_outbound(self, stream: Stream, _: StreamProtocol) -> Self::Future {
        ready(Ok(stream))
    }
}
