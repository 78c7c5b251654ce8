//! Scopes hold prepaid connections, for each thread some. They show in no usage and cause no
//! refusal, and every limit is kept to the last connection.

use std::thread;

use rcmgr_atomic::{
    Connection, Direction, Endpoint, Error, Limit, Limits, Manager, PeerId, Resource, ScopeId,
    UsesFd,
};

/// High enough that each thread gets some prepaid connections below it.
const LIMIT: u64 = 2000;

/// More threads than the engine has shards.
const THREADS: usize = 12;

/// More than the charges after which a scope has prepaid connections.
const OFTEN: usize = 200;

fn manager(limits: Limits) -> Manager {
    Manager::new(limits).expect("the limits work")
}

fn open(manager: &Manager, uses_fd: UsesFd) -> Result<Connection, Error> {
    manager.open_connection(Direction::Inbound, uses_fd, Endpoint::None)
}

fn peer() -> PeerId {
    "192.0.2.7".parse().expect("a peer id")
}

/// Several threads open and close connections, so that each has some prepaid ones.
fn use_all_shards(manager: &Manager) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..OFTEN {
                    let connection = open(manager, UsesFd::Yes).expect("there is room");
                    connection.set_peer(&peer()).expect("there is room");
                }
            });
        }
    });
}

/// The limit that was reached: the scope, the resource, the usage.
fn reached(refused: Error) -> (ScopeId, Resource, u64) {
    match refused {
        Error::LimitExceeded(reached) => (reached.scope.scope, reached.resource, reached.used),
        other => panic!("{other}"),
    }
}

/// Opens connections until one is refused. Returns them, and the limit that was reached.
fn fill(manager: &Manager, uses_fd: UsesFd) -> (Vec<Connection>, (ScopeId, Resource, u64)) {
    let mut connections = Vec::new();
    loop {
        match open(manager, uses_fd) {
            Ok(connection) => connections.push(connection),
            Err(refused) => return (connections, reached(refused)),
        }
    }
}

#[test]
fn all_connections_under_a_limit_are_granted_although_other_threads_have_prepaid_ones() {
    for scope in [ScopeId::System, ScopeId::Transient] {
        let mut limits = Limits::unlimited();
        let limit = Limit {
            conns_inbound: LIMIT.into(),
            ..Limit::UNLIMITED
        };
        match scope {
            ScopeId::System => limits.system = limit,
            _ => limits.transient = limit,
        }
        let manager = manager(limits);
        use_all_shards(&manager);
        for _ in 0..3 {
            let (connections, last) = fill(&manager, UsesFd::No);
            assert_eq!(connections.len() as u64, LIMIT);
            assert_eq!(last, (scope.clone(), Resource::ConnsInbound, LIMIT));
            assert_eq!(manager.stat().system.conns_inbound, LIMIT);
        }
    }
}

#[test]
fn prepaid_connections_show_in_no_usage() {
    let manager = manager(Limits::unlimited());
    use_all_shards(&manager);
    let stat = manager.stat();
    assert!(stat.system.is_zero() && stat.transient.is_zero() && stat.peers.is_empty());
    let connection = open(&manager, UsesFd::Yes).unwrap();
    for usage in [manager.stat().system, manager.stat().transient] {
        assert_eq!((usage.conns_inbound, usage.fd), (1, 1));
    }
    connection.set_peer(&peer()).unwrap();
    assert!(manager.stat().transient.is_zero());
    drop(connection);
    assert!(manager.stat().system.is_zero());
}

#[test]
fn a_lowered_limit_is_kept_although_connections_are_prepaid() {
    let manager = manager(Limits::unlimited());
    use_all_shards(&manager);
    let held: Vec<_> = (0..10).map(|_| open(&manager, UsesFd::Yes)).collect();
    let mut limits = Limits::unlimited();
    limits.system.fd = 12.into();
    manager.set_limits(limits);
    let (connections, last) = fill(&manager, UsesFd::Yes);
    assert_eq!((held.len(), connections.len()), (10, 2));
    assert_eq!(last, (ScopeId::System, Resource::Fd, 12));
}

#[test]
fn a_connection_without_room_for_its_descriptor_takes_nothing() {
    let mut limits = Limits::unlimited();
    limits.system.fd = LIMIT.into();
    let manager = manager(limits);
    use_all_shards(&manager);
    let (with_fd, last) = fill(&manager, UsesFd::Yes);
    assert_eq!(last, (ScopeId::System, Resource::Fd, LIMIT));
    let without_fd: Vec<_> = (0..10).map(|_| open(&manager, UsesFd::No)).collect();
    assert!(without_fd.iter().all(Result::is_ok));
    let stat = manager.stat().system;
    assert_eq!((stat.conns_inbound, stat.fd), (LIMIT + 10, LIMIT));
    drop((with_fd, without_fd));
    assert!(manager.stat().system.is_zero());
}

/// Every scope lends from its first charge on: the peer does, too, although no threads contend.
#[test]
fn a_peer_with_prepaid_connections_keeps_its_limit_and_is_collected() {
    let mut limits = Limits::unlimited();
    limits.peer_default.conns = LIMIT.into();
    let builder = Manager::builder().limits(limits).credit_after(0);
    let manager = builder.build().expect("the limits work");
    for _ in 0..2 {
        use_all_shards(&manager);
        assert!(manager.peers().is_empty());
        let connect = || {
            let connection = open(&manager, UsesFd::No).expect("there is room");
            connection.set_peer(&peer()).map(|()| connection)
        };
        let anchor = connect();
        use_all_shards(&manager);
        let connections: Vec<_> = (1..LIMIT).map(|_| connect()).collect();
        assert!(connections.iter().all(Result::is_ok));
        let refused = reached(connect().map(drop).unwrap_err());
        assert_eq!(refused, (ScopeId::Peer(peer()), Resource::Conns, LIMIT));
        assert_eq!(manager.stat().peers[&peer()].conns_inbound, LIMIT);
        drop((anchor, connections));
        assert!(manager.stat().system.is_zero() && manager.peers().is_empty());
    }
}
