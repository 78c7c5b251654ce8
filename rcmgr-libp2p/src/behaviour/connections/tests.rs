//! Random runs of the events that a swarm tells its behaviours.

use std::collections::BTreeMap;

use libp2p_core::ConnectedPoint;
use libp2p_swarm::behaviour::ConnectionEstablished;
use libp2p_swarm::{DialError, ListenError};
use proptest::prelude::*;
use rcmgr_atomic::Manager;
use rcmgr_core::{Error, Limits};

use super::*;
use crate::refusal;

/// Remote addresses: some use a descriptor, one has no IP address, and the last one is allowlisted.
const ADDRESSES: [&str; 4] = [
    "/ip4/192.0.2.7/tcp/4001",
    "/ip4/192.0.2.8/udp/4001/quic-v1",
    "/dns4/example.com/tcp/4001",
    "/ip4/203.0.113.9/tcp/4001",
];

fn address(at: usize) -> Multiaddr {
    ADDRESSES[at % ADDRESSES.len()].parse().unwrap()
}

/// A step of a swarm. Numbers choose among the connections that the step is possible for.
#[derive(Debug, Clone)]
enum Step {
    Accept {
        address: usize,
        is_denied: bool,
    },
    Dial {
        addresses: Vec<usize>,
        is_denied: bool,
    },
    /// A dial that ends before the behaviours are asked.
    NotDialed,
    Establish {
        which: usize,
        peer: usize,
        address: usize,
        is_denied: bool,
    },
    Fail(usize),
    Close(usize),
    /// New limits of the whole system and of a peer.
    Limit(u64, u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let denied = || prop::bool::weighted(0.1);
    let step = prop_oneof![
        4 => (0..4_usize, denied())
            .prop_map(|(address, is_denied)| Step::Accept { address, is_denied }),
        4 => (prop::collection::vec(0..4_usize, 0..3), denied())
            .prop_map(|(addresses, is_denied)| Step::Dial { addresses, is_denied }),
        1 => Just(Step::NotDialed),
        6 => (any::<usize>(), 0..3_usize, 0..4_usize, denied()).prop_map(
            |(which, peer, address, is_denied)| Step::Establish { which, peer, address, is_denied }
        ),
        2 => any::<usize>().prop_map(Step::Fail),
        3 => any::<usize>().prop_map(Step::Close),
        1 => (0..8_u64, 0..4_u64).prop_map(|(system, peer)| Step::Limit(system, peer)),
    ];
    prop::collection::vec(step, 1..80)
}

/// A swarm, as far as its behaviour sees it.
struct Swarm {
    behaviour: Behaviour,
    manager: Manager,
    peers: [PeerId; 3],
    next: usize,
    pending: BTreeMap<usize, Direction>,
    established: BTreeMap<usize, (Direction, PeerId)>,
}

fn id(number: usize) -> ConnectionId {
    ConnectionId::new_unchecked(number)
}

fn limits(system: u64, peer: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.conns = system.into();
    limits.allowlisted_system.conns = 2.into();
    limits.peer_default.conns = peer.into();
    limits
}

impl Swarm {
    fn new() -> Self {
        let manager = Manager::new(limits(4, 2)).unwrap();
        let trusted = "/ip4/203.0.113.0/ipcidr/24".parse().unwrap();
        manager.addresses().allowlist().add(trusted);
        Self {
            behaviour: Behaviour::new(&Resources::new(manager.clone())),
            manager,
            peers: std::array::from_fn(|_| PeerId::random()),
            next: 0,
            pending: BTreeMap::new(),
            established: BTreeMap::new(),
        }
    }

    fn fail(&mut self, number: usize, direction: Direction) {
        let nowhere = Multiaddr::empty();
        self.behaviour.on_swarm_event(match direction {
            Direction::Inbound => FromSwarm::ListenFailure(ListenFailure {
                local_addr: &nowhere,
                send_back_addr: &nowhere,
                error: &ListenError::Aborted,
                connection_id: id(number),
                peer_id: None,
            }),
            Direction::Outbound => FromSwarm::DialFailure(DialFailure {
                peer_id: None,
                error: &DialError::Aborted,
                connection_id: id(number),
            }),
        });
    }

