//! What users of a manager can rely on when connections have addresses, one sentence each.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rcmgr_atomic::address::{
    AddressConfig, AddressLimits, AllowlistEntry, RateLimits, SubnetLimit, SubnetLimits,
};
use rcmgr_atomic::{
    Clock, Connection, Direction, Endpoint, Error, Limit, Limits, Manager, PeerId, Priority,
    Result, ScopeId, UsesFd,
};

const ADA: &str = "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv";
/// An address on the allowlist for everyone, one for Ada alone, and one that is not on it.
const FOR_ALL: &str = "10.0.0.1";
const FOR_ADA: &str = "192.0.2.1";
const STRANGE: &str = "198.51.100.1";

fn ada() -> PeerId {
    ADA.parse().unwrap()
}

fn eve() -> PeerId {
    "eve".parse().unwrap()
}

fn manager(tighten: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    tighten(&mut limits);
    let for_ada = format!("/ip4/{FOR_ADA}/p2p/{ADA}");
    let allowlist = ["/ip4/10.0.0.0/ipcidr/8", &for_ada].map(|entry| entry.parse().unwrap());
    Manager::builder()
        .limits(limits)
        .addresses(AddressConfig {
            allowlist: allowlist.to_vec(),
            rates: RateLimits::none(),
            ..AddressConfig::reference_defaults()
        })
        .build()
        .unwrap()
}

fn open(manager: &Manager, from: &str) -> Result<Connection> {
    let ip: IpAddr = from.parse().unwrap();
    manager.open_connection(Direction::Inbound, UsesFd::Yes, ip)
}

fn refused_by(error: &Error) -> &ScopeId {
    &error.scope().expect("a scope refused").scope
}

#[test]
fn a_ninth_connection_from_one_address_is_refused_until_one_is_done() {
    let manager = manager(|_| {});
    let mut connections: Vec<_> = (0..8).map(|_| open(&manager, STRANGE).unwrap()).collect();
    let refused = open(&manager, STRANGE).unwrap_err();
    assert!(refused.is_temporary());
    assert_eq!(
        refused.to_string(),
        "subnet 198.51.100.1/32 refused a connection from 198.51.100.1: 8 of 8 in use",
    );
    assert_eq!(manager.stat().system.conns_inbound, 8);

    // A second `done` gives back nothing.
    connections[0].done();
    connections[0].done();
    connections[0] = open(&manager, STRANGE).unwrap();
    assert!(open(&manager, STRANGE).is_err());
    drop(connections);
    assert_eq!(manager.addresses().stat().permits, 0);
}

#[test]
fn a_connection_that_a_scope_refuses_keeps_no_permit_in_its_subnet() {
    let manager = manager(|limits| limits.conn = Limit::BLOCK_ALL);
    assert!(matches!(
        open(&manager, STRANGE),
        Err(Error::LimitExceeded(_))
    ));
    assert_eq!(manager.addresses().stat().permits, 0);
}

#[test]
fn an_allowlisted_address_gets_in_while_the_system_is_full() {
    let manager = manager(|limits| {
        limits.system.conns = 1.into();
        // The network on the allowlist may have as many connections as the allowlisted system scope.
        limits.allowlisted_system.conns = 100.into();
    });
    let first = open(&manager, FOR_ALL).unwrap();
    assert_eq!(manager.stat().system.conns_inbound, 1);
    assert_eq!(
        *refused_by(&open(&manager, STRANGE).unwrap_err()),
        ScopeId::System
    );

    let second = open(&manager, FOR_ALL).unwrap();
    let stat = manager.stat();
    assert_eq!(stat.system.conns_inbound, 1);
    assert_eq!(stat.allowlisted_system.conns_inbound, 1);
    assert_eq!(stat.allowlisted_transient.conns_inbound, 1);
    // On the allowlisted scopes it has no permit in its subnet.
    assert_eq!(manager.addresses().stat().permits, 1);

    second.set_peer(&eve()).unwrap();
    second.set_service("web").unwrap();
    second.reserve_memory(7, Priority::Always).unwrap();
    let stat = manager.stat();
    assert!(stat.allowlisted_transient.is_zero());
    assert_eq!(stat.allowlisted_system.memory, 7);
    assert_eq!(stat.peers[&eve()].memory, 7);
    assert_eq!(stat.services["web"].memory, 7);
    assert_eq!(stat.system.memory, 0);

    drop((first, second));
    let stat = manager.stat();
    assert!(stat.allowlisted_system.is_zero() && stat.system.is_zero());
}

#[test]
fn the_error_names_the_allowlisted_scope_if_it_refuses_too() {
    let manager = manager(|limits| {
        limits.system = Limit::BLOCK_ALL;
        limits.allowlisted_system.conns_inbound = 0.into();
    });
    let refused = open(&manager, FOR_ADA).unwrap_err();
    assert_eq!(*refused_by(&refused), ScopeId::AllowlistedSystem);
}

