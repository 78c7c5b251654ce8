//! Real threads, random operations on handles that they share: no scope is ever seen over its
//! limit, and in the end everything is exactly zero.
//!
//! `RCMGR_STRESS_OPS` says how many operations a test makes (`just stress`: 10 million); a failure
//! names the seed, which `RCMGR_STRESS_SEED` takes.

mod by_memory;

use std::env;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use by_memory::by_memory;
use fastrand::Rng;
use rcmgr_atomic::address::{AddressConfig, RateLimits, SubnetLimit, SubnetLimits};
use rcmgr_atomic::{
    ConnMemory, Connection, ConnectionScope, Direction, Endpoint, Limit, Limits, Manager, PeerId,
    Priority, ResourceManager, ResourceScope, Scope, ScopeClass, ScopeId, ScopeSpan, Span, Stream,
    StreamScope, UsesFd,
};

const PEERS: [&str; 3] = [
    "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
    "bob",
    "eve",
];
/// The allowlist has the network of the first for anyone, the second for the first peer.
const ADDRESSES: [&str; 4] = ["10.0.0.1", "192.0.2.1", "198.51.100.1", "198.51.100.2"];
const ALLOWLIST: [&str; 2] = [
    "/ip4/10.0.0.0/ipcidr/8",
    "/ip4/192.0.2.1/p2p/12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv",
];
/// How many connections an address may have.
const EACH: u64 = 4;
const PROTOCOLS: [&str; 3] = ["/a", "/b", "/c"];
const SERVICES: [&str; 2] = ["dht", "relay"];
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

enum Handle {
    Connection(Connection),
    Stream(Stream),
    Span(Span),
}

impl Handle {
    fn scope(&self) -> &dyn ResourceScope<Span = Span> {
        match self {
            Self::Connection(connection) => connection,
            Self::Stream(stream) => stream,
            Self::Span(span) => span,
        }
    }
}

/// Handles that any thread may take and use at the same time as others.
type Slots = [Mutex<Option<Arc<Handle>>>; SLOTS];

/// Limits that are reached all the time; with `room` more than one less often, and there is credit of
/// memory and of streams.
fn limits(room: u64) -> Limits {
    let of = |count: u64, memory: u64| Limit {
        memory: (memory * room).into(),
        ..Limit::all((count * room).into())
    };
    let mut limits = Limits::unlimited();
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

fn addresses() -> AddressConfig {
    AddressConfig {
        allowlist: ALLOWLIST
            .map(|entry| entry.parse().expect("a multiaddr"))
            .to_vec(),
        subnets: SubnetLimits {
            v4: vec![SubnetLimit {
                prefix_len: 32,
                conns: EACH,
            }],
            ..SubnetLimits::default()
        },
        rates: RateLimits::none(),
    }
}

fn from_env(name: &str) -> Option<u64> {
    let value = env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is a number, not {value:?}")),
    )
}

fn stress(threads: u64, reload: Reload, room: u64) {
    let ops = from_env("RCMGR_STRESS_OPS").unwrap_or(100_000);
    let seed = from_env("RCMGR_STRESS_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("{threads} threads, {ops} operations, RCMGR_STRESS_SEED={seed}");

    let manager = Manager::builder()
        .limits(limits(room))
        .addresses(addresses())
        .credit_after(1);
    let manager = manager.build().expect("the configuration works");
    let slots: Slots = std::array::from_fn(|_| Mutex::new(None));
    let finished = AtomicBool::new(false);
    let snapshots = thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&manager, reload, room, &finished));
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                let (manager, slots) = (&manager, &slots);
                let mut rng = Rng::with_seed(seed.wrapping_add(thread));
                scope.spawn(move || {
                    for _ in 0..ops / threads {
                        operate(manager, slots, &mut rng);
                    }
                })
            })
            .collect();
        let results: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
        finished.store(true, Ordering::Release);
        for result in results {
            result.expect("no worker fails");
        }
        watcher.join().expect("no limit was passed")
    });
    println!("{snapshots} snapshots taken meanwhile");
    assert!(snapshots > 0);

    let held = slots.iter().filter_map(|slot| {
        let held = slot.lock().expect("no one panics with it");
        match held.as_deref() {
            Some(Handle::Connection(connection)) => Some(connection.stat().memory),
            _ => None,
        }
    });
    assert_eq!(manager.conn_memory().counts, by_memory(held));
    drop(slots);
    assert_eq!(manager.conn_memory(), ConnMemory::default());
    for scope in manager.scopes() {
        if let Some(view) = view(&manager, &scope.id) {
            view.release();
        }
    }
    assert_eq!(manager.addresses().stat().permits, 0);
    for scope in manager.scopes() {
        assert!(scope.stat.is_zero(), "{}: {}", scope.id, scope.stat);
    }
    let stat = manager.stat();
    assert!(stat.peers.is_empty() && stat.protocols.is_empty());
    let refused: u64 = ScopeClass::ALL
        .iter()
        .map(|&class| manager.refusals(class).total())
        .sum();
    println!("{refused} refusals");
    assert!(refused > 0, "limits that are never reached show nothing");
}

