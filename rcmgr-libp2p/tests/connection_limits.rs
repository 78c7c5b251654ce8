//! Limits for the connections of a swarm, by the wrapper of its transports and by
//! `connections::Behaviour`: both behave the same where they can.

mod support;

use std::io;
use std::net::{TcpListener, UdpSocket};

use libp2p::futures::StreamExt;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{DialError, ListenError, NetworkBehaviour, SwarmEvent};
use libp2p::{Multiaddr, PeerId, Swarm};
use rcmgr_atomic::Manager;
use rcmgr_core::{Direction, Error, LimitExceeded, LimitValue, Limits, MIB, Resource, ScopeClass};
use rcmgr_libp2p::{Resources, connections, refusal};
use support::denier::Denier;
use support::{Kind, Running, listen, manager, mixed, spawn, until, until_nothing_is_held};

/// What limits the connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Wrapper,
    Behaviour,
}

/// Each way, over TCP and QUIC.
fn ways() -> impl Iterator<Item = (By, Kind)> {
    [By::Wrapper, By::Behaviour]
        .into_iter()
        .flat_map(|by| Kind::ALL.map(|kind| (by, kind)))
}

#[derive(NetworkBehaviour)]
struct Node {
    before: Toggle<Denier>,
    limits: Toggle<connections::Behaviour>,
    after: Toggle<Denier>,
}

impl By {
    fn swarm(self, manager: &Manager) -> Swarm<Node> {
        self.swarm_beside(manager, None, None)
    }

    /// With other behaviours before and after that of the limits.
    fn swarm_beside(
        self,
        manager: &Manager,
        before: Option<Denier>,
        after: Option<Denier>,
    ) -> Swarm<Node> {
        let resources = Resources::new(manager.clone()).memory(MIB, 0_u64);
        let limits = (self == Self::Behaviour).then(|| connections::Behaviour::new(&resources));
        let node = Node {
            before: before.into(),
            limits: limits.into(),
            after: after.into(),
        };
        match self {
            Self::Wrapper => support::swarm(&resources, node),
            Self::Behaviour => mixed::plain(node),
        }
    }
}

/// A socket to which a dial connects and never gets an answer.
enum Silent {
    Tcp(TcpListener),
    Quic(UdpSocket),
}

impl Silent {
    fn new(kind: Kind) -> Self {
        match kind {
            Kind::Tcp => Self::Tcp(TcpListener::bind("127.0.0.1:0").unwrap()),
            Kind::Quic => Self::Quic(UdpSocket::bind("127.0.0.1:0").unwrap()),
        }
    }

    fn address(&self) -> Multiaddr {
        let text = match self {
            Self::Tcp(socket) => {
                format!("/ip4/127.0.0.1/tcp/{}", socket.local_addr().unwrap().port())
            }
            Self::Quic(socket) => {
                let port = socket.local_addr().unwrap().port();
                format!("/ip4/127.0.0.1/udp/{port}/quic-v1")
            }
        };
        text.parse().unwrap()
    }
}

fn to(peer: PeerId, address: &Multiaddr) -> DialOpts {
    let options = DialOpts::peer_id(peer)
        .condition(PeerCondition::Always)
        .addresses(vec![address.clone()]);
    // By default TCP is dialed from the port that the swarm listens on, which may be taken.
    let is_tcp = address.iter().any(|part| matches!(part, Protocol::Tcp(_)));
    match is_tcp {
        true => options.allocate_new_port().build(),
        false => options.build(),
    }
}

/// Dials until the attempt has ended.
async fn connect(swarm: &mut Swarm<Node>, options: DialOpts) -> Result<(), DialError> {
    let id = options.connection_id();
    swarm.dial(options)?;
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished { connection_id, .. } if connection_id == id => {
                return Ok(());
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                error,
                ..
            } if connection_id == id => return Err(error),
            _ => {}
        }
    }
}

/// The limit that the manager names in an error of libp2p.
fn limit_in<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a LimitExceeded {
    match refusal(error) {
        Some(Error::LimitExceeded(reached)) => reached,
        other => panic!("{other:?} in {error:?}"),
    }
}

/// Fills the limit of outbound connections with dials that get no answer.
async fn fill(swarm: &mut Swarm<Node>, manager: &Manager, silent: &Silent, number: u64) {
    for _ in 0..number {
        swarm.dial(to(PeerId::random(), &silent.address())).unwrap();
    }
    until("the dials are charged", || {
        manager.stat().transient.conns_outbound == number
    })
    .await;
}

