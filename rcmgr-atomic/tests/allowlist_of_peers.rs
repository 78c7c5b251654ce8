//! An allowlist of peers alone: what users can rely on, one sentence each.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use rcmgr_atomic::address::AddressConfig;
use rcmgr_atomic::record::{Record, Recorder};
use rcmgr_atomic::{
    Connection, Direction, Endpoint, Error, Limit, LimitValue, Limits, Manager, PeerId, Result,
    ScopeClass, ScopeId, UsesFd,
};

const ADA: &str = "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv";
/// An address on the allowlist for everyone, one for Ada alone, and one that is not on it.
const FOR_ALL: &str = "10.0.0.1";
const FOR_ADA: &str = "192.0.2.1";
const STRANGE: &str = "198.51.100.1";

fn ada() -> PeerId {
    ADA.parse().unwrap()
}

fn allowlist() -> AddressConfig {
    let of_ada = format!("/p2p/{ADA}");
    let at_home = format!("/ip4/{FOR_ADA}/p2p/{ADA}");
    let entries = [&of_ada, &at_home, "/ip4/10.0.0.0/ipcidr/8"];
    AddressConfig {
        allowlist: entries.map(|entry| entry.parse().unwrap()).to_vec(),
        ..AddressConfig::none()
    }
}

/// Limits with which the standard scopes refuse every connection, and the allowlisted scopes `most`
/// connections.
fn full(most: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system = Limit::BLOCK_ALL;
    limits.allowlisted_transient.conns = most.into();
    limits
}

fn manager(limits: Limits) -> Manager {
    let builder = Manager::builder().limits(limits);
    builder.addresses(allowlist()).build().unwrap()
}

fn open(manager: &Manager, from: &str) -> Result<Connection> {
    let ip: IpAddr = from.parse().unwrap();
    manager.open_connection(Direction::Inbound, UsesFd::Yes, ip)
}

#[derive(Debug, Default)]
struct Scopes(Mutex<Vec<String>>);

impl Recorder for Scopes {
    fn record(&self, record: Record) {
        let scopes: Vec<_> = record
            .scopes()
            .map(|scope| scope.id().to_string())
            .collect();
        let refused = record.refusal().map(|refusal| refusal.scope);
        let line = format!("{:?} {} {refused:?}", record.operation(), scopes.join(" "));
        self.0.lock().unwrap().push(line);
    }
}

fn refused_by(refused: Result<Connection>) -> String {
    refused.unwrap_err().to_string()
}

#[test]
fn strangers_cannot_fill_the_scopes_of_an_allowlist_of_peers_alone() {
    let manager = manager(full(5));
    let strangers: Vec<_> = (0..3).map(|_| open(&manager, STRANGE).unwrap()).collect();
    let why = "allowlistedTransient refused 1 inbound connection: 3 of 3 in use";
    assert!(refused_by(open(&manager, STRANGE)).starts_with(why));
    // An endpoint without an address may be Ada, too.
    let relayed = manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None);
    assert!(refused_by(relayed).starts_with(why));

    // Those from networks on the list are not counted there.
    let _listed = [FOR_ALL, FOR_ADA].map(|from| open(&manager, from).unwrap());
    let stat = manager.stat().allowlisted_transient;
    assert_eq!(stat.conns_inbound, 5);
    let why = "allowlistedTransient refused 1 inbound connection: 5 of 5 in use";
    assert!(refused_by(open(&manager, FOR_ALL)).starts_with(why));

    // All refusals are counted there.
    let refusals = manager.refusals(ScopeClass::AllowlistedTransient);
    assert_eq!(refusals.conns_inbound, 3);
    let mut scopes = manager.scopes().into_iter();
    let report = scopes.find(|scope| scope.id == ScopeId::AllowlistedTransient);
    assert_eq!(report.unwrap().refusals.conns_inbound, 3);
    drop(strangers);
}

