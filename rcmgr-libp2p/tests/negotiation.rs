//! Negotiations of real swarms: lazy ones, those that end early, and those of unusual upgrades, over
//! TCP and QUIC.

mod support;

use std::io;
use std::time::Duration;

use libp2p::core::muxing::SubstreamBox;
use libp2p::core::upgrade::Version;
use libp2p::futures::future::join_all;
use libp2p::futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::{NetworkBehaviour, Stream, StreamUpgradeError, dummy};
use libp2p::{PeerId, ping};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::{Error, ScopeClass};
use rcmgr_libp2p::{Resources, refusal};
use support::bare::{Bare, Listening};
use support::dialing::connect;
use support::pair::{ECHO, PING, Pair};
use support::streams::{self, Opener};
use support::{Kind, Running, listen, manager, spawn, swarm, until, until_nothing_is_held};

/// Its answer to `ls` begins like a name: with the length of this name and a line feed, 47.
const LONG: &str = "/long/7777777777777777777777777777777777777777";

async fn lazy_pair(kind: Kind, here: Manager) -> Pair {
    Pair::connect_with(kind, Version::V1Lazy, here, manager(|_| ())).await
}

async fn open_lazily(pair: &Pair, protocol: &'static str) -> Stream {
    let opened = pair.opener.open(pair.remote, &[protocol]).await.unwrap();
    // Nothing is agreed on, and the remote has not heard of it.
    assert_eq!(pair.here.stat().transient.streams_outbound, 1);
    assert!(pair.here.protocols().is_empty());
    opened
}

async fn read_all(stream: &mut Stream) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    bytes
}

fn protocols(manager: &Manager) -> Vec<String> {
    (manager.protocols().iter())
        .map(ToString::to_string)
        .collect()
}

#[tokio::test]
async fn a_lazy_stream_that_is_never_read_is_charged_to_its_protocol_with_its_first_byte() {
    for kind in Kind::ALL {
        let mut pair = lazy_pair(kind, manager(|_| ())).await;
        let mut outbound = open_lazily(&pair, ECHO).await;
        outbound.write_all(b"ask").await.unwrap();
        assert_eq!(protocols(&pair.here), [ECHO], "{kind:?}");
        assert!(pair.here.stat().transient.is_zero());
        outbound.close().await.unwrap();
        let mut inbound = pair.accepted.recv().await.unwrap();
        assert_eq!(read_all(&mut inbound).await, b"ask");
        assert_eq!(protocols(&pair.there), [ECHO]);
        drop((outbound, inbound));
        pair.until_no_stream_is_left().await;
        pair.end().await;
    }
}

#[tokio::test]
async fn a_lazy_stream_that_is_only_read_is_charged_to_its_protocol_with_the_answer() {
    for kind in Kind::ALL {
        let mut pair = lazy_pair(kind, manager(|_| ())).await;
        let mut outbound = open_lazily(&pair, ECHO).await;
        let mut accepted = pair.accepted;
        let answering = tokio::spawn(async move {
            let mut inbound = accepted.recv().await.unwrap();
            inbound.write_all(b"answer").await.unwrap();
            inbound.close().await.unwrap();
            (inbound, accepted)
        });
        assert_eq!(read_all(&mut outbound).await, b"answer");
        assert_eq!(protocols(&pair.here), [ECHO], "{kind:?}");
        assert!(pair.here.stat().transient.is_zero());
        let inbound;
        (inbound, pair.accepted) = answering.await.unwrap();
        drop((outbound, inbound));
        pair.until_no_stream_is_left().await;
        pair.end().await;
    }
}

#[tokio::test]
async fn a_lazy_stream_that_is_closed_before_the_answer_never_has_a_protocol_here() {
    for kind in Kind::ALL {
        let mut pair = lazy_pair(kind, manager(|_| ())).await;
        let mut outbound = open_lazily(&pair, ECHO).await;
        outbound.close().await.unwrap();
        // The remote has the proposal, and agrees.
        let mut inbound = pair.accepted.recv().await.unwrap();
        assert!(read_all(&mut inbound).await.is_empty());
        assert_eq!(protocols(&pair.there), [ECHO], "{kind:?}");
        assert!(pair.here.protocols().is_empty());
        assert_eq!(pair.here.stat().transient.streams_outbound, 1);
        drop((outbound, inbound));
        pair.until_no_stream_is_left().await;
        pair.end().await;
    }
}

