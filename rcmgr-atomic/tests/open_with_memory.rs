//! Connections that hold memory from the start: what users can rely on, and random sequences beside a
//! model of a few lines.

use std::net::IpAddr;

use proptest::prelude::*;
use rcmgr_atomic::address::{AddressConfig, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{
    Connection, Direction, Limit, LimitValue, Limits, Manager, Priority, Result, ScopeClass,
    ScopeStat, UsesFd,
};

/// An address on the allowlist, and one that is not on it.
const TRUSTED: &str = "192.0.2.7";
const STRANGE: &str = "198.51.100.1";
/// The limit of connections of each address that is not trusted.
const OF_AN_ADDRESS: u64 = 3;

fn manager(limits: Limits) -> Manager {
    let addresses = AddressConfig {
        allowlist: vec!["/ip4/192.0.2.0/ipcidr/24".parse().unwrap()],
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: OF_AN_ADDRESS,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    };
    let builder = Manager::builder().limits(limits).addresses(addresses);
    builder.build().unwrap()
}

fn open(manager: &Manager, from: &str, memory: u64) -> Result<Connection> {
    let ip: IpAddr = from.parse().unwrap();
    let (inbound, priority) = (Direction::Inbound, Priority::Always);
    manager.open_connection_with_memory(inbound, UsesFd::Yes, ip, memory, priority)
}

fn memory(bytes: u64) -> Limit {
    Limit {
        memory: bytes.into(),
        ..Limit::UNLIMITED
    }
}

fn holds(stat: ScopeStat) -> (u64, u64) {
    (stat.conns_inbound, stat.memory)
}

#[test]
fn a_trusted_peer_is_let_in_when_the_standard_scopes_have_room_for_its_connection_alone() {
    let mut limits = Limits::unlimited();
    limits.transient = memory(100);
    let manager = manager(limits);
    let _stranger = open(&manager, STRANGE, 60).unwrap();
    let trusted = open(&manager, TRUSTED, 60).unwrap();
    let stat = manager.stat();
    assert_eq!(holds(stat.system), (1, 60));
    assert_eq!(holds(stat.transient), (1, 60));
    assert_eq!(holds(stat.allowlisted_system), (1, 60));
    assert_eq!(holds(stat.allowlisted_transient), (1, 60));
    assert_eq!(trusted.stat().memory, 60);
    drop(trusted);
    assert!(manager.stat().allowlisted_system.is_zero());
}

#[test]
fn a_stranger_without_room_for_its_memory_is_refused_and_holds_nothing() {
    let mut limits = Limits::unlimited();
    limits.system = memory(100);
    let manager = manager(limits);
    for _ in 0..2 * OF_AN_ADDRESS {
        let refused = open(&manager, STRANGE, 101).unwrap_err();
        let why = "system refused 101 bytes of memory: 0 of 100 in use";
        assert!(refused.to_string().starts_with(why), "{refused}");
        assert!(manager.stat().system.is_zero());
    }
    // It has all its permits.
    let _open: Vec<_> = (0..OF_AN_ADDRESS)
        .map(|_| open(&manager, STRANGE, 1).unwrap())
        .collect();
}

#[test]
fn a_trusted_peer_without_room_for_its_memory_in_the_allowlisted_scopes_is_refused_by_them() {
    let mut limits = Limits::unlimited();
    limits.system = memory(100);
    limits.allowlisted_system = memory(50);
    let manager = manager(limits);
    let refused = open(&manager, TRUSTED, 101).unwrap_err().to_string();
    let why = "allowlistedSystem refused 101 bytes of memory: 0 of 50 in use";
    assert!(refused.starts_with(why), "{refused}");
    let stat = manager.stat();
    assert!(stat.system.is_zero() && stat.allowlisted_system.is_zero());
    for class in [ScopeClass::System, ScopeClass::AllowlistedSystem] {
        assert_eq!(manager.refusals(class).memory, 1, "{class:?}");
    }
}

#[test]
fn a_trusted_peer_that_the_allowlisted_scopes_took_is_not_asked_about_again() {
    let mut limits = Limits::unlimited();
    limits.system.conns = 0.into();
    limits.allowlisted_system = memory(50);
    let manager = manager(limits);
    open(&manager, TRUSTED, 51).unwrap_err();
    assert_eq!(manager.refusals(ScopeClass::AllowlistedSystem).memory, 1);
    assert!(manager.stat().allowlisted_system.is_zero());
}

#[test]
fn the_limit_of_the_connection_itself_refuses_its_memory_on_the_allowlist_too() {
    let mut limits = Limits::unlimited();
    limits.conn = memory(50);
    let manager = manager(limits);
    for from in [TRUSTED, STRANGE] {
        let refused = open(&manager, from, 51).unwrap_err().to_string();
        assert!(refused.starts_with("conn"), "{refused}");
    }
    let stat = manager.stat();
    assert!(stat.system.is_zero() && stat.allowlisted_system.is_zero());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Open { is_trusted: bool, memory: u64 },
    Close(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let open = |(is_trusted, memory)| Step::Open { is_trusted, memory };
    prop_oneof![
        3 => (any::<bool>(), 0..60_u64).prop_map(open),
        1 => any::<usize>().prop_map(Step::Close),
    ]
}

/// Limits of connections and of memory.
fn pair() -> impl Strategy<Value = [u64; 2]> {
    [0..5_u64, 0..150_u64]
}

/// A scope of the model: its limits, and the connections with the memory that it holds.
#[derive(Debug, Clone)]
struct Scopes {
    most: [u64; 2],
    held: Vec<u64>,
}

impl Scopes {
    fn has_room(&self, memory: u64) -> bool {
        (self.held.len() as u64) < self.most[0] && self.memory() + memory <= self.most[1]
    }

    fn memory(&self) -> u64 {
        self.held.iter().sum()
    }

    fn holds(&self) -> (u64, u64) {
        (self.held.len() as u64, self.memory())
    }
}

proptest! {
    #[test]
    fn random_connections_are_charged_with_their_memory_or_not_at_all(
        most in [pair(), pair()],
        steps in prop::collection::vec(step(), 1..60),
    ) {
        let mut limits = Limits::unlimited();
        for (limit, [conns, memory]) in
            [&mut limits.system, &mut limits.allowlisted_system].into_iter().zip(most)
        {
            limit.conns = conns.into();
            limit.memory = LimitValue::Limited(memory);
        }
        let manager = manager(limits);
        let mut model = most.map(|most| Scopes { most, held: Vec::new() });
        // The handles, with the index of their scopes in the model.
        let mut opened: Vec<(Connection, usize, bool)> = Vec::new();
        for step in steps {
            match step {
                Step::Open { is_trusted, memory } => {
                    // All of an allowlisted network have as many permits as the allowlisted scopes
                    // may have connections. On those scopes, a connection needs none.
                    let permits = if is_trusted { most[1][0] } else { OF_AN_ADDRESS };
                    let used = opened.iter().filter(|it| it.1 == 0 && it.2 == is_trusted);
                    let has_permit = (used.count() as u64) < permits;
                    let from = if is_trusted { TRUSTED } else { STRANGE };
                    let expected = match (has_permit, is_trusted) {
                        (false, _) => None,
                        (true, _) if model[0].has_room(memory) => Some(0),
                        (true, true) if model[1].has_room(memory) => Some(1),
                        (true, _) => None,
                    };
                    let got = open(&manager, from, memory);
                    prop_assert_eq!(got.is_ok(), expected.is_some(), "{:?}", got);
                    if let (Ok(connection), Some(at)) = (got, expected) {
                        model[at].held.push(memory);
                        opened.push((connection, at, is_trusted));
                    }
                }
                Step::Close(which) if !opened.is_empty() => {
                    let which = which % opened.len();
                    let (connection, at, _) = opened.swap_remove(which);
                    let memory = connection.stat().memory;
                    let held = &mut model[at].held;
                    let index = held.iter().position(|&held| held == memory).unwrap();
                    held.swap_remove(index);
                }
                Step::Close(_) => {}
            }
            let stat = manager.stat();
            prop_assert_eq!(holds(stat.system), model[0].holds());
            prop_assert_eq!(holds(stat.transient), model[0].holds());
            prop_assert_eq!(holds(stat.allowlisted_system), model[1].holds());
            prop_assert_eq!(holds(stat.allowlisted_transient), model[1].holds());
        }
        drop(opened);
        let stat = manager.stat();
        prop_assert!(stat.system.is_zero() && stat.allowlisted_system.is_zero());
    }
}
