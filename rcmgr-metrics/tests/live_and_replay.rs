//! The metric of refusals has the same numbers live and in the replay of a trace.

#![cfg(all(feature = "prometheus", feature = "sink"))]

mod exposition;

use std::collections::BTreeMap;

use exposition::Exposition;
use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, PeerId, Priority, UsesFd};
use rcmgr_metrics::Observer;
use rcmgr_metrics::replay::{Options, replay};
use rcmgr_metrics::trace::TraceSink;

const IN: Direction = Direction::Inbound;
const OUT: Direction = Direction::Outbound;

type Blocked = BTreeMap<(String, String, String), u64>;

fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.memory = 100_000.into();
    limits.transient.conns_inbound = 1.into();
    limits.transient.conns_outbound = 3.into();
    limits.peer_default.fd = 1.into();
    limits.peer_default.streams_inbound = 3.into();
    limits.protocol_peer_default.streams_outbound = 0.into();
    limits
        .service
        .insert("dht".into(), rcmgr_atomic::Limit::BLOCK_ALL);
    limits.stream.memory = 1000.into();
    limits
}

/// Requests of all kinds. Most are refused by one scope or another.
fn requests(manager: &Manager) {
    let peer: PeerId = "192.0.2.7".parse().unwrap();
    let mut held = Vec::new();
    let mut streams = Vec::new();
    for round in 0..7_u64 {
        for direction in [IN, OUT] {
            for uses_fd in [UsesFd::Yes, UsesFd::No] {
                let opened = manager.open_connection(direction, uses_fd, Endpoint::None);
                if let Ok(connection) = opened {
                    let _ = connection.set_peer(&peer);
                    held.push(connection);
                }
            }
            if let Ok(stream) = manager.open_stream(&peer, direction) {
                let _ = stream.set_protocol("/x");
                let _ = stream.set_service("dht");
                let _ = stream.reserve_memory(400 * round, Priority::Low);
                streams.push(stream);
            }
        }
        let _ = manager
            .view_system()
            .reserve_memory(30_000, Priority::Medium);
    }
}

fn live(manager: &Manager) -> Blocked {
    let found = Exposition::of(&Observer::new(manager.clone()));
    let samples = found.samples.into_iter();
    let blocked = samples.filter(|((name, _), _)| name == "libp2p_rcmgr_blocked_resources");
    blocked
        .map(|((_, labels), value)| {
            let label = |name: &str| labels[name].clone();
            (
                (label("scope"), label("resource"), label("dir")),
                value as u64,
            )
        })
        .collect()
}

#[test]
fn refusals_have_one_unit_live_and_in_a_replay() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("trace.json.gz");
    let sink = TraceSink::create(&file).unwrap();
    let manager = Manager::builder()
        .limits(limits())
        .recorder(sink.recorder())
        .build()
        .unwrap();
    requests(&manager);
    let live = live(&manager);
    sink.close().unwrap();
    let report = replay(&[file], &Options::default(), &mut |_| {}).unwrap();
    let blocked = report.blocked_resources.into_iter();
    let replayed: Blocked = blocked
        .map(|blocked| {
            let labels = [blocked.scope, blocked.resource, blocked.dir].map(str::to_owned);
            (labels.into(), blocked.value)
        })
        .collect();
    assert_eq!(replayed, live);
    let resources: std::collections::BTreeSet<_> = live.keys().map(|key| key.1.as_str()).collect();
    assert_eq!(
        Vec::from_iter(resources),
        ["connection", "fd", "memory", "stream"]
    );
    assert!(live.len() >= 8, "{live:#?}");
}
