//! The metrics that Prometheus scrapes.

#![cfg(feature = "prometheus")]

mod exposition;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use exposition::{Exposition, Labels};
use rcmgr_atomic::{
    Connection, Direction, Endpoint, Limits, Manager, PeerId, Priority, Stream, UsesFd,
};
use rcmgr_config::reload::LimitsWatcher;
#[cfg(feature = "sink")]
use rcmgr_metrics::trace::TraceSink;
use rcmgr_metrics::{Observer, ProgramCounter};
use rcmgr_testkit::vectors;

const IN: Direction = Direction::Inbound;
const OUT: Direction = Direction::Outbound;

fn unlimited() -> Manager {
    Manager::new(Limits::unlimited()).unwrap()
}

fn peer(name: &str) -> PeerId {
    name.parse().unwrap()
}

fn connection(manager: &Manager, peer: &PeerId) -> Connection {
    let connection = manager
        .open_connection(IN, UsesFd::Yes, Endpoint::None)
        .unwrap();
    connection.set_peer(peer).unwrap();
    connection
}

fn stream(manager: &Manager, direction: Direction, protocol: &str) -> Stream {
    let stream = manager.open_stream(&peer("a"), direction).unwrap();
    stream.set_protocol(protocol).unwrap();
    stream
}

/// Makes requests that must be refused under the limits of `change`.
fn refuse<T>(
    manager: &Manager,
    change: impl Fn(&mut Limits),
    refused: impl Fn() -> rcmgr_core::Result<T>,
) {
    let before = manager.limits();
    let mut limits = Limits::unlimited();
    change(&mut limits);
    manager.set_limits(limits);
    assert!(refused().is_err());
    manager.set_limits((*before).clone());
}

/// A manager like the one of the reference's metrics: the same scopes with the same limits, and the
/// same kinds of refusals.
fn like_the_reference() -> (Manager, Vec<Stream>) {
    let mut limits = Limits::unlimited();
    limits.system = rcmgr_core::Limit::all(1_000_000.into());
    limits.transient = limits.system;
    let manager = Manager::new(limits).unwrap();
    let protocols = ["/ipfs/kad/1.0.0", "/meshsub/1.1.0"];
    let streams = protocols.map(|id| stream(&manager, IN, id)).into();

    let open = |direction| manager.open_connection(direction, UsesFd::Yes, Endpoint::None);
    let set_peer = |direction| open(direction)?.set_peer(&peer("a"));
    refuse(&manager, |l| l.peer_default.fd = 0.into(), || set_peer(IN));
    refuse(&manager, |l| l.system.fd = 0.into(), || open(IN));
    refuse(
        &manager,
        |l| l.peer_default.conns = 0.into(),
        || set_peer(IN),
    );
    refuse(
        &manager,
        |l| l.peer_default.conns = 0.into(),
        || set_peer(OUT),
    );
    refuse(&manager, |l| l.system.conns = 0.into(), || open(IN));
    for direction in [IN, OUT] {
        refuse(
            &manager,
            |l| l.peer_default.streams = 0.into(),
            || manager.open_stream(&peer("a"), direction),
        );
    }
    refuse(
        &manager,
        |l| l.system.memory = 0.into(),
        || manager.view_system().reserve_memory(1, Priority::Always),
    );
    (manager, streams)
}

