//! What the remote sees of an inbound stream that is refused, and what libp2p-ping makes of it.

mod support;

use std::io;
use std::time::Duration;

use libp2p::swarm::{NetworkBehaviour, StreamUpgradeError, SwarmEvent};
use libp2p::{PeerId, ping};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::ScopeClass;
use rcmgr_libp2p::Resources;
use support::dialing::connect;
use support::streams::{self, Opener};
use support::{
    Kind, Running, listen, manager, spawn, spawn_with, swarm, until, until_nothing_is_held,
};
use tokio::sync::mpsc;

const ECHO: &str = "/echo/1.0.0";

#[derive(NetworkBehaviour)]
struct Both {
    ping: ping::Behaviour,
    streams: streams::Behaviour,
}

/// Two connected swarms that ping each other. One of them refuses the streams of the other one.
struct Pair {
    here: Manager,
    there: Manager,
    remote: PeerId,
    opener: Opener,
    /// How the pings of the dialer ended.
    pings: mpsc::UnboundedReceiver<Result<Duration, ping::Failure>>,
    running: [Running; 2],
}

impl Pair {
    async fn connect(kind: Kind, refusing: Resources) -> Self {
        let here = manager(|_| ());
        let there = refusing.manager().clone();
        let behaviour = |protocols| {
            let (streams, _, opener) = streams::behaviour(protocols);
            let ping = ping::Behaviour::default();
            (Both { ping, streams }, opener)
        };
        let mut listener = swarm(&refusing, behaviour(&[ECHO]).0);
        let (both, opener) = behaviour(&[]);
        let mut dialer = swarm(&Resources::new(here.clone()), both);
        let remote = *listener.local_peer_id();
        let address = listen(&mut listener, kind).await;
        let listener = spawn(listener);
        connect(&mut dialer, address).await.unwrap();
        let (sender, pings) = mpsc::unbounded_channel();
        let dialer = spawn_with(dialer, move |_, event| {
            if let SwarmEvent::Behaviour(BothEvent::Ping(event)) = event {
                let _ = sender.send(event.result);
            }
        });
        Self {
            here,
            there,
            remote,
            opener,
            pings,
            running: [dialer, listener],
        }
    }

    async fn next_ping(&mut self) -> Result<Duration, ping::Failure> {
        let next = tokio::time::timeout(Duration::from_secs(20), self.pings.recv());
        next.await.expect("no ping within 20 s").unwrap()
    }

    /// Ends both swarms: then nothing is held.
    async fn end(self) {
        drop(self.running);
        until_nothing_is_held(&self.here).await;
        until_nothing_is_held(&self.there).await;
    }
}

/// Refuses inbound streams.
type Refuse = fn(&mut Limits);

/// When it comes, when its protocol is known, and when its service is known.
const REFUSALS: [(ScopeClass, Refuse); 3] = [
    (ScopeClass::Transient, |limits| {
        limits.transient.streams_inbound = 0.into();
    }),
    (ScopeClass::Protocol, |limits| {
        limits.protocol_default.streams_inbound = 0.into();
    }),
    (ScopeClass::ServicePeer, |limits| {
        limits.service_peer_default.streams_inbound = 0.into();
    }),
];

#[tokio::test]
async fn a_refused_stream_looks_to_the_remote_like_a_protocol_that_is_not_supported() {
    for kind in Kind::ALL {
        for (class, refuse) in REFUSALS {
            let mut pair = Pair::connect(kind, Resources::new(manager(refuse))).await;
            let ping = pair.next_ping().await;
            assert!(
                matches!(ping, Err(ping::Failure::Unsupported)),
                "{kind:?} {class} {ping:?}"
            );
            if class != ScopeClass::ServicePeer {
                let opened = pair.opener.open(pair.remote, &[ECHO]).await;
                assert!(
                    matches!(opened, Err(StreamUpgradeError::NegotiationFailed)),
                    "{kind:?} {class} {opened:?}"
                );
            }
            // The connection goes on.
            pair.there.set_limits(Limits::unlimited());
            pair.opener.open(pair.remote, &[ECHO]).await.unwrap();
            pair.end().await;
        }
    }
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_message_fails_at_the_remote_and_ping_recovers() {
    for kind in Kind::ALL {
        for (class, refuse) in REFUSALS {
            let refusing = Resources::new(manager(refuse)).end_refused_streams_inside_a_message();
            let mut pair = Pair::connect(kind, refusing).await;
            let failure = pair.next_ping().await.unwrap_err();
            let ping::Failure::Other { error } = &failure else {
                panic!("{kind:?} {class} {failure:?}")
            };
            let error: &io::Error = error.downcast_ref().unwrap();
            assert_eq!(
                error.kind(),
                io::ErrorKind::UnexpectedEof,
                "{kind:?} {class}"
            );
            if class != ScopeClass::ServicePeer {
                let opened = pair.opener.open(pair.remote, &[ECHO]).await;
                let Err(StreamUpgradeError::Io(error)) = opened else {
                    panic!("{kind:?} {class} {opened:?}")
                };
                assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
            }

            // Without a delay: its interval is 15 seconds.
            until("ping has tried again and again", || {
                pair.there.refusals(class).total() >= 50
            })
            .await;
            pair.there.set_limits(Limits::unlimited());
            while pair.next_ping().await.is_err() {}
            pair.end().await;
        }
    }
}