#[test]
fn a_place_among_the_unproven_is_given_back_when_the_peer_is_proven_or_moved_or_gone() {
    let mut limits = full(2);
    let manager = manager(limits.clone());
    let is_full = || open(&manager, STRANGE).is_err();

    // Proven: it stays on the allowlisted scopes.
    let proven = open(&manager, STRANGE).unwrap();
    assert!(is_full());
    proven.set_peer(&ada()).unwrap();
    assert_eq!(manager.stat().allowlisted_system.conns_inbound, 1);

    // Closed, once.
    let closed = open(&manager, STRANGE).unwrap();
    assert!(is_full());
    closed.done();
    closed.done();

    // Moved to the standard scopes, which have room now.
    let moved = open(&manager, STRANGE).unwrap();
    limits.addresses = manager.limits().addresses.clone();
    limits.system = Limit::UNLIMITED;
    manager.set_limits(limits.clone());
    moved.set_peer(&"eve".parse().unwrap()).unwrap();
    assert_eq!(manager.stat().system.conns_inbound, 1);

    // Not let into the standard scopes: it is stranded, and has left the allowlisted ones.
    limits.system = Limit::BLOCK_ALL;
    manager.set_limits(limits);
    let stranded = open(&manager, STRANGE).unwrap();
    stranded.set_peer(&"eve".parse().unwrap()).unwrap_err();
    let dropped = open(&manager, STRANGE).unwrap();
    assert!(is_full());
    drop(dropped);
    assert!(open(&manager, STRANGE).is_ok());
    drop((proven, closed, moved, stranded));
    let stat = manager.stat();
    assert!(stat.system.is_zero() && stat.allowlisted_system.is_zero());
}

#[test]
fn a_service_does_not_prove_the_peer_of_a_connection() {
    let manager = manager(full(2));
    let connection = open(&manager, STRANGE).unwrap();
    connection.set_service("web").unwrap();
    assert!(manager.stat().allowlisted_transient.is_zero());
    assert!(open(&manager, STRANGE).is_err());
    connection.set_peer(&ada()).unwrap();
    assert_eq!(manager.stat().services["web"].conns_inbound, 1);
    assert!(open(&manager, STRANGE).is_ok());
}

#[test]
fn strangers_get_half_of_the_lower_limit_of_both_allowlisted_scopes_rounded_up() {
    let unlimited = LimitValue::Unlimited;
    let cases: [([LimitValue; 2], u64); 5] = [
        ([7.into(), unlimited], 4),
        ([1.into(), unlimited], 1),
        ([0.into(), unlimited], 0),
        ([unlimited, 6.into()], 3),
        ([20.into(), 9.into()], 5),
    ];
    for ([transient, system], most) in cases {
        let mut limits = full(0);
        limits.allowlisted_transient.conns = transient;
        limits.allowlisted_system.conns = system;
        let manager = manager(limits);
        let opened: Vec<_> = (0..30)
            .map_while(|_| open(&manager, STRANGE).ok())
            .collect();
        assert_eq!(opened.len() as u64, most, "{transient} {system}");
    }
    let mut limits = full(0);
    limits.allowlisted_transient = Limit::UNLIMITED;
    let manager = manager(limits);
    let opened: Vec<_> = (0..30)
        .map_while(|_| open(&manager, STRANGE).ok())
        .collect();
    assert_eq!(opened.len(), 30);
}

#[test]
fn the_part_for_strangers_follows_a_change_of_limits() {
    let mut limits = full(10);
    let manager = manager(limits.clone());
    let opened: Vec<_> = (0..5).map(|_| open(&manager, STRANGE).unwrap()).collect();
    assert!(open(&manager, STRANGE).is_err());
    limits.addresses = manager.limits().addresses.clone();
    limits.allowlisted_transient.conns = 12.into();
    manager.set_limits(limits.clone());
    let _sixth = open(&manager, STRANGE).unwrap();
    // Those above a lowered limit stay.
    limits.allowlisted_transient.conns = 4.into();
    manager.set_limits(limits);
    assert!(open(&manager, STRANGE).is_err());
    drop(opened);
    assert!(open(&manager, STRANGE).is_ok());
}