#[test]
fn names_labels_and_types_are_the_references() {
    let (manager, _streams) = like_the_reference();
    let ours = Exposition::of(&Observer::new(manager));
    let gauges = [
        "blocked_resources",
        "connections",
        "fds",
        "limit",
        "memory",
        "streams",
    ];
    for name in gauges {
        assert_eq!(ours.kinds[&format!("libp2p_rcmgr_{name}")], "gauge");
    }
    let labels = ours.labels();
    let labels = |name: &str| Vec::from_iter(labels[name].iter().copied());
    assert_eq!(labels("libp2p_rcmgr_connections"), ["dir", "scope"]);
    assert_eq!(labels("libp2p_rcmgr_streams"), ["dir", "protocol", "scope"]);
    assert_eq!(labels("libp2p_rcmgr_memory"), ["protocol", "scope"]);
    assert_eq!(labels("libp2p_rcmgr_fds"), ["scope"]);
    assert_eq!(labels("libp2p_rcmgr_limit"), ["resource", "scope"]);
    assert_eq!(
        labels("libp2p_rcmgr_blocked_resources"),
        ["dir", "resource", "scope"],
    );
    for when in ["", "previous_"] {
        for what in ["peer_connections", "peer_streams"] {
            let name = format!("libp2p_rcmgr_{when}{what}");
            assert_eq!(ours.kinds[&name], "histogram");
            assert_eq!(labels(&format!("{name}_bucket")), ["dir", "le"]);
            assert_eq!(labels(&format!("{name}_sum")), ["dir"]);
            assert_eq!(labels(&format!("{name}_count")), ["dir"]);
        }
        for what in ["conn_memory", "peer_memory"] {
            let name = format!("libp2p_rcmgr_{when}{what}");
            assert_eq!(ours.kinds[&name], "histogram");
            assert_eq!(labels(&format!("{name}_bucket")), ["le"]);
            assert!(ours.get(&format!("{name}_count"), &[]).is_some());
        }
    }
}

/// The metrics of the reference are not part of the project. The test passes if they are not found.
#[test]
fn every_series_of_the_reference_is_there() {
    let Some(folder) = vectors::observe() else {
        eprintln!("no metrics of the reference: nothing to compare with");
        return;
    };
    let text = fs::read_to_string(folder.join("metrics.prom")).unwrap();
    let theirs = Exposition::parse(&text).unwrap();
    let (manager, _streams) = like_the_reference();
    let ours = Exposition::of(&Observer::new(manager));

    for (name, kind) in &theirs.kinds {
        assert_eq!(ours.kinds.get(name), Some(kind), "{name}");
    }
    let missing = theirs
        .samples
        .keys()
        .filter(|series| !ours.samples.contains_key(series));
    assert_eq!(missing.collect::<Vec<_>>(), Vec::<&(String, Labels)>::new());
    // There are no other series under its names.
    let names: Vec<_> = theirs.kinds.keys().collect();
    let more = ours.kinds.keys().filter(|name| name.starts_with("libp2p_"));
    assert_eq!(more.filter(|name| !names.contains(name)).count(), 0);
}

#[test]
fn values_are_those_of_the_manager() {
    let (manager, streams) = like_the_reference();
    let held = connection(&manager, &peer("b"));
    held.reserve_memory(5000, Priority::Always).unwrap();
    streams[0].reserve_memory(300, Priority::Always).unwrap();
    let found = Exposition::of(&Observer::new(manager.clone()));
    let get = |name: &str, labels: &[_]| found.get(&format!("libp2p_rcmgr_{name}"), labels);

    assert_eq!(
        get("connections", &[("dir", "inbound"), ("scope", "system")]),
        Some(1.0)
    );
    assert_eq!(get("fds", &[("scope", "system")]), Some(1.0));
    assert_eq!(
        get("memory", &[("scope", "system"), ("protocol", "")]),
        Some(5300.0)
    );
    let kad = ("protocol", "/ipfs/kad/1.0.0");
    assert_eq!(get("memory", &[("scope", "protocol"), kad]), Some(300.0));
    assert_eq!(
        get("streams", &[("dir", "inbound"), ("scope", "protocol"), kad]),
        Some(1.0),
    );
    let limit = [("scope", "transient"), ("resource", "streams_inbound")];
    assert_eq!(get("limit", &limit), Some(1_000_000.0));
    let blocked = [("dir", ""), ("resource", "memory"), ("scope", "system")];
    assert_eq!(get("blocked_resources", &blocked), Some(1.0));

    // One peer has two streams, and another one a connection.
    let bucket = |le| [("dir", "inbound"), ("le", le)];
    assert_eq!(get("peer_streams_bucket", &bucket("1")), Some(0.0));
    assert_eq!(get("peer_streams_bucket", &bucket("2")), Some(1.0));
    assert_eq!(get("peer_connections_bucket", &bucket("1")), Some(1.0));
    assert_eq!(get("peer_memory_bucket", &[("le", "4096")]), Some(1.0));
    assert_eq!(get("peer_memory_bucket", &[("le", "inf")]), Some(2.0));
    assert_eq!(get("peer_memory_sum", &[]), Some(5300.0));
    assert_eq!(get("previous_peer_memory_count", &[]), Some(0.0));
    // One connection has memory.
    assert_eq!(get("conn_memory_bucket", &[("le", "4096")]), Some(0.0));
    assert_eq!(get("conn_memory_bucket", &[("le", "32768")]), Some(1.0));
    assert_eq!(get("conn_memory_count", &[]), Some(1.0));
    let middle_of_its_bucket = Some(f64::from((4096 + 32768) / 2));
    assert_eq!(get("conn_memory_sum", &[]), middle_of_its_bucket);
    assert_eq!(get("previous_conn_memory_count", &[]), Some(0.0));

    let own = |name: &str, labels: &[_]| found.get(&format!("rcmgr_{name}"), labels);
    let of_system = |resource| [("scope", "system"), ("name", ""), ("resource", resource)];
    assert_eq!(own("used", &of_system("memory")), Some(5300.0));
    assert!(own("peak", &of_system("conns_inbound")) >= Some(1.0));
    assert_eq!(own("limit", &of_system("streams")), Some(1_000_000.0));
    assert_eq!(own("scopes", &[("scope", "peer")]), Some(2.0));
    let utilisation = [("scope", "system"), ("resource", "memory")];
    assert_eq!(own("utilisation", &utilisation), Some(0.0053));
    assert_eq!(
        own("over_releases_total", &[("scope", "system")]),
        Some(0.0)
    );
    manager.view_system().release_memory(1 << 40);
    let found = Exposition::of(&Observer::new(manager));
    assert_eq!(
        found.get("rcmgr_over_releases_total", &[("scope", "system")]),
        Some(1.0)
    );
}

