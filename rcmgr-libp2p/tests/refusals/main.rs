//! Connections that are refused: by each limit, in both directions, and how the typed error is found
//! in what libp2p makes of it.

#[path = "../support/mod.rs"]
mod support;
mod wrapped;

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake};

use libp2p::core::transport::{ListenerId, TransportEvent};
use libp2p::futures::{AsyncReadExt as _, AsyncWriteExt as _, StreamExt};
use libp2p::identity::Keypair;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::swarm::{DialError, ListenError, SwarmEvent, dummy};
use libp2p::{Multiaddr, Swarm, Transport, tcp};
use rcmgr_atomic::Manager;
use rcmgr_core::{Direction, KIB, Limit, Limits, Resource, ScopeClass};
use rcmgr_libp2p::{LimitExt, Resources, refusal};
use support::denier::{Denier, closed};
use support::dialing::{connect, exceeded, port, secured};
use support::{Kind, listen, manager, spawn, streams, swarm, until, until_nothing_is_held};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// Chooses the limit of one scope.
type ChooseLimit = fn(&mut Limits) -> &mut Limit;

/// The scopes that a connection is charged to, as the limits that lower one of them.
const SCOPES: [(ScopeClass, ChooseLimit); 4] = [
    (ScopeClass::System, |limits| &mut limits.system),
    (ScopeClass::Transient, |limits| &mut limits.transient),
    (ScopeClass::Peer, |limits| &mut limits.peer_default),
    (ScopeClass::Connection, |limits| &mut limits.conn),
];

/// A limit that a connection in this direction does not pass.
fn limits_of(direction: Direction, kind: Kind) -> Vec<(Resource, Limit)> {
    let one = match direction {
        Direction::Inbound => (
            Resource::ConnsInbound,
            Limit {
                conns_inbound: 0.into(),
                ..Limit::UNLIMITED
            },
        ),
        Direction::Outbound => (
            Resource::ConnsOutbound,
            Limit {
                conns_outbound: 0.into(),
                ..Limit::UNLIMITED
            },
        ),
    };
    let total = Limit {
        conns: 0.into(),
        ..Limit::UNLIMITED
    };
    let memory = Limit {
        memory: (8 * KIB - 1).into(),
        ..Limit::UNLIMITED
    };
    let fd = Limit {
        fd: 0.into(),
        ..Limit::UNLIMITED
    };
    let mut limits = vec![one, (Resource::Conns, total), (Resource::Memory, memory)];
    // A QUIC connection shares the socket of its transport.
    if kind == Kind::Tcp {
        limits.push((Resource::Fd, fd));
    }
    limits
}

fn resources(manager: &Manager) -> Resources {
    Resources::new(manager.clone()).memory(8 * KIB, 0_u64)
}