#[tokio::test]
async fn a_lazy_stream_that_the_remote_declines_after_data_has_a_protocol_here_and_none_there() {
    for kind in Kind::ALL {
        let pair = lazy_pair(kind, manager(|_| ())).await;
        pair.there.set_limits(no_protocols());
        let mut outbound = open_lazily(&pair, "/never/heard/of").await;
        outbound.write_all(b"data").await.unwrap();
        assert_eq!(protocols(&pair.here), ["/never/heard/of"], "{kind:?}");
        let error = outbound.read(&mut [0; 8]).await.unwrap_err();
        assert!(refusal(&error).is_none(), "{error:?}");
        drop(outbound);
        pair.until_no_stream_is_left().await;
        assert_eq!(pair.there.refusals(ScopeClass::Protocol).total(), 0);
        pair.end().await;
    }
}

/// With these, each attempt to charge a protocol is counted as a refusal.
fn no_protocols() -> Limits {
    let mut limits = Limits::unlimited();
    limits.protocol_default.streams = 0.into();
    limits
}

fn refused_by(error: &io::Error) -> ScopeClass {
    match refusal(error) {
        Some(Error::LimitExceeded(reached)) => reached.scope.class(),
        other => panic!("{other:?} in {error:?}"),
    }
}

#[tokio::test]
async fn a_lazy_stream_that_is_refused_here_fails_with_the_first_write_or_read_and_may_be_closed() {
    for kind in Kind::ALL {
        for writes in [true, false] {
            let refusing = Manager::new(no_protocols()).unwrap();
            let mut pair = lazy_pair(kind, refusing).await;
            let mut outbound = open_lazily(&pair, ECHO).await;
            let error = match writes {
                true => outbound.write(b"ask").await.unwrap_err(),
                false => outbound.read(&mut [0; 8]).await.unwrap_err(),
            };
            assert_eq!(refused_by(&error), ScopeClass::Protocol, "{kind:?}");
            // It holds nothing, and no call on it panics.
            assert_eq!(pair.here.stat().system.streams_outbound, 0);
            let error = outbound.close().await.unwrap_err();
            assert_eq!(refused_by(&error), ScopeClass::Protocol, "{kind:?}");
            let error = outbound.read(&mut [0; 8]).await.unwrap_err();
            assert_eq!(refused_by(&error), ScopeClass::Protocol, "{kind:?}");

            // The connection goes on.
            pair.here.set_limits(Limits::unlimited());
            let mut again = open_lazily(&pair, ECHO).await;
            again.write_all(b"ask").await.unwrap();
            again.close().await.unwrap();
            while read_all(&mut pair.accepted.recv().await.unwrap()).await != b"ask" {}
            drop((outbound, again));
            pair.end().await;
        }
    }
}

/// A swarm that supports two protocols, and a peer without limits that is connected to it. An
/// attempt to charge a protocol is counted as a refusal.
struct Dialed {
    there: Manager,
    remote: Bare,
    listener: Running,
}

impl Dialed {
    async fn connect(kind: Kind, timeout: Duration) -> Self {
        let there = Manager::new(no_protocols()).unwrap();
        let (behaviour, _, _) = streams::behaviour(&[LONG, ECHO]);
        let behaviour = behaviour.with_timeout(timeout);
        let mut listener = swarm(
            &Resources::new(there.clone()).memory(0_u64, 0_u64),
            behaviour,
        );
        let address = listen(&mut listener, kind).await;
        let listener = spawn(listener);
        Self {
            there,
            remote: Bare::dial(kind, address).await,
            listener,
        }
    }

    /// Opens a stream and says this on it.
    async fn say(&self, bytes: &[u8]) -> SubstreamBox {
        let mut stream = self.remote.open().await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        stream
    }

    async fn until_transient(&self, streams: u64) {
        until("the transient streams are counted", || {
            self.there.stat().transient.streams_inbound == streams
        })
        .await;
    }

    /// Ends both sides: then nothing is held, and no protocol was ever charged.
    async fn end(self) {
        drop((self.remote, self.listener));
        until_nothing_is_held(&self.there).await;
        assert_eq!(self.there.refusals(ScopeClass::Protocol).total(), 0);
    }
}

fn message(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).unwrap();
    [&[length], text.as_bytes()].concat()
}