#[test]
fn unlimited_has_no_series() {
    let found = Exposition::of(&Observer::new(unlimited()));
    for name in ["libp2p_rcmgr_limit", "rcmgr_limit", "rcmgr_utilisation"] {
        assert_eq!(found.kinds[name], "gauge");
        assert!(found.values(name, "scope").is_empty(), "{name}");
    }
    assert!(
        found.samples.values().all(|&value| value < 1e9),
        "{found:?}"
    );
}

#[test]
fn hostile_names_do_not_break_the_text() {
    let long = "x".repeat(100_000);
    let names = [
        "a\"} 1\nevil{x=\"",
        "\\",
        "\\\"",
        "line\nbreak",
        "line\rbreak\0",
        "<script>alert(1)</script>",
        "# EOF",
        "",
        "other",
        &long,
    ];
    let manager = unlimited();
    let mut streams: Vec<_> = names.map(|name| stream(&manager, IN, name)).into();
    streams.push(stream(&manager, IN, &(long.clone() + "y")));
    let observer = Observer::new(manager);
    let found = Exposition::of(&observer);
    let protocols = found.values("libp2p_rcmgr_streams", "protocol");
    for name in [
        "a\"} 1\\nevil{x=\"",
        "\\",
        "\\\"",
        "<script>alert(1)</script>",
        "# EOF",
    ] {
        assert!(protocols.contains(name), "{protocols:?}");
    }
    assert!(protocols.iter().all(|name| name.len() <= 203));
    // Two names that are shown the same are one series.
    let cut = long[..200].to_owned() + "…";
    let of_cut = [
        ("dir", "inbound"),
        ("scope", "protocol"),
        ("protocol", &*cut),
    ];
    assert_eq!(found.get("libp2p_rcmgr_streams", &of_cut), Some(2.0));

    // A scope named `other` is added to the series of the others.
    let found = Exposition::of(&observer.most_names(names.len()));
    let other = [
        ("dir", "inbound"),
        ("scope", "protocol"),
        ("protocol", "other"),
    ];
    assert_eq!(found.get("libp2p_rcmgr_streams", &other), Some(2.0));
}