/// How an inbound connection ended, as the swarm says.
#[derive(Debug)]
enum Inbound {
    Established(PeerId),
    Failed(ListenError, Option<PeerId>),
}

/// The next inbound connection of a swarm that ends or is established.
async fn next_inbound(swarm: &mut Swarm<Node>) -> Inbound {
    loop {
        match swarm.select_next_some().await {
            SwarmEvent::ConnectionEstablished {
                peer_id, endpoint, ..
            } if endpoint.is_listener() => return Inbound::Established(peer_id),
            SwarmEvent::IncomingConnectionError { error, peer_id, .. } => {
                return Inbound::Failed(error, peer_id);
            }
            _ => {}
        }
    }
}

/// Has a swarm dial, and runs it.
fn dialing(mut swarm: Swarm<Node>, peer: PeerId, address: &Multiaddr) -> Running {
    swarm.dial(to(peer, address)).unwrap();
    spawn(swarm)
}

#[tokio::test]
async fn a_dial_beyond_the_limit_of_pending_dials_is_refused_and_the_others_stay_pending() {
    for (by, kind) in ways() {
        for limit in [1, 4] {
            let manager = manager(|limits| limits.transient.conns_outbound = limit.into());
            let mut swarm = by.swarm(&manager);
            let silent = Silent::new(kind);
            fill(&mut swarm, &manager, &silent, limit).await;
            let one_more = to(PeerId::random(), &silent.address());
            let error = connect(&mut swarm, one_more).await.unwrap_err();
            let reached = limit_in(&error);
            assert_eq!(reached.scope.class(), ScopeClass::Transient);
            assert_eq!(reached.limit, LimitValue::Limited(limit), "{by:?} {kind:?}");
            if by == By::Behaviour {
                assert!(matches!(error, DialError::Denied { .. }), "{error:?}");
            }
            let info = swarm.network_info();
            let pending = info.connection_counters().num_pending_outgoing();
            assert_eq!((info.num_peers(), u64::from(pending)), (0, limit));
            assert_eq!(manager.stat().transient.fd, limit * kind.fds());
            drop(swarm);
            until_nothing_is_held(&manager).await;
        }
    }
}

#[tokio::test]
async fn a_trusted_peer_or_address_is_dialed_although_the_limit_is_reached() {
    for (by, kind) in ways() {
        let there = [(); 2].map(|()| manager(|_| ()));
        let mut remotes = there.each_ref().map(|manager| by.swarm(manager));
        let [trusted, stranger] = remotes.each_ref().map(|swarm| *swarm.local_peer_id());
        let [first, second] = &mut remotes;
        let addresses = [listen(first, kind).await, listen(second, kind).await];
        let running = remotes.map(spawn);

        let here = manager(|limits| limits.system.conns_outbound = 2.into());
        let mut swarm = by.swarm(&here);
        let silent = Silent::new(kind);
        fill(&mut swarm, &here, &silent, 2).await;
        let allowlist = here.addresses().allowlist();
        let is_refused = |outcome: Result<(), DialError>| {
            let Err(error) = outcome else { return false };
            assert_eq!(limit_in(&error).scope.class(), ScopeClass::System);
            true
        };

        assert!(is_refused(
            connect(&mut swarm, to(trusted, &addresses[0])).await
        ));
        let entry = format!("/ip4/127.0.0.1/p2p/{trusted}").parse().unwrap();
        allowlist.add(entry);
        connect(&mut swarm, to(trusted, &addresses[0]))
            .await
            .unwrap();
        assert_eq!(here.stat().allowlisted_system.conns_outbound, 1);
        // Another peer at the same address is not trusted.
        assert!(is_refused(
            connect(&mut swarm, to(stranger, &addresses[1])).await
        ));
        allowlist.add("/ip4/127.0.0.1".parse().unwrap());
        connect(&mut swarm, to(stranger, &addresses[1]))
            .await
            .unwrap();
        assert_eq!(here.stat().allowlisted_system.conns_outbound, 2);
        assert_eq!(here.stat().system.conns_outbound, 2);

        for entry in allowlist.entries() {
            allowlist.remove(&entry);
        }
        assert!(is_refused(
            connect(&mut swarm, to(trusted, &addresses[0])).await
        ));
        drop(swarm);
        until_nothing_is_held(&here).await;
        drop(running);
        for manager in &there {
            until_nothing_is_held(manager).await;
        }
    }
}