fn header() -> Vec<u8> {
    message("/multistream/1.0.0\n")
}

/// What a remote may say without an end to the negotiation.
fn unfinished() -> Vec<Vec<u8>> {
    vec![
        header()[..7].to_vec(),
        header(),
        [header(), message("/echo/1.0.0\n")[..5].to_vec()].concat(),
        [header(), message("ls\n")].concat(),
        [
            header(),
            message("ls\n"),
            message("/never\n"),
            message("ls\n"),
        ]
        .concat(),
        [
            header(),
            (0..100).flat_map(|n| message(&format!("/{n}\n"))).collect(),
        ]
        .concat(),
        // The longest message that there is, all but its end.
        [&header()[..], &[0xff, 0x7f, b'/'], &[b'a'; 16_000]].concat(),
    ]
}

/// What makes the listener end the stream.
fn wrong() -> Vec<Vec<u8>> {
    vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(3),
        message("/echo/1.0.0\n"),
        message("na\n"),
        vec![0],
        [header(), vec![0]].concat(),
        [header(), header()].concat(),
        [header(), message("na\n")].concat(),
        [header(), message("no name\n")].concat(),
        // Longer than 16 KiB.
        [header(), vec![0x80, 0x80, 0x01]].concat(),
        [header(), message("/never\n"), vec![0xff; 100]].concat(),
    ]
}

#[tokio::test]
async fn a_stream_that_says_nonsense_ends_without_a_protocol() {
    for kind in Kind::ALL {
        let dialed = Dialed::connect(kind, Duration::from_secs(60)).await;
        for bytes in wrong() {
            let mut stream = dialed.say(&bytes).await;
            // The listener ends it: by a reset, in QUIC.
            let _ = stream.read_to_end(&mut Vec::new()).await;
            dialed.until_transient(0).await;
        }
        dialed.end().await;
    }
}

#[tokio::test]
async fn a_stream_that_is_dropped_in_mid_negotiation_leaves_nothing() {
    for kind in Kind::ALL {
        let dialed = Dialed::connect(kind, Duration::from_secs(60)).await;
        let said = unfinished();
        let count = said.len() as u64;
        let streams = join_all(said.iter().map(|bytes| dialed.say(bytes))).await;
        dialed.until_transient(count).await;
        drop(streams);
        dialed.until_transient(0).await;
        dialed.end().await;
    }
}

#[tokio::test]
async fn a_stream_that_does_not_come_to_an_end_is_transient_until_the_upgrade_times_out() {
    for kind in Kind::ALL {
        let dialed = Dialed::connect(kind, Duration::from_secs(3)).await;
        let said = unfinished();
        let count = said.len() as u64;
        let streams = join_all(said.iter().map(|bytes| dialed.say(bytes))).await;
        dialed.until_transient(count).await;
        assert_eq!(dialed.there.stat().system.streams_inbound, count);
        dialed.until_transient(0).await;
        assert_eq!(dialed.there.stat().system.streams_inbound, 0);
        // The remote has seen the end of each.
        for mut stream in streams {
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }
        dialed.end().await;
    }
}