    /// What follows the answer of the behaviour to a pending connection.
    fn pend<T>(
        &mut self,
        number: usize,
        direction: Direction,
        answer: Result<T, ConnectionDenied>,
        is_denied: bool,
    ) {
        if let Err(denied) = &answer {
            assert!(matches!(refusal(denied), Some(Error::LimitExceeded(_))));
        }
        if answer.is_err() || is_denied {
            self.fail(number, direction);
        } else {
            self.pending.insert(number, direction);
        }
    }

    fn establish(&mut self, number: usize, peer: PeerId, remote: &Multiaddr, is_denied: bool) {
        let direction = self.pending.remove(&number).unwrap();
        let behaviour = &mut self.behaviour;
        let (answer, endpoint) = match direction {
            Direction::Inbound => (
                behaviour.handle_established_inbound_connection(id(number), peer, remote, remote),
                ConnectedPoint::Listener {
                    local_addr: remote.clone(),
                    send_back_addr: remote.clone(),
                },
            ),
            Direction::Outbound => (
                behaviour.handle_established_outbound_connection(
                    id(number),
                    peer,
                    remote,
                    Endpoint::Dialer,
                    PortUse::Reuse,
                ),
                ConnectedPoint::Dialer {
                    address: remote.clone(),
                    role_override: Endpoint::Dialer,
                    port_use: PortUse::Reuse,
                },
            ),
        };
        if let Err(denied) = &answer {
            assert!(matches!(refusal(denied), Some(Error::LimitExceeded(_))));
        }
        if answer.is_err() || is_denied {
            self.fail(number, direction);
            return;
        }
        behaviour.on_swarm_event(FromSwarm::ConnectionEstablished(ConnectionEstablished {
            peer_id: peer,
            connection_id: id(number),
            endpoint: &endpoint,
            failed_addresses: &[],
            other_established: 0,
        }));
        self.established.insert(number, (direction, peer));
    }

    fn close(&mut self, number: usize) {
        let (_, peer_id) = self.established.remove(&number).unwrap();
        let endpoint = ConnectedPoint::Listener {
            local_addr: Multiaddr::empty(),
            send_back_addr: Multiaddr::empty(),
        };
        self.behaviour
            .on_swarm_event(FromSwarm::ConnectionClosed(ConnectionClosed {
                peer_id,
                connection_id: id(number),
                endpoint: &endpoint,
                cause: None,
                remaining_established: 0,
            }));
    }

    fn step(&mut self, step: Step) {
        self.next += 1;
        let number = self.next;
        match step {
            Step::Accept {
                address: at,
                is_denied,
            } => {
                let remote = address(at);
                let answer = self.behaviour.handle_pending_inbound_connection(
                    id(number),
                    &Multiaddr::empty(),
                    &remote,
                );
                self.pend(number, Direction::Inbound, answer, is_denied);
            }
            Step::Dial {
                addresses,
                is_denied,
            } => {
                let addresses: Vec<_> = addresses.into_iter().map(address).collect();
                let answer = self.behaviour.handle_pending_outbound_connection(
                    id(number),
                    None,
                    &addresses,
                    Endpoint::Dialer,
                );
                self.pend(number, Direction::Outbound, answer, is_denied);
            }
            Step::NotDialed => self.fail(number, Direction::Outbound),
            Step::Establish {
                which,
                peer,
                address: at,
                is_denied,
            } => {
                if let Some(number) = chosen(&self.pending, which) {
                    self.establish(number, self.peers[peer], &address(at), is_denied);
                }
            }
            Step::Fail(which) => {
                if let Some(number) = chosen(&self.pending, which) {
                    let direction = self.pending.remove(&number).unwrap();
                    self.fail(number, direction);
                }
            }
            Step::Close(which) => {
                if let Some(number) = chosen(&self.established, which) {
                    self.close(number);
                }
            }
            Step::Limit(system, peer) => self.manager.set_limits(limits(system, peer)),
        }
    }