#[test]
fn entries_with_an_address_let_in_as_many_as_the_scopes_allow() {
    let manager = manager(full(4));
    let opened: Vec<_> = (0..9).map_while(|_| open(&manager, FOR_ADA).ok()).collect();
    assert_eq!(opened.len(), 4, "as in go-libp2p");
}

#[test]
fn a_recorder_sees_the_scopes_of_a_stranger_once_each() {
    let scopes = Arc::new(Scopes::default());
    let builder = Manager::builder().limits(full(2)).addresses(allowlist());
    let manager = builder.recorder(scopes.clone()).build().unwrap();
    let connection = open(&manager, STRANGE).unwrap();
    assert!(matches!(
        open(&manager, STRANGE),
        Err(Error::LimitExceeded(_))
    ));
    connection.set_peer(&ada()).unwrap();
    drop(connection);
    let seen = std::mem::take(&mut *scopes.0.lock().unwrap());
    let peer = format!("peer:{ADA}");
    let want = [
        "Open transient system Some(Some(1))".to_owned(),
        "Open allowlistedTransient allowlistedSystem None".to_owned(),
        "Open transient system Some(Some(1))".to_owned(),
        "Open allowlistedTransient allowlistedSystem Some(Some(0))".to_owned(),
        format!("Join {peer} None"),
        "Leave allowlistedTransient None".to_owned(),
        format!("End {peer} allowlistedSystem None"),
        format!("Collect {peer} None"),
    ];
    assert_eq!(seen[1..], want, "after the start");
}

#[test]
fn a_connection_that_leaves_the_allowlist_is_recorded_also_if_no_other_scope_takes_it() {
    let scopes = Arc::new(Scopes::default());
    let builder = Manager::builder().limits(full(2)).addresses(allowlist());
    let manager = builder.recorder(scopes.clone()).build().unwrap();
    let connection = open(&manager, FOR_ADA).unwrap();
    assert!(connection.set_peer(&"not-ada".parse().unwrap()).is_err());
    assert!(manager.stat().allowlisted_system.is_zero());
    drop(connection);
    let seen = std::mem::take(&mut *scopes.0.lock().unwrap());
    let left = "Leave allowlistedTransient allowlistedSystem None".to_owned();
    assert!(seen.contains(&left), "{seen:#?}");
    assert_eq!(seen.last().map(String::as_str), Some("End  None"));
}

/// A connection that is opened is not checked for what only a move is checked for. It may fill credit, and
/// that may not pay for a move either.
#[test]
fn a_stranger_moves_to_no_scope_that_is_over_another_limit_although_credit_could_pay() {
    let builder = Manager::builder()
        .limits(Limits::unlimited())
        .credit_after(0);
    let manager = builder.addresses(allowlist()).build().unwrap();
    let held = manager.open_stream(&ada(), Direction::Inbound).unwrap();
    let stranger: PeerId = "stranger".parse().unwrap();
    let streams = |most: u64| {
        manager.view_system().set_limit(Limit::BLOCK_ALL);
        let connection = open(&manager, FOR_ADA).unwrap();
        let mut limit = Limit::UNLIMITED;
        limit.streams = most.into();
        manager.view_system().set_limit(limit);
        for _ in 0..100 {
            drop(open(&manager, STRANGE).unwrap());
        }
        connection
            .set_peer(&stranger)
            .map_err(|error| error.to_string())
    };

    let refused = streams(0).unwrap_err();
    assert!(
        refused.contains("system") && refused.contains("streams"),
        "{refused}"
    );
    streams(1).unwrap();
    drop(held);
    assert!(manager.stat().system.is_zero());
}
