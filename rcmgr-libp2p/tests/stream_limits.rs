//! Limits of streams in each scope and direction, and those of the muxers, over TCP and QUIC.

mod support;

use std::time::Duration;

use libp2p::futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::swarm::StreamUpgradeError;
use multistream_select::{Version, dialer_select_proto};
use rcmgr_atomic::Manager;
use rcmgr_core::{Direction, Error, Limit, Limits, ScopeClass};
use rcmgr_libp2p::{Resources, refusal};
use support::bare::{Bare, Listening};
use support::dialing::connect;
use support::pair::{ECHO, PING, Pair, STREAM_MEMORY, exchange};
use support::streams::{self, Opened, Opener};
use support::{Kind, Running, listen, manager, spawn, swarm, until, until_nothing_is_held};

/// The scopes that a stream is charged to.
const CLASSES: [ScopeClass; 8] = [
    ScopeClass::System,
    ScopeClass::Transient,
    ScopeClass::Service,
    ScopeClass::ServicePeer,
    ScopeClass::Protocol,
    ScopeClass::ProtocolPeer,
    ScopeClass::Peer,
    ScopeClass::Stream,
];

#[derive(Debug, Clone, Copy, PartialEq)]
enum Field {
    Memory,
    Streams,
    OneDirection,
    OtherDirection,
}

const FIELDS: [Field; 4] = [
    Field::Memory,
    Field::Streams,
    Field::OneDirection,
    Field::OtherDirection,
];

fn limit_of(limits: &mut Limits, class: ScopeClass) -> &mut Limit {
    match class {
        ScopeClass::System => &mut limits.system,
        ScopeClass::Transient => &mut limits.transient,
        ScopeClass::Service => limits.service_default.get_or_insert(Limit::UNLIMITED),
        ScopeClass::ServicePeer => &mut limits.service_peer_default,
        ScopeClass::Protocol => &mut limits.protocol_default,
        ScopeClass::ProtocolPeer => &mut limits.protocol_peer_default,
        ScopeClass::Peer => &mut limits.peer_default,
        ScopeClass::Stream => &mut limits.stream,
        other => panic!("no stream is charged to {other}"),
    }
}

/// Limits without room for a second stream with this direction, if `field` counts it.
fn without_room(class: ScopeClass, field: Field, direction: Direction) -> Limits {
    let mut limits = Limits::unlimited();
    let limit = limit_of(&mut limits, class);
    // The first stream is no longer transient.
    let held = match class {
        ScopeClass::Transient | ScopeClass::Stream => 0,
        _ => 1_u64,
    };
    let of_inbound = (direction == Direction::Inbound) == (field == Field::OneDirection);
    match field {
        Field::Memory => limit.memory = (STREAM_MEMORY * (held + 1) - 1).into(),
        Field::Streams => limit.streams = held.into(),
        Field::OneDirection | Field::OtherDirection => {
            let limited = match of_inbound {
                true => &mut limit.streams_inbound,
                false => &mut limit.streams_outbound,
            };
            *limited = match field {
                Field::OneDirection => held.into(),
                _ => 0.into(),
            };
        }
    }
    limits
}

/// The scope that refused a stream.
fn refused_by(opened: Opened) -> ScopeClass {
    let error = opened.unwrap_err();
    match refusal(&error) {
        Some(Error::LimitExceeded(reached)) => reached.scope.class(),
        other => panic!("{other:?} in {error:?}"),
    }
}

#[tokio::test]
async fn an_outbound_stream_is_refused_by_each_limit_of_each_scope_and_the_connection_goes_on() {
    for kind in Kind::ALL {
        let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        for (class, field) in CLASSES.map(|it| FIELDS.map(|field| (it, field))).concat() {
            let first = pair.open(PING).await;
            let limits = without_room(class, field, Direction::Outbound);
            pair.here.set_limits(limits);
            let opened = pair.opener.open(pair.remote, &[PING]).await;
            match field {
                Field::OtherDirection => drop(opened.unwrap()),
                _ => assert_eq!(refused_by(opened), class, "{kind:?} {field:?}"),
            }
            pair.here.set_limits(Limits::unlimited());
            works_still(&mut pair).await;
            drop(first);
            pair.until_no_stream_is_left().await;
        }
        pair.end().await;
    }
}