    /// The manager counts the connections that the swarm has, and nothing else.
    fn check(&self) {
        let stat = self.manager.stat();
        for direction in [Direction::Inbound, Direction::Outbound] {
            let count = |stat: &rcmgr_core::ScopeStat| match direction {
                Direction::Inbound => stat.conns_inbound,
                Direction::Outbound => stat.conns_outbound,
            };
            let of = |peer: Option<PeerId>| {
                let established = self.established.values();
                let of_peer = established
                    .filter(|(way, of)| *way == direction && peer.is_none_or(|peer| peer == *of));
                of_peer.count() as u64
            };
            let pending = self.pending.values().filter(|way| **way == direction);
            let pending = pending.count() as u64;
            let transient = count(&stat.transient) + count(&stat.allowlisted_transient);
            assert_eq!(transient, pending);
            let system = count(&stat.system) + count(&stat.allowlisted_system);
            assert_eq!(system, pending + of(None));
            for peer in self.peers {
                let charged = stat.peers.get(&peer.into()).map_or(0, count);
                assert_eq!(charged, of(Some(peer)));
            }
        }
    }

    fn check_zero(&self) {
        self.check();
        let stat = self.manager.stat();
        for scope in [
            stat.system,
            stat.transient,
            stat.allowlisted_system,
            stat.allowlisted_transient,
        ] {
            assert!(scope.is_zero(), "{scope:?}");
        }
        assert!(stat.peers.is_empty());
    }
}

/// One of the connections, if there are any.
fn chosen<T>(connections: &BTreeMap<usize, T>, which: usize) -> Option<usize> {
    let at = which.checked_rem(connections.len())?;
    connections.keys().nth(at).copied()
}

proptest! {
    #[test]
    fn any_run_of_a_swarm_is_counted_exactly_and_leaves_nothing(
        steps in steps(),
        is_dropped: bool,
    ) {
        let mut swarm = Swarm::new();
        for step in steps {
            swarm.step(step);
            swarm.check();
        }
        if is_dropped {
            // The swarm ends with open connections.
            swarm.behaviour = Behaviour::new(&Resources::new(swarm.manager.clone()));
            swarm.pending.clear();
            swarm.established.clear();
        }
        while let Some(number) = chosen(&swarm.established, 0) {
            swarm.close(number);
        }
        while let Some((number, direction)) = swarm.pending.pop_first() {
            swarm.fail(number, direction);
        }
        swarm.check_zero();
        prop_assert!(swarm.behaviour.connections.is_empty());
    }
}

#[test]
fn a_dial_is_charged_with_the_descriptor_that_one_of_its_addresses_may_use() {
    for (addresses, fd) in [
        (vec![], 1),
        (vec![0], 1),
        (vec![1], 0),
        (vec![1, 1], 0),
        (vec![1, 0], 1),
    ] {
        let mut swarm = Swarm::new();
        swarm.step(Step::Dial {
            addresses,
            is_denied: false,
        });
        assert_eq!(swarm.manager.stat().system.fd, fd);
    }
}

#[test]
fn a_dial_of_one_address_is_limited_by_that_address() {
    let mut swarm = Swarm::new();
    swarm.manager.set_limits(limits(0, 2));
    for (addresses, count) in [(vec![3], 1), (vec![3, 3], 1), (vec![0], 1), (vec![], 1)] {
        swarm.step(Step::Dial {
            addresses,
            is_denied: false,
        });
        // Only the first one is allowlisted.
        let stat = swarm.manager.stat();
        assert_eq!(stat.allowlisted_system.conns_outbound, count);
        assert!(stat.system.is_zero());
    }
}

#[test]
fn a_connection_that_was_pending_before_the_behaviour_was_in_use_is_charged_when_it_is_established()
{
    let mut swarm = Swarm::new();
    for (number, direction) in [(1, Direction::Inbound), (2, Direction::Outbound)] {
        swarm.pending.insert(number, direction);
        swarm.establish(number, swarm.peers[0], &address(0), false);
        swarm.check();
    }
    assert_eq!(swarm.manager.stat().system.fd, 2);
    // The limit of the peer holds for them, too.
    swarm.pending.insert(3, Direction::Inbound);
    swarm.establish(3, swarm.peers[0], &address(0), false);
    assert_eq!(swarm.established.len(), 2);
    swarm.check();
    swarm.close(1);
    swarm.close(2);
    swarm.check_zero();
}