#[tokio::test]
async fn an_inbound_connection_beyond_a_limit_is_refused_with_the_typed_error() {
    type Lower = fn(&mut Limits);
    let limits: [(ScopeClass, Lower); 5] = [
        (ScopeClass::System, |limits| {
            limits.system.conns_inbound = 3.into();
        }),
        (ScopeClass::System, |limits| limits.system.conns = 3.into()),
        (ScopeClass::Peer, |limits| {
            limits.peer_default.conns_inbound = 3.into();
        }),
        (ScopeClass::Peer, |limits| {
            limits.peer_default.conns = 3.into();
        }),
        (ScopeClass::System, |limits| {
            limits.system.memory = (3 * MIB).into();
        }),
    ];
    for (by, kind) in ways() {
        for (scope, lower) in limits {
            let (here, there) = (manager(|_| ()), manager(lower));
            let (mut dialer, mut listener) = (by.swarm(&here), by.swarm(&there));
            let (from, peer) = (*dialer.local_peer_id(), *listener.local_peer_id());
            let address = listen(&mut listener, kind).await;
            for _ in 0..4 {
                dialer.dial(to(peer, &address)).unwrap();
            }
            let dialer = spawn(dialer);
            let mut refused = Vec::new();
            for _ in 0..4 {
                match next_inbound(&mut listener).await {
                    Inbound::Established(peer) => assert_eq!(peer, from),
                    Inbound::Failed(error, peer) => refused.push((error, peer)),
                }
            }
            let [(error, known)] = &refused[..] else {
                panic!("{by:?} {kind:?} {scope}: {refused:?}");
            };
            let reached = limit_in(error);
            assert_eq!(reached.scope.class(), scope);
            let unit = match reached.resource {
                Resource::Memory => MIB,
                _ => 1,
            };
            let limit = LimitValue::Limited(3 * unit);
            assert_eq!((reached.used, reached.limit), (3 * unit, limit));
            if by == By::Behaviour {
                assert!(matches!(error, ListenError::Denied { .. }), "{error:?}");
                assert_eq!(*known, (scope == ScopeClass::Peer).then_some(from));
            }
            assert_eq!(there.stat().system.conns_inbound, 3);
            drop((dialer, listener));
            until_nothing_is_held(&here).await;
            until_nothing_is_held(&there).await;
        }
    }
}

#[tokio::test]
async fn a_trusted_peer_or_address_gets_in_although_the_limit_is_reached() {
    for (by, kind) in ways() {
        let here = manager(|_| ());
        let there = manager(|limits| limits.system.conns_inbound = 1.into());
        let mut listener = by.swarm(&there);
        let peer = *listener.local_peer_id();
        let address = listen(&mut listener, kind).await;
        let allowlist = there.addresses().allowlist();
        let [first, stranger, trusted, neighbour] = [(); 4].map(|()| by.swarm(&here));

        let _first = dialing(first, peer, &address);
        let outcome = next_inbound(&mut listener).await;
        assert!(matches!(outcome, Inbound::Established(_)), "{outcome:?}");

        let entry = format!("/ip4/127.0.0.1/p2p/{}", trusted.local_peer_id());
        allowlist.add(entry.parse().unwrap());
        // Another peer at the same address is not trusted.
        let _stranger = dialing(stranger, peer, &address);
        let Inbound::Failed(error, _) = next_inbound(&mut listener).await else {
            panic!("not refused: {by:?} {kind:?}");
        };
        assert_eq!(limit_in(&error).scope.class(), ScopeClass::System);
        let expected = *trusted.local_peer_id();
        let _trusted = dialing(trusted, peer, &address);
        let outcome = next_inbound(&mut listener).await;
        assert!(matches!(outcome, Inbound::Established(peer) if peer == expected));

        allowlist.add("/ip4/127.0.0.1".parse().unwrap());
        let expected = *neighbour.local_peer_id();
        let _neighbour = dialing(neighbour, peer, &address);
        let outcome = next_inbound(&mut listener).await;
        assert!(matches!(outcome, Inbound::Established(peer) if peer == expected));
        assert_eq!(there.stat().allowlisted_system.conns_inbound, 2);
        assert_eq!(there.stat().system.conns_inbound, 1);

        drop(listener);
        until_nothing_is_held(&there).await;
        until_nothing_is_held(&here).await;
    }
}

