//! A connection that is being set up: the dial or the handshake, with what it is charged with.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use libp2p_core::Multiaddr;
use libp2p_identity::PeerId;
use pin_project_lite::pin_project;
use rcmgr_atomic::Connection;
use rcmgr_core::{Direction, UsesFd};

use crate::error::Error;
use crate::muxer::LimitedMuxer;
use crate::resources::Resources;

pin_project! {
    /// A connection that is being set up. When the remote has shown which peer it is, the connection
    /// is charged to that peer.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Upgrade<F> {
        // Before the charge, so that a socket is closed before its descriptor is released.
        #[pin]
        inner: Option<F>,
        charge: Charge,
        resources: Resources,
    }
}

#[derive(Debug)]
enum Charge {
    /// With the remote address.
    Open(Connection, Multiaddr),
    /// It is opened at the first poll: libp2p makes more dials than it polls.
    AtFirstPoll(Multiaddr),
    Refused(Box<rcmgr_core::Error>),
    /// The future has resolved.
    Over,
}

impl<F> Upgrade<F> {
    pub(super) fn open(
        inner: F,
        connection: Connection,
        remote: Multiaddr,
        resources: Resources,
    ) -> Self {
        Self {
            inner: Some(inner),
            charge: Charge::Open(connection, remote),
            resources,
        }
    }

    /// A dial that is charged when it is polled first, and uses no descriptor.
    pub(super) fn at_first_poll(inner: F, remote: Multiaddr, resources: Resources) -> Self {
        Self {
            inner: Some(inner),
            charge: Charge::AtFirstPoll(remote),
            resources,
        }
    }

    pub(super) fn refused(error: rcmgr_core::Error, resources: Resources) -> Self {
        Self {
            inner: None,
            charge: Charge::Refused(Box::new(error)),
            resources,
        }
    }
}

impl<F, M, E> Future for Upgrade<F>
where
    F: Future<Output = Result<(PeerId, M), E>>,
{
    type Output = Result<(PeerId, LimitedMuxer<M>), Error<E>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Charge::AtFirstPoll(remote) = this.charge {
            let opened = this
                .resources
                .open_connection(Direction::Outbound, UsesFd::No, remote);
            *this.charge = match opened {
                Ok(connection) => Charge::Open(connection, remote.clone()),
                Err(error) => {
                    this.inner.set(None);
                    Charge::Refused(Box::new(error))
                }
            };
        }

        let outcome = match this.inner.as_mut().as_pin_mut() {
            Some(inner) => Some(ready!(inner.poll(cx))),
            None => None,
        };
        // Drops the socket of a dial that failed before its charge is released.
        this.inner.set(None);

        let charge = std::mem::replace(this.charge, Charge::Over);
        match (charge, outcome) {
            (Charge::Refused(error), _) => Poll::Ready(Err(Error::Refused(*error))),
            (Charge::Open(..), Some(Err(error))) => Poll::Ready(Err(Error::Transport(error))),
            (Charge::Open(connection, remote), Some(Ok((peer, muxer)))) => {
                let resources = this.resources;
                Poll::Ready(match resources.set_peer(&connection, peer, &remote) {
                    Ok(()) => {
                        let limited = LimitedMuxer::new(muxer, connection, resources.clone());
                        Ok((peer, limited))
                    }
                    Err(error) => {
                        // Its socket is closed before its descriptor is released.
                        drop(muxer);
                        Err(Error::Refused(error))
                    }
                })
            }
            // It has resolved before, and must not be polled again.
            _ => Poll::Pending,
        }
    }
}
