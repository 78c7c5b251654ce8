//! A transport whose connections are there at once, and idle. It has no buffers and no tasks, so what
//! limits add to a connection can be measured to the byte.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use libp2p::core::muxing::{StreamMuxer, StreamMuxerEvent};
use libp2p::core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use libp2p::futures::io::Cursor;
use libp2p::{Multiaddr, PeerId, Transport};

/// All connections are with this peer. Inbound ones come from this address whenever it is polled.
pub struct AtOnce {
    pub peer: PeerId,
    pub remote: Multiaddr,
}

/// An idle connection.
pub struct Idle {
    // A box without content would not be allocated.
    _content: u64,
}

impl AtOnce {
    fn connected(&self) -> Ready<io::Result<(PeerId, Idle)>> {
        ready(Ok((self.peer, Idle { _content: 7 })))
    }
}

impl Transport for AtOnce {
    type Output = (PeerId, Idle);
    type Error = io::Error;
    type ListenerUpgrade = Ready<io::Result<(PeerId, Idle)>>;
    type Dial = Ready<io::Result<(PeerId, Idle)>>;

    fn listen_on(&mut self, _: ListenerId, _: Multiaddr) -> Result<(), TransportError<io::Error>> {
        Ok(())
    }

    fn remove_listener(&mut self, _: ListenerId) -> bool {
        false
    }

    fn dial(&mut self, _: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        Ok(self.connected())
    }

    fn poll(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
        Poll::Ready(TransportEvent::Incoming {
            listener_id: ListenerId::next(),
            upgrade: self.connected(),
            local_addr: self.remote.clone(),
            send_back_addr: self.remote.clone(),
        })
    }
}

impl StreamMuxer for Idle {
    type Substream = Cursor<Vec<u8>>;
    type Error = io::Error;

    fn poll_inbound(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        Poll::Pending
    }

    fn poll_outbound(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<io::Result<Self::Substream>> {
        Poll::Pending
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<StreamMuxerEvent>> {
        Poll::Pending
    }
}