#[test]
fn a_peer_that_is_not_on_the_allowlist_is_moved_to_the_standard_scopes() {
    let manager = manager(|limits| limits.system.conns = 1.into());
    let filler = open(&manager, STRANGE).unwrap();
    let connection = open(&manager, FOR_ADA).unwrap();
    connection.reserve_memory(7, Priority::Always).unwrap();
    drop(filler);
    connection.set_peer(&eve()).unwrap();
    let stat = manager.stat();
    assert!(stat.allowlisted_system.is_zero() && stat.allowlisted_transient.is_zero());
    assert_eq!((stat.system.memory, stat.system.conns_inbound), (7, 1));
    assert!(stat.transient.is_zero());

    let again = connection.set_peer(&ada()).unwrap_err();
    assert!(matches!(again, Error::AlreadyAttached { .. }));
    assert_eq!(connection.peer(), Some(eve()));
}

#[test]
fn a_peer_on_the_allowlist_stays_on_its_scopes() {
    let manager = manager(|limits| limits.system = Limit::BLOCK_ALL);
    let connection = open(&manager, FOR_ADA).unwrap();
    connection.set_peer(&ada()).unwrap();
    let stat = manager.stat();
    assert_eq!(stat.allowlisted_system.conns_inbound, 1);
    assert_eq!(stat.peers[&ada()].conns_inbound, 1);
    assert!(stat.system.is_zero());
}

#[test]
fn a_connection_that_allowlist_and_system_refuse_can_only_be_closed() {
    for (blocked, is_left_on_system) in [(ScopeId::System, false), (ScopeId::Transient, true)] {
        let manager = manager(|limits| limits.system = Limit::BLOCK_ALL);
        let connection = open(&manager, FOR_ADA).unwrap();
        connection.set_service("web").unwrap();
        let other = open(&manager, FOR_ADA).unwrap();
        let mut limits = Limits::unlimited();
        match blocked {
            ScopeId::System => limits.system = Limit::BLOCK_ALL,
            _ => limits.transient = Limit::BLOCK_ALL,
        }
        manager.set_limits(limits);

        let refused = other.set_peer(&eve()).unwrap_err();
        assert_eq!(*refused_by(&refused), blocked);
        let stat = manager.stat();
        assert_eq!(
            stat.allowlisted_system.conns_inbound, 1,
            "the other's is given back"
        );
        assert!(stat.allowlisted_transient.is_zero());
        assert_eq!(stat.system.conns_inbound, u64::from(is_left_on_system));
        assert_eq!(other.stat().conns_inbound, 1);
        assert!(matches!(
            other.set_peer(&ada()),
            Err(Error::ScopeClosed { .. })
        ));
        assert!(matches!(
            other.set_service("web"),
            Err(Error::ScopeClosed { .. })
        ));
        assert!(matches!(
            other.reserve_memory(1, Priority::Always),
            Err(Error::ScopeClosed { .. })
        ));

        // A connection with a service is not charged on a transient scope.
        let moved = connection.set_peer(&eve());
        assert_eq!(moved.is_ok(), is_left_on_system);
        drop((connection, other));
        let stat = manager.stat();
        assert!(stat.allowlisted_system.is_zero() && stat.system.is_zero());
        assert!(stat.services["web"].is_zero());
    }
}

#[test]
fn the_allowlist_and_the_limits_by_address_change_while_the_manager_runs() {
    let manager = manager(|limits| limits.system = Limit::BLOCK_ALL);
    let addresses = manager.addresses();
    assert!(open(&manager, STRANGE).is_err());
    let entry = format!("/ip4/{STRANGE}").parse().unwrap();
    assert!(addresses.allowlist().add(entry));
    drop(open(&manager, STRANGE).unwrap());
    assert!(addresses.allowlist().remove(&entry));
    assert!(open(&manager, STRANGE).is_err());

    let mut subnets = addresses.limits().subnets.clone();
    subnets.v4[0].conns = 0;
    addresses.change(|config| config.subnets = subnets).unwrap();
    assert!(matches!(
        open(&manager, STRANGE),
        Err(Error::SubnetLimit(_))
    ));
}

#[test]
fn the_limits_of_a_manager_are_those_in_force_by_address_too() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let rates = RateLimits::reference_defaults();
    let change = |config: &mut AddressConfig| config.rates = rates.clone();
    manager.addresses().change(change).unwrap();
    assert_eq!(manager.limits().addresses.rates, rates);

    // Limits that were taken from the manager and set again keep them.
    let mut limits = Limits::clone(&manager.limits());
    limits.system.conns = 7.into();
    manager.set_limits(limits.clone());
    assert_eq!(manager.addresses().limits().rates, rates);
    assert_eq!(*manager.limits(), limits);

    // Others replace them with all the rest.
    manager.set_limits(Limits::unlimited());
    assert!(manager.addresses().limits().limit_nothing());
}

#[test]
fn the_limit_of_an_allowlisted_network_follows_the_allowlisted_system_scope() {
    let manager = manager(|limits| limits.allowlisted_system.conns = 2.into());
    let first = [(); 2].map(|()| open(&manager, FOR_ALL).unwrap());
    assert!(matches!(
        open(&manager, FOR_ALL),
        Err(Error::SubnetLimit(_))
    ));
    let mut limits = (*manager.limits()).clone();
    limits.allowlisted_system.conns = 3.into();
    manager.set_limits(limits);
    let third = open(&manager, FOR_ALL).unwrap();
    assert!(open(&manager, FOR_ALL).is_err());
    drop((first, third));
    assert_eq!(manager.addresses().stat().permits, 0);
}