/// The connection carries a stream. The remote may have accepted one that was refused here.
async fn works_still(pair: &mut Pair) {
    let mut again = pair.opener.open(pair.remote, &[PING]).await.unwrap();
    again.write_all(b"ask").await.unwrap();
    again.flush().await.unwrap();
    let mut bytes = [0; 3];
    loop {
        let mut accepted = pair.accepted.recv().await.unwrap();
        if accepted.read_exact(&mut bytes).await.is_ok() {
            break;
        }
    }
    assert_eq!(&bytes, b"ask");
}

#[tokio::test]
async fn an_inbound_stream_is_refused_by_each_limit_of_each_scope_and_the_connection_goes_on() {
    for kind in Kind::ALL {
        let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        for (class, field) in CLASSES.map(|it| FIELDS.map(|field| (it, field))).concat() {
            let first = pair.open(PING).await;
            let limits = without_room(class, field, Direction::Inbound);
            pair.there.set_limits(limits);
            let before = pair.there.refusals(class).total();
            let opened = pair.opener.open(pair.remote, &[PING]).await;
            let refused = pair.there.refusals(class).total() - before;
            match field {
                Field::OtherDirection => {
                    drop(opened.unwrap());
                    assert_eq!(refused, 0, "{kind:?} {class}");
                }
                _ => {
                    let error = opened.unwrap_err();
                    assert!(refusal(&error).is_none(), "{error:?}");
                    assert_eq!(refused, 1, "{kind:?} {class} {field:?}");
                }
            }
            pair.there.set_limits(Limits::unlimited());
            works_still(&mut pair).await;
            drop(first);
            pair.until_no_stream_is_left().await;
        }
        pair.end().await;
    }
}

/// Sets a limit by name.
type SetNamed = fn(&mut Limits, Limit);

#[tokio::test]
async fn a_limit_by_name_refuses_the_streams_of_that_protocol_or_service_and_no_others() {
    let cases: [SetNamed; 4] = [
        |limits, none| {
            limits.protocol.insert(PING.into(), none);
        },
        |limits, none| {
            limits.protocol_peer.insert(PING.into(), none);
        },
        |limits, none| {
            limits.service.insert("libp2p.ping".into(), none);
        },
        |limits, none| {
            limits.service_peer.insert("libp2p.ping".into(), none);
        },
    ];
    for kind in Kind::ALL {
        for set in cases {
            let mut none = Limit::UNLIMITED;
            none.streams = 0.into();
            let there = manager(|limits| set(limits, none));
            let mut pair = Pair::connect(kind, manager(|_| ()), there).await;
            let refused = pair.opener.open(pair.remote, &[PING]).await;
            assert!(refused.is_err(), "{kind:?}");
            let mut echo = pair.open(ECHO).await;
            exchange(&mut echo).await;
            drop(echo);
            pair.end().await;
        }
    }
}

#[tokio::test]
async fn a_limit_of_one_peer_refuses_its_streams_until_it_is_taken_back() {
    for kind in Kind::ALL {
        let mut pair = Pair::connect(kind, manager(|_| ()), manager(|_| ())).await;
        for peer in [pair.local, pair.remote] {
            let mut limits = Limits::unlimited();
            let mut none = Limit::UNLIMITED;
            none.streams_inbound = 0.into();
            limits.peer.insert(peer.into(), none);
            pair.there.set_limits(limits);
            let opened = pair.opener.open(pair.remote, &[PING]).await;
            assert_eq!(opened.is_err(), peer == pair.local, "{kind:?}");
        }
        pair.there.set_limits(Limits::unlimited());
        works_still(&mut pair).await;
        pair.end().await;
    }
}

/// A swarm under limits that is connected to a peer without.
struct Dialed {
    remote: Bare,
    peer: libp2p::PeerId,
    opener: Opener,
    _running: Running,
}

impl Dialed {
    async fn connect(kind: Kind, here: &Manager, timeout: Duration) -> Self {
        let listening = Listening::new(kind).await;
        let peer = listening.peer;
        let (behaviour, _, opener) = streams::behaviour(&[]);
        let behaviour = behaviour.with_timeout(timeout);
        let mut dialer = swarm(&Resources::new(here.clone()), behaviour);
        let address = listening.address.clone();
        let remote = tokio::spawn(listening.accept());
        connect(&mut dialer, address).await.unwrap();
        Self {
            remote: remote.await.unwrap(),
            peer,
            opener,
            _running: spawn(dialer),
        }
    }
}

/// As many streams wait for their first answer, both in yamux and in QUIC of libp2p.
const MOST_UNANSWERED: u64 = 256;