/// Looks at every scope again and again. Where limits change, it is what changes them: usage may
/// then be over a limit that was lowered, and only the end is checked.
fn watch(manager: &Manager, reload: Reload, room: u64, finished: &AtomicBool) -> u64 {
    let mut snapshots = 0;
    while !finished.load(Ordering::Acquire) {
        if reload == Reload::AllTheTime {
            let mut limits = limits(room);
            limits.system.memory = ((5_000 + snapshots % 7 * 1_000) * room).into();
            limits.peer_default.streams = ((3 + snapshots % 4) * room).into();
            manager.set_limits(limits);
            let allowlist = manager.addresses().allowlist();
            let entry = ALLOWLIST[0].parse().expect("a multiaddr");
            match snapshots % 4 {
                0 => allowlist.remove(&entry),
                2 => allowlist.add(entry),
                _ => false,
            };
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

fn view(manager: &Manager, id: &ScopeId) -> Option<Scope> {
    let view = match id {
        ScopeId::System => manager.view_system(),
        ScopeId::Transient => manager.view_transient(),
        ScopeId::Service(name) => manager.view_service(name),
        ScopeId::Protocol(id) => manager.view_protocol(id),
        ScopeId::Peer(peer) => manager.view_peer(peer),
        ScopeId::AllowlistedSystem | ScopeId::AllowlistedTransient => return None,
        other => panic!("{other} is left, and nothing holds it"),
    };
    Some(view)
}

fn peer(rng: &mut Rng) -> PeerId {
    PEERS[rng.usize(..PEERS.len())].parse().expect("a peer id")
}

fn any_view(manager: &Manager, rng: &mut Rng) -> Scope {
    match rng.u8(..5) {
        0 => manager.view_system(),
        1 => manager.view_transient(),
        2 => manager.view_service(SERVICES[rng.usize(..SERVICES.len())]),
        3 => manager.view_protocol(PROTOCOLS[rng.usize(..PROTOCOLS.len())]),
        _ => manager.view_peer(&peer(rng)),
    }
}

fn priority(rng: &mut Rng) -> Priority {
    match rng.u8(..4) {
        0 => Priority::Medium,
        1 => Priority::High,
        _ => Priority::Always,
    }
}

fn operate(manager: &Manager, slots: &Slots, rng: &mut Rng) {
    let slot = &slots[rng.usize(..SLOTS)];
    let taken = slot.lock().expect("no one panics with it").clone();
    let Some(handle) = taken else {
        let opened = open(manager, slots, rng).map(Arc::new);
        let replaced = std::mem::replace(&mut *slot.lock().expect("as above"), opened);
        drop(replaced);
        return;
    };
    match rng.u8(..16) {
        0..5 => drop(
            handle
                .scope()
                .reserve_memory(rng.u64(..1_500), priority(rng)),
        ),
        5..8 => handle.scope().release_memory(rng.u64(..1_500)),
        8 => {
            // Held for a moment, then given back by the guard.
            let size = rng.u64(..1_500);
            let scope = handle.scope();
            drop((&scope).reserve(size, priority(rng)));
        }
        9..12 => attach(&handle, rng),
        12 => handle.scope().release(),
        13 => match &*handle {
            Handle::Connection(connection) => connection.done(),
            Handle::Stream(stream) => stream.done(),
            Handle::Span(span) => span.done(),
        },
        14 => drop(slot.lock().expect("as above").take()),
        _ => {
            let scope = any_view(manager, rng);
            if rng.bool() {
                let _ = scope.reserve_memory(rng.u64(..500), priority(rng));
            } else {
                scope.release();
            }
        }
    }
}

fn open(manager: &Manager, slots: &Slots, rng: &mut Rng) -> Option<Handle> {
    let direction = Direction::ALL[rng.usize(..2)];
    match rng.u8(..8) {
        0 => {
            let uses_fd = UsesFd::from(rng.bool());
            let from = match rng.usize(..ADDRESSES.len() + 1) {
                0 => Endpoint::None,
                at => ADDRESSES[at - 1]
                    .parse::<IpAddr>()
                    .expect("an address")
                    .into(),
            };
            let opened = manager.open_connection(direction, uses_fd, from);
            opened.ok().map(Handle::Connection)
        }
        1..=4 => {
            let opened = manager.open_stream(&peer(rng), direction);
            opened.ok().map(Handle::Stream)
        }
        5 => {
            let protocol = PROTOCOLS[rng.usize(..PROTOCOLS.len())];
            let service = SERVICES[rng.usize(..SERVICES.len())];
            let service = rng.bool().then_some(service);
            let opened = match slots[rng.usize(..SLOTS)]
                .lock()
                .expect("as above")
                .as_deref()
            {
                Some(Handle::Connection(connection)) if rng.bool() => {
                    connection.open_stream(direction)
                }
                Some(Handle::Connection(connection)) => {
                    connection.open_stream_with(direction, protocol, service)
                }
                _ => manager.open_stream_with(&peer(rng), direction, protocol, service),
            };
            opened.ok().map(Handle::Stream)
        }
        6 => any_view(manager, rng).begin_span().ok().map(Handle::Span),
        _ => {
            let owner = slots[rng.usize(..SLOTS)]
                .lock()
                .expect("as above")
                .clone()?;
            owner.scope().begin_span().ok().map(Handle::Span)
        }
    }
}

fn attach(handle: &Handle, rng: &mut Rng) {
    let service = SERVICES[rng.usize(..SERVICES.len())];
    let _ = match handle {
        Handle::Connection(connection) if rng.bool() => connection.set_peer(&peer(rng)),
        Handle::Connection(connection) => connection.set_service(service),
        Handle::Stream(stream) if rng.bool() => {
            stream.set_protocol(PROTOCOLS[rng.usize(..PROTOCOLS.len())])
        }
        Handle::Stream(stream) => stream.set_service(service),
        Handle::Span(_) => Ok(()),
    };
}
