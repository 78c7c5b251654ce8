//! The mutex engine does what the atomic engine does: it grants the same operations, refuses the same
//! by the same scope, and the same is in use after each.

use std::sync::Arc;

use fastrand::Rng;
use rcmgr_atomic::{
    AddressLimits, Endpoint, Error, Limit, LimitValue, Limits, Manager, ManagerStat, Priority,
    Resource, ScopeClass, SystemClock,
};
use rcmgr_study::{MutexResourceManager, peer};
use rcmgr_testkit::{Engine, Kind, RandomOps, Session};

/// Every scope is tight, each in another way.
fn limits() -> Limits {
    let all = |memory: u64, slots: u64| Limit {
        memory: memory.into(),
        ..Limit::all(LimitValue::Limited(slots))
    };
    let mut limits = Limits::unlimited();
    limits.system = all(4000, 12);
    limits.transient = all(1500, 6);
    limits.service_default = Some(all(2500, 7));
    limits.service_peer_default = all(1200, 4);
    limits.protocol_default = all(2600, 8);
    limits.protocol_peer_default = all(1300, 4);
    limits.peer_default = all(1800, 5);
    limits.conn = all(900, 1);
    limits.stream = all(800, 1);
    limits
}

/// Operations of these kinds besides those that every sequence has.
fn operations(more: &[(u32, Kind)]) -> RandomOps {
    let mut kinds = vec![
        (2, Kind::OpenConnection),
        (3, Kind::OpenStream),
        (1, Kind::OpenStreamWith),
        (1, Kind::OpenStreamThrough),
        (2, Kind::SetPeer),
        (2, Kind::SetProtocol),
        (2, Kind::SetService),
        (5, Kind::Reserve),
        (1, Kind::Hold),
        (1, Kind::Done),
        (2, Kind::Drop),
    ];
    kinds.extend(more);
    RandomOps {
        kinds,
        on_shared: 0,
        peers: (0..3).map(peer).collect(),
        protocols: ["a", "b", "c"].map(Into::into).to_vec(),
        services: ["a", "b", "c"].map(Into::into).to_vec(),
        endpoints: vec![Endpoint::None],
        addresses: AddressLimits::default(),
        priorities: [101, 152, 255].map(Priority::Level).to_vec(),
        size: |rng| rng.u64(1..600),
    }
}

/// The usage, without names that use nothing: one manager forgets them, the other does not.
fn used<M: Engine>(session: &Session<M>) -> ManagerStat {
    let mut stat = session.manager.stat();
    stat.services.retain(|_, used| !used.is_zero());
    stat.protocols.retain(|_, used| !used.is_zero());
    stat.peers.retain(|_, used| !used.is_zero());
    stat
}

/// Why an operation was refused, without the numbers of connections and streams.
#[derive(Debug, PartialEq, Eq)]
enum Why {
    Limit(ScopeClass, Resource, u64, LimitValue),
    Other(String),
}

fn why(refused: &Error) -> Why {
    match refused {
        Error::LimitExceeded(why) => {
            Why::Limit(why.scope.class(), why.resource, why.used, why.limit)
        }
        Error::ScopeClosed { .. } => Why::Other("closed".to_owned()),
        Error::AlreadyAttached { to, .. } => Why::Other(format!("attached to a {to}")),
        Error::NoProtocol { .. } => Why::Other("no protocol".to_owned()),
        Error::NoPeer { .. } => Why::Other("no peer".to_owned()),
        other => Why::Other(other.to_string()),
    }
}

fn compare(operations: &RandomOps) {
    let mut granted = 0;
    let mut refused = 0;
    for seed in 0..200 {
        let mut rng = Rng::with_seed(seed);
        let clock = Arc::new(SystemClock::new());
        let one = Session::new(MutexResourceManager::new(limits(), clock), 24);
        let other = Session::new(Manager::new(limits()).unwrap(), 24);
        for _ in 0..100 {
            let op = operations.draw(&mut rng);
            let did = one.perform(&op).map_err(|error| why(&error));
            let should = other.perform(&op).map_err(|error| why(&error));
            assert_eq!(did, should, "seed {seed}, {op:?}");
            assert_eq!(used(&one), used(&other), "seed {seed}, {op:?}");
            match did {
                Ok(()) => granted += 1,
                Err(_) => refused += 1,
            }
        }
    }
    assert!(granted > 1000 && refused > 1000, "{granted} and {refused}");
}

// The mutex engine does not tell the memory of a scope from that of its spans. So a sequence either has
// spans or releases a part of what is held.

#[test]
fn it_grants_refuses_and_counts_the_same_with_spans() {
    compare(&operations(&[(2, Kind::BeginSpan)]));
}

#[test]
fn it_grants_refuses_and_counts_the_same_with_releases() {
    compare(&operations(&[(2, Kind::Release), (1, Kind::ReleaseAll)]));
}