/// Opens more streams than the muxer has room for, to a remote that does not answer.
async fn waits_for_room(kind: Kind) {
    let here = manager(|_| ());
    let timeout = Duration::from_secs(4);
    let mut dialed = Dialed::connect(kind, &here, timeout).await;
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..MOST_UNANSWERED + 40 {
        let (opener, peer) = (dialed.opener.clone(), dialed.peer);
        opening.spawn(async move { opener.open(peer, &[ECHO]).await });
    }
    until("the muxer is full", || {
        here.stat().transient.streams_outbound == MOST_UNANSWERED
    })
    .await;
    assert_eq!(here.stat().system.streams_outbound, MOST_UNANSWERED);
    while let Some(opened) = opening.join_next().await {
        let opened = opened.unwrap();
        assert!(
            matches!(opened, Err(StreamUpgradeError::Timeout)),
            "{kind:?} {opened:?}"
        );
        assert!(here.stat().system.streams_outbound <= MOST_UNANSWERED);
    }
    until("no stream is left", || {
        here.stat().system.streams_outbound == 0
    })
    .await;

    // The remote ends its side of the streams, and answers one that is opened now.
    dialed.remote.serve(ECHO);
    let stream = dialed.opener.open(dialed.peer, &[ECHO]).await.unwrap();
    assert_eq!(here.stat().protocols[ECHO].streams_outbound, 1);
    drop((stream, dialed));
    until_nothing_is_held(&here).await;
}

#[tokio::test]
async fn streams_that_wait_for_room_in_the_muxer_are_not_charged_and_nothing_is_left_after_a_timeout()
 {
    tokio::join!(waits_for_room(Kind::Tcp), waits_for_room(Kind::Quic));
}

/// The streams of a connection that yamux has room for. One more ends the connection.
const MOST_OF_YAMUX: usize = 512;

/// Opens inbound streams until the connection has ended, or many were refused. Returns how many
/// were accepted, and whether the connection goes on.
async fn accept_many(there: &Manager) -> (usize, bool) {
    let (behaviour, mut accepted, _) = streams::behaviour(&[ECHO]);
    let mut listener = swarm(&Resources::new(there.clone()), behaviour);
    let address = listen(&mut listener, Kind::Tcp).await;
    let listener = spawn(listener);
    let remote = Bare::dial(Kind::Tcp, address).await;
    let mut held = Vec::new();
    let mut goes_on = true;
    for _ in 0..MOST_OF_YAMUX + 100 {
        let Some(stream) = remote.open().await else {
            goes_on = false;
            break;
        };
        if let Ok((_, negotiated)) = dialer_select_proto(stream, [ECHO], Version::V1).await {
            held.push((negotiated, accepted.recv().await.unwrap()));
        }
    }
    let count = held.len();
    drop((held, remote, listener));
    until_nothing_is_held(there).await;
    (count, goes_on)
}

#[tokio::test]
async fn a_limit_of_a_peer_below_that_of_yamux_keeps_a_connection_with_many_inbound_streams() {
    let there = manager(|limits| limits.peer_default.streams_inbound = 400.into());
    assert_eq!(accept_many(&there).await, (400, true));
    // The reason: yamux ends the connection.
    assert_eq!(accept_many(&manager(|_| ())).await, (MOST_OF_YAMUX, false));
}

/// The same with outbound streams.
async fn open_many(here: &Manager) -> (usize, bool) {
    let mut dialed = Dialed::connect(Kind::Tcp, here, Duration::from_secs(10)).await;
    dialed.remote.serve(ECHO);
    let mut held = Vec::new();
    let mut goes_on = true;
    for _ in 0..MOST_OF_YAMUX + 100 {
        match dialed.opener.try_open(dialed.peer, &[ECHO]).await {
            Some(Ok(stream)) => held.push(stream),
            Some(refused) => assert_eq!(refused_by(refused), ScopeClass::Peer),
            None => {
                goes_on = false;
                break;
            }
        }
    }
    let count = held.len();
    drop((held, dialed));
    until_nothing_is_held(here).await;
    (count, goes_on)
}

#[tokio::test]
async fn a_limit_of_a_peer_below_that_of_yamux_keeps_a_connection_with_many_outbound_streams() {
    let here = manager(|limits| limits.peer_default.streams_outbound = 400.into());
    assert_eq!(open_many(&here).await, (400, true));
    assert_eq!(open_many(&manager(|_| ())).await, (MOST_OF_YAMUX, false));
}
