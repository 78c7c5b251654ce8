//! The cost of a scrape with very many connected peers, which has to read every scope. It should
//! take less than 100 ms for 100,000 peers.

use criterion::{Criterion, criterion_group, criterion_main};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcmgr_atomic::{Connection, Direction, Endpoint, Limits, Manager, PeerId, Stream, UsesFd};
use rcmgr_config::LimitsExt;
use rcmgr_metrics::Observer;

const PEERS: u64 = 100_000;

fn peer(number: u64) -> PeerId {
    PeerId::from_bytes(&number.to_be_bytes()).expect("eight bytes are a peer id")
}

/// Opens a connection for each peer.
fn connections(manager: &Manager) -> Vec<Connection> {
    let open = |number| {
        let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
        let connection = opened.expect("there are no limits");
        let set = connection.set_peer(&peer(number));
        set.expect("there are no limits");
        connection
    };
    (0..PEERS).map(open).collect()
}

/// Opens a stream for each peer, all of one protocol. Each peer then has a share of it.
fn streams(manager: &Manager) -> Vec<Stream> {
    let open = |number| {
        let opened = manager.open_stream(&peer(number), Direction::Inbound);
        let stream = opened.expect("there are no limits");
        let set = stream.set_protocol("/ipfs/kad/1.0.0");
        set.expect("there are no limits");
        stream
    };
    (0..PEERS).map(open).collect()
}

fn scrape(c: &mut Criterion) {
    let mut group = c.benchmark_group("scrape with 100,000 peers");
    group.sample_size(10);
    let mut bench = |name, manager: &Manager| {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Observer::new(manager.clone())));
        let mut text = String::new();
        group.bench_function(name, |b| {
            b.iter(|| {
                text.clear();
                encode(&mut text, &registry).expect("text takes all");
            });
        });
        assert!(text.contains("rcmgr_scopes{scope=\"peer\"} 100000\n"));
    };
    // Limits as in a server, except those that would refuse this load.
    let mut limits = Limits::auto_scale();
    for limit in [
        &mut limits.system,
        &mut limits.transient,
        &mut limits.protocol_default,
    ] {
        *limit = rcmgr_core::Limit::all((1 << 40).into());
    }
    let manager = Manager::new(limits).expect("the limits work");
    let held = connections(&manager);
    bench("with a connection each", &manager);
    let more = streams(&manager);
    bench(
        "with a connection and a stream with a protocol each",
        &manager,
    );
    drop((held, more));
}

criterion_group!(benches, scrape);
criterion_main!(benches);
