//! Real threads, random operations on handles that they share: no scope is ever seen over its limit,
//! and at the end everything is exactly zero.
//!
//! `RCMGR_STRESS_OPS` says how many operations a test makes (`just stress`: 10 million). A failure
//! names the seed, which `RCMGR_STRESS_SEED` takes.

mod by_memory;

use std::env;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use by_memory::by_memory;
use fastrand::Rng;
use rcmgr_atomic::address::{AddressConfig, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{
    AddressLimits, ConnMemory, Endpoint, Limit, Limits, Manager, Priority, ScopeClass,
};
use rcmgr_testkit::{Handle, Kind, RandomOps, Session};

const PEERS: [&str; 3] = [
    "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
    "bob",
    "eve",
];
/// The allowlist has the network of the first for anyone, and the second for the first peer.
const ADDRESSES: [&str; 4] = ["10.0.0.1", "192.0.2.1", "198.51.100.1", "198.51.100.2"];
const ALLOWLIST: [&str; 2] = [
    "/ip4/10.0.0.0/ipcidr/8",
    "/ip4/192.0.2.1/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
];
const SLOTS: usize = 500;

#[test]
fn two_threads_end_in_exact_zero() {
    stress(2, Reload::Never, 1);
}

#[test]
fn eight_threads_end_in_exact_zero() {
    stress(8, Reload::Never, 1);
}

#[test]
fn eight_threads_end_in_exact_zero_with_room_for_much_credit() {
    stress(8, Reload::Never, 30);
}

#[test]
fn eight_threads_end_in_exact_zero_with_much_credit_while_limits_change() {
    stress(8, Reload::AllTheTime, 30);
}

#[test]
fn eight_threads_end_in_exact_zero_while_limits_change() {
    stress(8, Reload::AllTheTime, 1);
}

#[derive(Clone, Copy, PartialEq)]
enum Reload {
    Never,
    AllTheTime,
}

fn operations() -> RandomOps {
    let ip = |ip: &str| Endpoint::from(ip.parse::<IpAddr>().expect("an address"));
    let mut endpoints: Vec<_> = ADDRESSES.map(ip).to_vec();
    endpoints.push(Endpoint::None);
    RandomOps {
        kinds: vec![
            (2, Kind::OpenConnection),
            (7, Kind::OpenStream),
            (2, Kind::OpenStreamWith),
            (2, Kind::OpenStreamThrough),
            (4, Kind::BeginSpan),
            (6, Kind::SetPeer),
            (6, Kind::SetProtocol),
            (6, Kind::SetService),
            (30, Kind::Reserve),
            (5, Kind::Hold),
            (14, Kind::Release),
            (3, Kind::ReleaseAll),
            (4, Kind::Done),
            (4, Kind::Drop),
        ],
        on_shared: 8,
        peers: PEERS.map(|peer| peer.parse().expect("a peer id")).to_vec(),
        protocols: vec!["/a".into(), "/b".into(), "/c".into()],
        services: vec!["dht".into(), "relay".into()],
        endpoints,
        addresses: addresses(),
        priorities: vec![
            Priority::Low,
            Priority::Medium,
            Priority::High,
            Priority::Always,
            Priority::Always,
        ],
        size: |rng| rng.u64(..1_500),
    }
}

/// Limits that are exceeded all the time. With `room` above one they are exceeded less often, and there
/// is credit of memory and of streams.
fn limits(room: u64) -> Limits {
    let of = |count: u64, memory: u64| Limit {
        memory: (memory * room).into(),
        ..Limit::all((count * room).into())
    };
    let mut limits = Limits::unlimited();
    limits.addresses = addresses();
    limits.system = of(14, 9_000);
    limits.transient = of(6, 4_000);
    limits.allowlisted_system = of(5, 4_000);
    limits.allowlisted_transient = of(4, 3_000);
    limits.service_default = Some(of(8, 6_000));
    limits.service_peer_default = of(4, 3_000);
    limits.protocol_default = of(8, 6_000);
    limits.protocol_peer_default = of(4, 3_000);
    limits.peer_default = of(8, 5_000);
    limits.conn = of(1, 2_000 * room);
    limits.stream = of(1, 2_000 * room);
    limits
}

fn addresses() -> AddressLimits {
    let config = AddressConfig {
        allowlist: ALLOWLIST
            .map(|entry| entry.parse().expect("an entry of the allowlist"))
            .to_vec(),
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: 4,
            }],
            ..SubnetLimits::none()
        },
        ..AddressConfig::none()
    };
    AddressLimits::new(config).expect("the configuration works")
}