#[test]
fn a_flood_of_protocols_and_services_causes_few_series() {
    let manager = unlimited();
    let mut held = Vec::new();
    for number in 0..500 {
        let one = stream(&manager, IN, &format!("/made-up/{number:03}"));
        one.set_service(&format!("service {number:03}")).unwrap();
        one.reserve_memory(1, Priority::Always).unwrap();
        held.push(one);
    }
    held.push(stream(&manager, OUT, "/made-up/499"));
    let found = Exposition::of(&Observer::new(manager).most_names(10));
    let protocols = found.values("libp2p_rcmgr_memory", "protocol");
    assert_eq!(
        protocols.len(),
        12,
        "ten, the rest, and the empty one of system"
    );
    assert!(
        protocols.contains("/made-up/499"),
        "it has the most streams"
    );
    assert!(!protocols.contains("/made-up/498"));
    let of_other = [("scope", "protocol"), ("protocol", "other")];
    assert_eq!(found.get("libp2p_rcmgr_memory", &of_other), Some(490.0));
    assert_eq!(found.values("rcmgr_used", "name").len(), 10 + 10 + 2);
    let other = |name| {
        found.get(
            name,
            &[
                ("scope", "service"),
                ("name", "other"),
                ("resource", "memory"),
            ],
        )
    };
    assert_eq!(other("rcmgr_used"), Some(490.0));
    assert_eq!(other("rcmgr_peak"), None);
    assert!(found.samples.len() < 800, "{}", found.samples.len());
}

#[test]
fn peers_have_no_series_of_their_own() {
    let manager = unlimited();
    let few = Exposition::of(&Observer::new(manager.clone()))
        .samples
        .len();
    let peers = (0..1000).map(|number| connection(&manager, &peer(&format!("p{number}"))));
    let held: Vec<_> = peers.collect();
    let found = Exposition::of(&Observer::new(manager));
    assert_eq!(found.samples.len(), few);
    assert_eq!(
        found.get("rcmgr_scopes", &[("scope", "peer")]),
        Some(1000.0)
    );
    drop(held);
}

#[test]
fn refusals_by_shares_count_under_their_service_or_protocol() {
    let manager = unlimited();
    let one = manager.open_stream(&peer("a"), OUT).unwrap();
    refuse(
        &manager,
        |l| l.protocol_peer_default.streams = 0.into(),
        || one.set_protocol("/x"),
    );
    let found = Exposition::of(&Observer::new(manager));
    let labels = [
        ("dir", "outbound"),
        ("resource", "stream"),
        ("scope", "protocol"),
    ];
    assert_eq!(
        found.get("libp2p_rcmgr_blocked_resources", &labels),
        Some(1.0)
    );
}

#[test]
fn a_refused_connection_with_a_file_descriptor_counts_under_both() {
    let manager = unlimited();
    let open = |direction, uses_fd| manager.open_connection(direction, uses_fd, Endpoint::None);
    // Refused for lack of a connection and of a file descriptor, by system,
    let no_conns = |limits: &mut Limits| limits.system.conns = 0.into();
    let no_fds = |limits: &mut Limits| limits.system.fd = 0.into();
    refuse(&manager, no_conns, || open(IN, UsesFd::Yes));
    refuse(&manager, no_conns, || open(IN, UsesFd::No));
    refuse(&manager, no_conns, || open(OUT, UsesFd::Yes));
    refuse(&manager, no_fds, || open(IN, UsesFd::Yes));
    refuse(&manager, no_fds, || open(OUT, UsesFd::Yes));
    refuse(&manager, no_fds, || open(OUT, UsesFd::Yes));
    // by a peer that no longer exists, and by the connection's own limit.
    let held = open(OUT, UsesFd::Yes).unwrap();
    let of_peer = |limits: &mut Limits| limits.peer_default.fd = 0.into();
    refuse(&manager, of_peer, || held.set_peer(&peer("a")));
    let of_conn = |limits: &mut Limits| limits.conn.conns = 0.into();
    refuse(&manager, of_conn, || open(IN, UsesFd::Yes));

    let found = Exposition::of(&Observer::new(manager));
    let get = |scope, resource, dir| {
        let labels = [("dir", dir), ("resource", resource), ("scope", scope)];
        found.get("libp2p_rcmgr_blocked_resources", &labels)
    };
    for (scope, inbound, outbound, fd) in [
        ("system", Some(3.0), Some(3.0), Some(5.0)),
        ("peer", None, Some(1.0), Some(1.0)),
        ("conn", Some(1.0), None, Some(1.0)),
    ] {
        assert_eq!(get(scope, "connection", "inbound"), inbound, "{scope}");
        assert_eq!(get(scope, "connection", "outbound"), outbound, "{scope}");
        assert_eq!(get(scope, "fd", ""), fd, "{scope}");
    }
}