#[tokio::test]
async fn a_connection_that_ends_with_streams_in_negotiation_leaves_nothing() {
    for kind in Kind::ALL {
        for remote_ends in [true, false] {
            let dialed = Dialed::connect(kind, Duration::from_secs(60)).await;
            let said = unfinished();
            let streams = join_all(said.iter().map(|bytes| dialed.say(bytes))).await;
            dialed.until_transient(said.len() as u64).await;
            let Dialed {
                there,
                remote,
                listener,
            } = dialed;
            match remote_ends {
                true => remote.close().await,
                false => drop(listener),
            }
            until_nothing_is_held(&there).await;
            assert_eq!(there.refusals(ScopeClass::Protocol).total(), 0);
            drop(streams);
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_remote_has_answered_leaves_nothing() {
    for kind in Kind::ALL {
        for remote_ends in [true, false] {
            let listening = Listening::new(kind).await;
            let (peer, address) = (listening.peer, listening.address.clone());
            let (behaviour, _, opener) = streams::behaviour(&[]);
            let here = manager(|_| ());
            let mut dialer = swarm(&Resources::new(here.clone()), behaviour);
            let remote = tokio::spawn(listening.accept());
            connect(&mut dialer, address).await.unwrap();
            let dialer = spawn(dialer);
            let mut remote = remote.await.unwrap();
            let opening: Vec<_> = (0..3)
                .map(|_| {
                    let opener = opener.clone();
                    tokio::spawn(async move { opener.try_open(peer, &[ECHO]).await })
                })
                .collect();
            for _ in &opening {
                remote.accepted.recv().await.unwrap();
            }
            match remote_ends {
                true => remote.close().await,
                false => drop(dialer),
            }
            for opened in opening {
                let opened = opened.await.unwrap();
                assert!(!matches!(opened, Some(Ok(_))), "{kind:?} {opened:?}");
            }
            until_nothing_is_held(&here).await;
        }
    }
}

/// Its upgrade is a `SelectUpgrade` of two that have names, a `ReadyUpgrade` and a `DeniedUpgrade`.
#[derive(NetworkBehaviour)]
struct Several {
    long: streams::Behaviour,
    echo: streams::Behaviour,
    ping: ping::Behaviour,
    dummy: dummy::Behaviour,
}

/// Connects to the listener, which has the address. Returns what opens streams to it.
async fn opener_to<B>(kind: Kind, here: &Manager, mut listener: libp2p::Swarm<B>) -> Connected
where
    B: NetworkBehaviour + Send,
    B::ToSwarm: Send,
{
    let address = listen(&mut listener, kind).await;
    let peer = *listener.local_peer_id();
    let listener = spawn(listener);
    let (behaviour, _, opener) = streams::behaviour(&[]);
    let mut dialer = swarm(&Resources::new(here.clone()), behaviour);
    connect(&mut dialer, address).await.unwrap();
    Connected {
        peer,
        opener,
        _running: [listener, spawn(dialer)],
    }
}

struct Connected {
    peer: PeerId,
    opener: Opener,
    _running: [Running; 2],
}

#[tokio::test]
async fn streams_of_a_selection_of_upgrades_are_charged_to_the_protocol_by_its_name() {
    for kind in Kind::ALL {
        let (here, there) = (manager(|_| ()), manager(|_| ()));
        let (long, mut accepted_long, _) = streams::behaviour(&[LONG]);
        let (echo, mut accepted_echo, _) = streams::behaviour(&[ECHO]);
        let several = Several {
            long,
            echo,
            ping: ping::Behaviour::default(),
            dummy: dummy::Behaviour,
        };
        let listener = swarm(&Resources::new(there.clone()), several);
        let connected = opener_to(kind, &here, listener).await;
        let open = async |name| connected.opener.open(connected.peer, &[name]).await;
        let mut held = Vec::new();
        for name in [LONG, ECHO, PING] {
            held.push(open(name).await.unwrap());
            for manager in [&here, &there] {
                until("the protocol is charged", || {
                    manager
                        .stat()
                        .protocols
                        .get(name)
                        .is_some_and(|stat| stat.streams_inbound + stat.streams_outbound == 1)
                })
                .await;
            }
        }
        held.push(accepted_long.recv().await.unwrap());
        held.push(accepted_echo.recv().await.unwrap());
        let declined = open("/never/heard/of").await;
        assert!(
            matches!(declined, Err(StreamUpgradeError::NegotiationFailed)),
            "{kind:?} {declined:?}"
        );
        assert!(!here.stat().protocols.contains_key("/never/heard/of"));
        drop((held, connected));
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn a_denied_upgrade_and_one_without_a_name_settle_nothing() {
    for kind in Kind::ALL {
        let (here, there) = (
            Manager::new(no_protocols()).unwrap(),
            Manager::new(no_protocols()).unwrap(),
        );
        // It supports nothing, and denies each stream.
        let listener = swarm(&Resources::new(there.clone()), dummy::Behaviour);
        let connected = opener_to(kind, &here, listener).await;
        for names in [&[ECHO][..], &[ECHO, PING], &[]] {
            let denied = connected.opener.open(connected.peer, names).await;
            assert!(
                matches!(denied, Err(StreamUpgradeError::NegotiationFailed)),
                "{kind:?} {denied:?}"
            );
            for manager in [&here, &there] {
                until("the stream is gone", || {
                    let system = manager.stat().system;
                    system.streams_inbound + system.streams_outbound == 0
                })
                .await;
                assert_eq!(manager.refusals(ScopeClass::Protocol).total(), 0);
            }
        }
        drop(connected);
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}