#[tokio::test]
async fn an_outbound_connection_obeys_each_limit_of_each_scope() {
    for kind in Kind::ALL {
        let there = manager(|_| ());
        let mut listener = swarm(&resources(&there), dummy::Behaviour);
        let address = listen(&mut listener, kind).await;
        let _listener = spawn(listener);
        let here = manager(|_| ());
        let mut dialer = swarm(&resources(&here), dummy::Behaviour);
        for (scope, limit_of) in SCOPES {
            for (resource, limit) in limits_of(Direction::Outbound, kind) {
                let mut limits = Limits::unlimited();
                *limit_of(&mut limits) = limit;
                here.set_limits(limits);
                let error = connect(&mut dialer, address.clone()).await.unwrap_err();
                let refused = exceeded(&error);
                assert_eq!(refused.scope.class(), scope, "{kind:?} {resource}");
                assert_eq!(refused.resource, resource, "{kind:?} {scope}");
                until_nothing_is_held(&here).await;
            }
        }
        // An inbound limit does not concern it.
        let mut limits = Limits::unlimited();
        for (_, limit_of) in SCOPES {
            limit_of(&mut limits).conns_inbound = 0.into();
        }
        here.set_limits(limits);
        connect(&mut dialer, address).await.unwrap();
        drop(dialer);
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn an_inbound_connection_obeys_each_limit_of_each_scope() {
    for kind in Kind::ALL {
        let there = manager(|_| ());
        let mut listener = swarm(&resources(&there), dummy::Behaviour);
        let address = listen(&mut listener, kind).await;
        let here = manager(|_| ());
        let mut dialer = swarm(&resources(&here), dummy::Behaviour);
        for (scope, limit_of) in SCOPES {
            for (resource, limit) in limits_of(Direction::Inbound, kind) {
                let mut limits = Limits::unlimited();
                *limit_of(&mut limits) = limit;
                there.set_limits(limits);
                let error = refused_dial(&mut dialer, &mut listener, address.clone()).await;
                let refused = exceeded(&error);
                assert_eq!(refused.scope.class(), scope, "{kind:?} {resource}");
                assert_eq!(refused.resource, resource, "{kind:?} {scope}");
                until_nothing_is_held(&there).await;
            }
        }
        // An outbound limit does not concern it.
        let mut limits = Limits::unlimited();
        for (_, limit_of) in SCOPES {
            limit_of(&mut limits).conns_outbound = 0.into();
        }
        there.set_limits(limits);
        let _listener = spawn(listener);
        connect(&mut dialer, address).await.unwrap();
        drop(dialer);
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

/// Dials until the listener has refused and the dialer has seen the end. Returns the listener's
/// error.
async fn refused_dial(
    dialer: &mut Swarm<dummy::Behaviour>,
    listener: &mut Swarm<dummy::Behaviour>,
    address: Multiaddr,
) -> ListenError {
    let options = DialOpts::from(address);
    let dialed = options.connection_id();
    dialer.dial(options).unwrap();
    let (mut refused, mut is_over) = (None, false);
    while !is_over || refused.is_none() {
        tokio::select! {
            event = listener.select_next_some() => match event {
                SwarmEvent::IncomingConnectionError { error, .. } => refused = Some(error),
                SwarmEvent::ConnectionEstablished { .. } => panic!("not refused"),
                _ => {}
            },
            event = dialer.select_next_some() => match event {
                SwarmEvent::OutgoingConnectionError { connection_id, .. }
                | SwarmEvent::ConnectionClosed { connection_id, .. } => {
                    is_over |= connection_id == dialed;
                }
                _ => {}
            },
        }
    }
    refused.unwrap()
}

#[tokio::test]
async fn a_connection_that_is_refused_on_arrival_is_charged_nowhere_and_the_remote_sees_its_end() {
    for kind in Kind::ALL {
        let there = manager(|limits| limits.system.conns_inbound = 0.into());
        let mut listener = swarm(&resources(&there), dummy::Behaviour);
        let address = listen(&mut listener, kind).await;
        let listener = spawn(listener);
        let here = manager(|_| ());
        let mut dialer = swarm(&resources(&here), dummy::Behaviour);
        // The dialer does not see it established.
        let error = connect(&mut dialer, address).await.unwrap_err();
        assert!(matches!(error, DialError::Transport(_)), "{error:?}");
        assert!(refusal(&error).is_none(), "{error:?}");
        let text = format!("{error:?}").to_lowercase();
        assert!(!text.contains("time"), "it waited for a timeout: {text}");
        assert_eq!(there.refusals(ScopeClass::System).conns_inbound, 1);
        for scope in there.scopes() {
            assert!(scope.peak.is_zero(), "{kind:?}: {scope:?}");
        }
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
        drop(listener);
    }
}

#[tokio::test]
async fn a_refusal_by_which_a_behaviour_denies_a_connection_is_found_on_both_sides() {
    for kind in Kind::ALL {
        let there = manager(|_| ());
        let mut listener = swarm(&resources(&there), Denier::Refusal);
        let address = listen(&mut listener, kind).await;
        let here = manager(|_| ());
        let mut dialer = swarm(&resources(&here), Denier::Refusal);
        dialer.dial(address).unwrap();
        let (mut denied_in, mut denied_out) = (false, false);
        while !denied_in || !denied_out {
            tokio::select! {
                event = listener.select_next_some() => {
                    if let SwarmEvent::IncomingConnectionError { error, .. } = event {
                        // The dialer may have closed it before.
                        if let ListenError::Denied { .. } = error {
                            assert_eq!(refusal(&error), Some(&closed()));
                        }
                        denied_in = true;
                    }
                }
                event = dialer.select_next_some() => {
                    if let SwarmEvent::OutgoingConnectionError { error, .. } = event {
                        assert!(matches!(error, DialError::Denied { .. }), "{error:?}");
                        assert_eq!(refusal(&error), Some(&closed()));
                        denied_out = true;
                    }
                }
            }
        }
        let _running = (spawn(dialer), spawn(listener));
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn a_transport_that_swallows_refused_connections_lets_other_work_run_in_between() {
    const BACKLOG: u64 = 70;
    let there = manager(|limits| limits.system.conns_inbound = 0.into());
    let resources = resources(&there).swallow_refused_connections();
    let key = Keypair::generate_ed25519();
    let tcp = tcp::tokio::Transport::new(tcp::Config::default());
    let mut transport = secured(tcp, &key).limited(&resources).boxed();
    let id = ListenerId::next();
    transport.listen_on(id, Kind::Tcp.listen_address()).unwrap();
    let address = match poll_fn(|cx| Pin::new(&mut transport).poll(cx)).await {
        TransportEvent::NewAddress { listen_addr, .. } => listen_addr,
        event => panic!("{event:?}"),
    };
    let mut refused = Vec::new();
    for _ in 0..BACKLOG {
        refused.push(
            TcpStream::connect(("127.0.0.1", port(&address)))
                .await
                .unwrap(),
        );
    }

    let waker = Arc::new(Woken::default());
    let mut polled = Vec::new();
    let count = || there.refusals(ScopeClass::System).conns_inbound;
    let mut at_once = 0;
    until("all are refused", || {
        // As many as that may have been all. Otherwise the task has come back by itself.
        assert!(at_once < 32 || waker.0.swap(false, Ordering::SeqCst));
        let before = count();
        let polled_by = waker.clone().into();
        let mut cx = Context::from_waker(&polled_by);
        assert!(Pin::new(&mut transport).poll(&mut cx).is_pending());
        at_once = count() - before;
        polled.push(at_once);
        count() == BACKLOG
    })
    .await;
    assert_eq!(polled.iter().max(), Some(&32), "{polled:?}");
    for mut stream in refused {
        assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
    }
    until_nothing_is_held(&there).await;
}

/// Whether a waker was used.
#[derive(Debug, Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

const ECHO: &str = "/echo/1.0.0";

#[tokio::test]
async fn a_connection_goes_on_while_a_thousand_others_are_refused() {
    for kind in Kind::ALL {
        for swallows in [false, true] {
            let there = manager(|limits| limits.system.conns_inbound = 1.into());
            let mut limited = resources(&there);
            if swallows {
                limited = limited.swallow_refused_connections();
            }
            let (behaviour, mut accepted, _) = streams::behaviour(&[ECHO]);
            let mut listener = swarm(&limited, behaviour);
            let address = listen(&mut listener, kind).await;
            let peer = *listener.local_peer_id();
            let listener = spawn(listener);

            let here = manager(|_| ());
            let (behaviour, _, opener) = streams::behaviour(&[]);
            let mut dialer = swarm(&resources(&here), behaviour);
            connect(&mut dialer, address.clone()).await.unwrap();
            let dialer = spawn(dialer);
            let refusals = || there.refusals(ScopeClass::System).conns_inbound;

            let is_over = Cell::new(false);
            let flood = async {
                flood(kind, address).await;
                is_over.set(true);
            };
            // A stream at a time, from before the first refusal until after the last one. None is
            // dropped in the middle: the next would be taken for it.
            let exchange = async {
                let mut exchanged = 0;
                while !is_over.get() || refusals() < REFUSED {
                    let mut outbound = opener.open(peer, &[ECHO]).await.unwrap();
                    outbound.write_all(b"ask").await.unwrap();
                    outbound.flush().await.unwrap();
                    let mut inbound = accepted.recv().await.unwrap();
                    inbound.read_exact(&mut [0; 3]).await.unwrap();
                    exchanged += 1;
                }
                exchanged
            };
            let ((), exchanged) = tokio::join!(flood, exchange);
            assert!(exchanged > 0);
            assert_eq!(refusals(), REFUSED, "{kind:?}");
            assert_eq!(there.stat().system.conns_inbound, 1);
            // The last stream may wait there.
            drop(accepted);
            drop((dialer, listener));
            until_nothing_is_held(&here).await;
            until_nothing_is_held(&there).await;
        }
    }
}

const REFUSED: u64 = 1000;

/// Makes connections that are refused.
async fn flood(kind: Kind, address: Multiaddr) {
    if kind == Kind::Tcp {
        for _ in 0..REFUSED {
            let mut stream = TcpStream::connect(("127.0.0.1", port(&address)))
                .await
                .unwrap();
            assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        return;
    }
    let mut dialer = swarm(&resources(&manager(|_| ())), dummy::Behaviour);
    for _ in 0..REFUSED {
        connect(&mut dialer, address.clone()).await.unwrap_err();
    }
}