fn from_env(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} must be a number, but it is {value:?}")))
}

fn stress(threads: u64, reload: Reload, room: u64) {
    let ops = from_env("RCMGR_STRESS_OPS").unwrap_or(100_000);
    let seed = from_env("RCMGR_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{threads} threads, {ops} operations, RCMGR_STRESS_SEED={seed}");

    let manager = Manager::builder().limits(limits(room)).credit_after(1);
    let manager = manager.build().expect("the configuration works");
    let session = Session::new(manager.clone(), SLOTS);
    let operations = operations();
    let finished = AtomicBool::new(false);
    let snapshots = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&manager, reload, room, &finished));
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (session, operations) = (&session, &operations);
                let mut rng = Rng::with_seed(seed.wrapping_add(thread));
                scope.spawn(move || {
                    for _ in 0..ops / threads {
                        // Refused or not: only what is left at the end counts.
                        let _ = session.perform(&operations.draw(&mut rng));
                    }
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        finished.store(true, Ordering::Release);
        for result in results {
            result.expect("no worker fails");
        }
        watcher.join().expect("no limit was exceeded")
    });
    println!("{snapshots} snapshots taken meanwhile");
    assert!(snapshots > 0);

    let connections = session.handles().filter_map(|(_, handle)| match &*handle {
        Handle::Connection(connection) => Some(connection.stat().memory),
        Handle::Stream(_) | Handle::Span(_) => None,
    });
    assert_eq!(manager.conn_memory().counts, by_memory(connections));
    drop(session);
    nothing_is_left(manager);
}

fn nothing_is_left(manager: Manager) {
    assert_eq!(manager.conn_memory(), ConnMemory::default());
    assert_eq!(manager.addresses().stat().permits, 0);
    let dry_run = manager.dry_run_addresses();
    assert_eq!(dry_run.map_or(0, |stat| stat.permits), 0);
    let session = Session::new(manager.clone(), 1);
    for scope in manager.scopes() {
        if let Some(view) = session.view(&scope.id) {
            view.release();
        }
    }
    for scope in manager.scopes() {
        assert!(scope.stat.is_zero(), "{}: {}", scope.id, scope.stat);
    }
    let stat = manager.stat();
    assert!(stat.peers.is_empty() && stat.protocols.is_empty());
    let refusals = ScopeClass::ALL.map(|class| manager.refusals(class).total());
    let refused: u64 = refusals.iter().sum();
    println!("{refused} refusals");
    assert!(refused > 0, "limits that are never reached show nothing");
}

/// Looks at every scope again and again. Where limits change, this is the thread that changes them:
/// usage may then be over a limit that was lowered, and only the end is checked.
fn watch(manager: &Manager, reload: Reload, room: u64, finished: &AtomicBool) -> u64 {
    let mut snapshots = 0;
    while !finished.load(Ordering::Acquire) {
        if reload == Reload::AllTheTime {
            change_limits(manager, snapshots, room);
        }
        for scope in manager.scopes() {
            let over = scope.limit.exceeded_by(&scope.stat);
            assert!(
                reload == Reload::AllTheTime || over.is_none(),
                "{} is over its limit: {}",
                scope.id,
                scope.stat
            );
        }
        snapshots += 1;
    }
    snapshots
}

fn change_limits(manager: &Manager, round: u64, room: u64) {
    let mut limits = limits(room);
    limits.system.memory = ((5_000 + round % 7 * 1_000) * room).into();
    limits.peer_default.streams = ((3 + round % 4) * room).into();
    if round.is_multiple_of(3) {
        let mut dry_run = limits.clone();
        dry_run.peer_default.memory = (1_000 * room).into();
        limits.dry_run = Some(Arc::new(dry_run));
    }
    manager.set_limits(limits);
    let allowlist = manager.addresses().allowlist();
    let entry = ALLOWLIST[0].parse().expect("an entry of the allowlist");
    match round % 4 {
        0 => drop(allowlist.remove(&entry)),
        2 => drop(allowlist.add(entry)),
        _ => {}
    }
}