#[tokio::test]
async fn the_limit_of_all_connections_counts_both_directions() {
    for (by, kind) in ways() {
        let here = manager(|limits| limits.system.conns = 2.into());
        let there = manager(|_| ());
        let mut limited = by.swarm(&here);
        let peer = *limited.local_peer_id();
        let address = listen(&mut limited, kind).await;
        let mut other = by.swarm(&there);
        let other_address = listen(&mut other, kind).await;
        let other_peer = *other.local_peer_id();
        let _other = spawn(other);

        let outbound = connect(&mut limited, to(other_peer, &other_address)).await;
        outbound.unwrap();
        let _second = dialing(by.swarm(&there), peer, &address);
        let outcome = next_inbound(&mut limited).await;
        assert!(matches!(outcome, Inbound::Established(_)), "{outcome:?}");
        let _third = dialing(by.swarm(&there), peer, &address);
        let Inbound::Failed(error, _) = next_inbound(&mut limited).await else {
            panic!("not refused: {by:?} {kind:?}");
        };
        assert_eq!(limit_in(&error).resource, Resource::Conns);
        let outbound = connect(&mut limited, to(other_peer, &other_address)).await;
        assert_eq!(limit_in(&outbound.unwrap_err()).resource, Resource::Conns);

        drop(limited);
        until_nothing_is_held(&here).await;
        until_nothing_is_held(&there).await;
    }
}

#[tokio::test]
async fn the_memory_of_connections_bounds_dials_and_a_changed_limit_holds_for_the_next_one() {
    for (by, kind) in ways() {
        let with_memory = |connections: u64| {
            let mut limits = Limits::unlimited();
            limits.system.memory = (connections * MIB).into();
            limits
        };
        let manager = Manager::new(with_memory(3)).unwrap();
        let mut swarm = by.swarm(&manager);
        let silent = Silent::new(kind);
        fill(&mut swarm, &manager, &silent, 3).await;
        let again = || to(PeerId::random(), &silent.address());
        let error = connect(&mut swarm, again()).await.unwrap_err();
        let reached = limit_in(&error);
        assert_eq!(reached.resource, Resource::Memory);
        assert_eq!(
            (reached.used, reached.limit),
            (3 * MIB, (3 * MIB).into()),
            "{by:?} {kind:?}"
        );

        manager.set_limits(with_memory(4));
        swarm.dial(again()).unwrap();
        until("it is charged", || manager.stat().system.memory == 4 * MIB).await;
        manager.set_limits(with_memory(2));
        let error = connect(&mut swarm, again()).await.unwrap_err();
        assert_eq!(limit_in(&error).used, 4 * MIB);
        drop(swarm);
        until_nothing_is_held(&manager).await;
    }
}

#[tokio::test]
async fn a_connection_that_another_behaviour_denies_is_released() {
    for (by, kind) in ways() {
        for denier in [Denier::Pending, Denier::Established] {
            for is_first in [false, true] {
                for direction in [Direction::Inbound, Direction::Outbound] {
                    let case = format!("{by:?} {kind:?} {denier:?} {is_first} {direction}");
                    let (here, there) = (manager(|_| ()), manager(|_| ()));
                    let denying = |manager, is_denying: bool| {
                        let before = (is_denying && is_first).then_some(denier);
                        let after = (is_denying && !is_first).then_some(denier);
                        by.swarm_beside(manager, before, after)
                    };
                    let mut listener = denying(&there, direction == Direction::Inbound);
                    let mut dialer = denying(&here, direction == Direction::Outbound);
                    let address = listen(&mut listener, kind).await;
                    let options = to(*listener.local_peer_id(), &address);
                    if direction == Direction::Inbound {
                        let dialer = dialing(dialer, *listener.local_peer_id(), &address);
                        let outcome = next_inbound(&mut listener).await;
                        let Inbound::Failed(ListenError::Denied { cause }, _) = outcome else {
                            panic!("{case}: {outcome:?}");
                        };
                        assert!(cause.downcast_ref::<io::Error>().is_some());
                        let listener = spawn(listener);
                        until_nothing_is_held(&there).await;
                        drop((dialer, listener));
                    } else {
                        let listener = spawn(listener);
                        let error = connect(&mut dialer, options).await.unwrap_err();
                        let DialError::Denied { cause } = &error else {
                            panic!("{case}: {error:?}");
                        };
                        assert!(cause.downcast_ref::<io::Error>().is_some());
                        let dialer = spawn(dialer);
                        until_nothing_is_held(&here).await;
                        drop((dialer, listener));
                    }
                    until_nothing_is_held(&here).await;
                    until_nothing_is_held(&there).await;
                }
            }
        }
    }
}
