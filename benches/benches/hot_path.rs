//! What a reservation costs: a reserve and its release of 4 KiB on a stream with protocol and
//! service, which is charged on seven scopes.
//!
//! Beside it the floor of charging everything: 14 bare atomic additions on seven cache lines. Only
//! their ratio, from one run, travels from machine to machine.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use criterion::{Criterion, criterion_group, criterion_main};
use rcmgr_atomic::{
    AtomicResourceManager, ConnectionScope, Direction, Endpoint, Limits, PeerId, Priority,
    ResourceManager, ResourceScope, Stream, StreamScope, UsesFd,
};

const SIZE: u64 = 4096;

/// Limits that are never reached, so that every check is made.
fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    let plenty = rcmgr_atomic::Limit::all((1 << 40).into());
    limits.system = plenty;
    limits.transient = plenty;
    limits.service_default = Some(plenty);
    limits.service_peer_default = plenty;
    limits.protocol_default = plenty;
    limits.protocol_peer_default = plenty;
    limits.peer_default = plenty;
    limits.conn = plenty;
    limits.stream = plenty;
    limits
}

fn peer() -> PeerId {
    "12D3KooWBFG9ohcyiZcamHPNhidSLXy8M47YddKEVE7t8cxebttv"
        .parse()
        .expect("a peer id")
}

fn stream(manager: &AtomicResourceManager) -> Stream {
    let stream = manager
        .open_stream(&peer(), Direction::Inbound)
        .expect("there is room");
    stream
        .set_protocol("/ipfs/kad/1.0.0")
        .expect("there is room");
    stream.set_service("dht").expect("there is room");
    stream
}

/// A counter on cache lines of its own.
#[repr(align(128))]
#[derive(Default)]
struct Line(AtomicU64);

fn memory(c: &mut Criterion) {
    let mut group = c.benchmark_group("memory");
    let lines: [Line; 7] = Default::default();
    group.bench_function("floor", |b| {
        b.iter(|| {
            for line in black_box(&lines) {
                line.0.fetch_add(SIZE, Ordering::AcqRel);
            }
            for line in black_box(&lines) {
                line.0.fetch_sub(SIZE, Ordering::AcqRel);
            }
        });
    });

    let manager = AtomicResourceManager::new(limits()).expect("limits alone always work");
    let stream = stream(&manager);
    group.bench_function("atomic", |b| {
        b.iter(|| {
            stream
                .reserve_memory(black_box(SIZE), Priority::Always)
                .expect("there is room");
            stream.release_memory(black_box(SIZE));
        });
    });
    group.bench_function("atomic, with a guard", |b| {
        b.iter(|| {
            drop(
                stream
                    .reserve(black_box(SIZE), Priority::Always)
                    .expect("there is room"),
            );
        });
    });
    group.bench_function("refused by the system", |b| {
        let system = manager.view_system();
        let mut limit = system.limit();
        limit.memory = 100.into();
        system.set_limit(limit);
        b.iter(|| black_box(stream.reserve_memory(black_box(SIZE), Priority::Always)));
        system.reset_limit();
    });
    group.bench_function("span", |b| {
        b.iter(|| {
            let span = stream.begin_span().expect("it is open");
            span.reserve_memory(black_box(SIZE), Priority::Always)
                .expect("there is room");
        });
    });
    group.finish();
}

fn lifecycles(c: &mut Criterion) {
    let manager = AtomicResourceManager::new(limits()).expect("limits alone always work");
    // The peer and the protocol stay while something uses them.
    let _others = stream(&manager);
    let peer = peer();
    let mut group = c.benchmark_group("lifecycle");
    group.bench_function("stream: open, protocol, service, close", |b| {
        b.iter(|| drop(stream(black_box(&manager))));
    });
    group.bench_function("connection: open, peer, close", |b| {
        b.iter(|| {
            let connection = manager
                .open_connection(Direction::Inbound, UsesFd::Yes, &Endpoint::None)
                .expect("there is room");
            connection
                .set_peer(black_box(&peer))
                .expect("there is room");
        });
    });
    group.bench_function("stream refused by its peer", |b| {
        let scope = manager.view_peer(&peer);
        let mut limit = scope.limit();
        limit.streams_inbound = 0.into();
        scope.set_limit(limit);
        b.iter(|| {
            black_box(manager.open_stream(black_box(&peer), Direction::Inbound))
                .expect_err("the peer has no room");
        });
        scope.reset_limit();
    });
    group.finish();
}

criterion_group!(benches, memory, lifecycles);
criterion_main!(benches);