#[derive(Debug, Default)]
struct TestClock(AtomicU64);

impl Clock for TestClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn by_default_nothing_is_limited_by_address() {
    let built = Manager::builder().build().unwrap();
    for manager in [Manager::new(Limits::unlimited()).unwrap(), built] {
        // One after the other: a rate would refuse some.
        for _ in 0..100 {
            drop(open(&manager, STRANGE).unwrap());
        }
        // At the same time: a limit of a subnet would refuse some.
        let open: Vec<_> = (0..100).map(|_| open(&manager, STRANGE).unwrap()).collect();
        assert_eq!(manager.stat().system.conns_inbound, 100);
        drop(open);
        let stat = manager.addresses().stat();
        assert_eq!((stat.refused_by_rate, stat.refused_by_subnet), (0, 0));
    }
}

#[test]
fn a_manager_of_limits_enforces_their_limits_by_address() {
    let mut limits = Limits::unlimited();
    let config = AddressConfig::reference_defaults();
    limits.addresses = AddressLimits::new(config).unwrap();
    let manager = Manager::new(limits.clone()).unwrap();
    let _open: Vec<_> = (0..8).map(|_| open(&manager, STRANGE).unwrap()).collect();
    let refused = open(&manager, STRANGE).unwrap_err();
    assert!(matches!(refused, Error::SubnetLimit(_)), "{refused}");
    assert_eq!(manager.limits().addresses, limits.addresses);
}

#[test]
fn the_rate_of_connections_from_one_address_is_limited_where_it_is_asked_for() {
    let clock = Arc::new(TestClock::default());
    let manager = Manager::builder()
        .clock(clock.clone())
        .addresses(AddressConfig::reference_defaults())
        .build()
        .unwrap();
    for _ in 0..16 {
        drop(open(&manager, STRANGE).unwrap());
    }
    let refused = open(&manager, STRANGE).unwrap_err();
    assert!(matches!(refused, Error::RateLimit(_)), "{refused}");
    assert!(refused.is_temporary() && refused.scope().is_none());
    drop(open(&manager, "198.51.100.2").unwrap());
    clock.0.store(5, Ordering::Relaxed);
    drop(open(&manager, STRANGE).unwrap());
    assert!(open(&manager, STRANGE).is_err());
    for _ in 0..1000 {
        drop(open(&manager, "127.0.0.1").unwrap());
    }
    let relayed: rcmgr_atomic::multiaddr::Multiaddr =
        "/ip4/198.51.100.1/tcp/1/p2p-circuit".parse().unwrap();
    let relayed = Endpoint::from(relayed);
    drop(
        manager
            .open_connection(Direction::Inbound, UsesFd::No, relayed)
            .unwrap(),
    );
}

#[test]
fn an_allowlist_entry_that_names_no_address_is_refused_with_its_text() {
    let read = "/dns4/example.com/tcp/1".parse::<AllowlistEntry>();
    let error = Error::from(read.expect_err("it has no IP address"));
    assert!(matches!(error, Error::BadConfiguration(_)));
    assert!(error.to_string().contains("example.com"), "{error}");
}

#[test]
fn a_source_address_must_be_verified_when_many_connections_come_from_it() {
    let manager = manager(|_| {});
    let ip: IpAddr = STRANGE.parse().unwrap();
    // Half of the limit of connections.
    for _ in 0..4 {
        assert!(!manager.verify_source_address(ip));
    }
    assert!(manager.verify_source_address(ip));
    assert!(!manager.verify_source_address([127, 0, 0, 1].into()));
}

/// The longer the list of scopes, the longer a change of all limits takes.
#[test]
fn a_change_of_the_limits_by_address_right_after_a_change_of_all_limits_stays() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    let peers = (0..5_000).map(|peer| format!("peer-{peer}").parse().unwrap());
    let open = |peer| manager.open_stream(&peer, Direction::Inbound).unwrap();
    let _streams: Vec<_> = peers.map(open).collect();
    let with_conns = |conns| {
        let v4 = vec![SubnetLimit {
            prefix_len: 32,
            conns,
        }];
        SubnetLimits {
            v4,
            ..SubnetLimits::none()
        }
    };
    for round in 0..20 {
        let mut limits = Limits::unlimited();
        let mut config = AddressConfig::none();
        config.subnets = with_conns(2 * round);
        limits.addresses = AddressLimits::new(config).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| manager.set_limits(limits.clone()));
            let addresses = manager.addresses();
            while addresses.limits() != limits.addresses {
                thread::yield_now();
            }
            let changed = addresses.change(|config| config.subnets = with_conns(2 * round + 1));
            changed.unwrap();
        });
        assert_eq!(
            manager.limits().addresses.subnets,
            with_conns(2 * round + 1)
        );
    }
}