#[test]
fn refused_memory_counts_requests_and_not_bytes() {
    let manager = unlimited();
    for size in [1, 1000, 1 << 40] {
        refuse(
            &manager,
            |limits| limits.system.memory = 0.into(),
            || manager.view_system().reserve_memory(size, Priority::Always),
        );
    }
    let found = Exposition::of(&Observer::new(manager));
    let labels = [("dir", ""), ("resource", "memory"), ("scope", "system")];
    assert_eq!(
        found.get("libp2p_rcmgr_blocked_resources", &labels),
        Some(3.0)
    );
}

#[cfg(feature = "sink")]
#[test]
fn the_counters_of_a_trace_are_shown_if_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let sink = TraceSink::create(folder.path().join("trace.json.gz")).unwrap();
    let builder = Manager::builder().recorder(sink.recorder());
    let manager = builder.build().unwrap();
    drop(manager.open_connection(Direction::Inbound, UsesFd::No, Endpoint::None));
    let without = Exposition::of(&Observer::new(manager.clone()));
    assert!(!without.kinds.contains_key("rcmgr_trace_operations"));
    let observer = Observer::new(manager).trace(sink.counters());
    sink.close().unwrap();
    let found = Exposition::of(&observer);
    let of = |outcome| found.get("rcmgr_trace_operations_total", &[("outcome", outcome)]);
    // The creation of the manager is one.
    assert_eq!((of("written"), of("dropped")), (Some(3.0), Some(0.0)));
}

#[test]
fn the_counters_of_the_program_have_a_series_for_each_of_its_parts() {
    let manager = unlimited();
    let counter = |metric, is_gauge, values: &[(&str, u64)]| ProgramCounter {
        metric,
        title: "title",
        help: "Help",
        is_gauge,
        values: (values.iter())
            .map(|(part, value)| ((*part).to_owned(), *value))
            .collect(),
    };
    let observer = Observer::new(manager).program("listener", move || {
        vec![
            counter("guard_open", true, &[("a:1", 3), ("b\n:1", 0)]),
            counter("guard_refused", false, &[("a:1", 7)]),
        ]
    });
    let found = Exposition::of(&observer);
    let get = |name, listener| found.get(name, &[("listener", listener)]);
    assert_eq!(get("guard_open", "a:1"), Some(3.0));
    assert_eq!(get("guard_open", "b\\n:1"), Some(0.0));
    assert_eq!(get("guard_refused_total", "a:1"), Some(7.0));
    assert_eq!(found.kinds["guard_open"], "gauge");
    assert_eq!(found.kinds["guard_refused"], "counter");
}

#[test]
fn reloads_are_shown_if_there_is_a_watcher() {
    let manager = unlimited();
    let without = Exposition::of(&Observer::new(manager.clone()));
    assert!(!without.kinds.contains_key("rcmgr_reloads"));

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("limits.toml");
    fs::write(&file, "[System]\nConns = 5\n").unwrap();
    let applied = manager.clone();
    let watcher = LimitsWatcher::builder()
        .settle_time(Duration::from_millis(5))
        .look_every(Duration::from_millis(20))
        .start(&file, Limits::unlimited(), move |limits| {
            applied.set_limits(limits)
        });
    let observer = Observer::new(manager).watcher(Arc::new(watcher.unwrap()));
    let found = Exposition::of(&observer);
    assert_eq!(found.get("rcmgr_reloads_total", &[]), Some(0.0));
    assert_eq!(found.get("rcmgr_limits_file_bad", &[]), Some(0.0));

    fs::write(&file, "[System]\nConns = many\n").unwrap();
    let begin = Instant::now();
    loop {
        let found = Exposition::of(&observer);
        if found.get("rcmgr_limits_file_bad", &[]) == Some(1.0) {
            assert_eq!(found.get("rcmgr_reload_failures_total", &[]), Some(1.0));
            break;
        }
        assert!(
            begin.elapsed() < Duration::from_secs(30),
            "it is never noticed"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}
