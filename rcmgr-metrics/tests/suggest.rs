//! Suggested limits grant what the trace asked for: a replay under them refuses nothing.

mod support;

use std::collections::VecDeque;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use fastrand::Rng;
use rcmgr_atomic::{Direction, Endpoint, Limit, Limits, Manager, Priority, UsesFd};
use rcmgr_config::PartialLimits;
use rcmgr_core::address::SubnetLimit;
use rcmgr_core::{AddressLimits, Error, Result};
use rcmgr_metrics::replay::{Options, ReplayLimits, Report, WhatIfReport, replay};
use rcmgr_metrics::trace::TraceSink;
use rcmgr_testkit::{Kind, Op, RandomOps, Session};

use support::Trace;

fn read(path: &Path, limits: Option<Limits>) -> Report {
    let options = Options {
        what_if: limits.map(|limits| ReplayLimits::Configured(Box::new(limits))),
        ..Options::default()
    };
    replay(&[path.to_owned()], &options, &mut |_| {}).unwrap()
}

/// The limits suggested for a trace, without headroom, and the replay of the trace under them.
fn suggested(path: &Path) -> (Limits, WhatIfReport) {
    let limits = read(path, None).suggest(1.0).build(&Limits::unlimited());
    let report = read(path, Some(limits.clone())).what_if.unwrap();
    (limits, report)
}

fn assert_nothing_is_refused(path: &Path, trace: &str) -> Limits {
    let (limits, report) = suggested(path);
    let refused = (report.would_refuse, report.refused, report.not_asked);
    assert_eq!(refused, (0, 0, 0), "{limits:#?}\n{report:#?}\n{trace}");
    limits
}

fn written(trace: &Trace) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    fs::write(&path, &trace.text).unwrap();
    (folder, path)
}

const ALWAYS: &str = r#""Priority":255"#;

/// A connection with its peer, and 900 bytes of memory that the system scope holds itself.
fn connection_of_a_peer(trace: &mut Trace) {
    let one = r#""DeltaIn":1,"ConnsIn":1"#;
    trace
        .event(
            "reserve_memory",
            "system",
            &format!(r#"{ALWAYS},"Delta":900,"Memory":900"#),
        )
        .event("create_scope", "conn-1", r#""Limit":{"Memory":100}"#)
        .event("add_conn", "transient", one)
        .event("add_conn", "system", one)
        .event("add_conn", "conn-1", one)
        .event("add_conn", "peer:p", one)
        .event("remove_conn", "transient", r#""DeltaIn":-1"#);
}

#[test]
fn what_an_inner_scope_refused_is_in_the_needs_of_the_outer_ones() {
    // The limit of the connection is 100, and it asks for 1000.
    let mut trace = Trace::default();
    connection_of_a_peer(&mut trace);
    trace.event(
        "block_reserve_memory",
        "conn-1",
        &format!(r#"{ALWAYS},"Delta":1000"#),
    );
    let (_folder, path) = written(&trace);
    let limits = assert_nothing_is_refused(&path, &trace.text);
    assert_eq!(limits.system.memory, 1920.into()); // 1900, rounded up
    assert_eq!(limits.peer_default.memory, 1024.into());
    assert_eq!(limits.conn.memory, 1024.into());
    assert_eq!(limits.transient.memory, Limit::UNLIMITED.memory);
}

#[test]
fn what_a_span_refused_is_in_the_needs_of_its_owners_and_their_path() {
    let mut trace = Trace::default();
    connection_of_a_peer(&mut trace);
    let one = r#""DeltaOut":1,"StreamsOut":1"#;
    trace
        .event("create_scope", "stream-1", r#""Limit":{}"#)
        .event("add_stream", "peer:p", one)
        .event("add_stream", "transient", one)
        .event("add_stream", "system", one)
        .event("add_stream", "stream-1", one)
        .event("create_scope", "stream-1.span-1", r#""Limit":{}"#)
        .event("create_scope", "stream-1.span-1.span-1", r#""Limit":{}"#)
        .event(
            "block_reserve_memory",
            "stream-1.span-1.span-1",
            r#""Priority":127,"Delta":512"#,
        );
    let (_folder, path) = written(&trace);
    let limits = assert_nothing_is_refused(&path, &trace.text);
    // At priority 127 a limit lets in half of it.
    assert_eq!(limits.stream.memory, 1024.into());
    assert_eq!(limits.transient.memory, 1024.into());
    assert_eq!(limits.peer_default.memory, 1024.into());
    assert_eq!(limits.system.memory, (2 * (900 + 512) + 248).into()); // rounded up
}

#[test]
fn what_a_peer_refused_is_in_the_needs_of_what_is_asked_after_it() {
    let mut trace = Trace::default();
    let one = r#""DeltaIn":1,"StreamsIn":1"#;
    for (stream, number) in [("stream-1", 1), ("stream-2", 2)] {
        let all = format!(r#""DeltaIn":1,"StreamsIn":{number}"#);
        trace
            .event("create_scope", stream, r#""Limit":{}"#)
            .event("add_stream", "peer:p", &all)
            .event("add_stream", "transient", &all)
            .event("add_stream", "system", &all)
            .event("add_stream", stream, one);
    }
    // The peer refuses a third stream, which transient and system would have been asked for next.
    trace
        .event("create_scope", "stream-3", r#""Limit":{}"#)
        .event("block_add_stream", "peer:p", r#""DeltaIn":1,"StreamsIn":2"#)
        .event("destroy_scope", "stream-3", "")
        // A stream gets its protocol. Then the protocol refuses the second, which the peer's share
        // of it would have been asked for next.
        .event("add_stream", "protocol:/a", one)
        .event("add_stream", "protocol:/a.peer:p", one)
        .event(
            "remove_stream",
            "transient",
            r#""DeltaIn":-1,"StreamsIn":1"#,
        )
        .event(
            "block_add_stream",
            "protocol:/a",
            r#""DeltaIn":1,"StreamsIn":1"#,
        );
    let (_folder, path) = written(&trace);
    let limits = assert_nothing_is_refused(&path, &trace.text);
    let streams = |limit: Limit| limit.streams_inbound;
    assert_eq!(streams(limits.transient), 3.into());
    assert_eq!(streams(limits.system), 3.into());
    assert_eq!(streams(limits.protocol_default), 2.into());
    assert_eq!(streams(limits.protocol_peer_default), 2.into());
}

#[test]
fn subnets_get_as_many_connections_as_any_has_had() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    // Opens a connection from each address, and closes the oldest if more than 12 are open.
    let addresses: Vec<IpAddr> = (0..60_u16)
        .map(|number| match number % 3 {
            0 => Ipv4Addr::new(192, 0, 2, number as u8 % 2).into(),
            subnet => Ipv6Addr::new(0x2001, 0xdb8, number % 2, subnet << 8, 0, 0, 0, number).into(),
        })
        .collect();
    let open_all = |manager: &Manager| -> Result<()> {
        let mut open = VecDeque::new();
        for &ip in &addresses {
            let endpoint = Endpoint::Ip(ip);
            let connection = manager.open_connection(Direction::Inbound, UsesFd::Yes, endpoint)?;
            connection.set_peer(&ip.into())?;
            open.push_back(connection);
            if open.len() > 12 {
                open.pop_front();
            }
        }
        Ok(())
    };
    let sink = TraceSink::builder(&path).start().unwrap();
    let builder = Manager::builder().limits(Limits::unlimited());
    let manager = builder.recorder(sink.recorder()).build().unwrap();
    open_all(&manager).unwrap();
    sink.close().unwrap();

    let suggested = read(&path, None).suggest(1.0);
    let sizes = |subnets: &[SubnetLimit]| -> Vec<(u8, u64)> {
        subnets
            .iter()
            .map(|size| (size.prefix_len, size.conns))
            .collect()
    };
    let limits = suggested.build(&Limits::unlimited());
    let subnets = &limits.addresses.subnets;
    assert_eq!(sizes(&subnets.v4), [(32, 3)]);
    assert_eq!(sizes(&subnets.v6), [(56, 3), (48, 5)]);
    for written in [
        PartialLimits::from_toml(&suggested.to_toml()).unwrap(),
        PartialLimits::from_json(&suggested.to_json()).unwrap(),
    ] {
        assert_eq!(written, suggested);
    }
    // Under these limits all are let in, and with one less not all.
    let manager = |limits: &Limits| Manager::builder().limits(limits.clone()).build().unwrap();
    open_all(&manager(&limits)).unwrap();
    for at in 0..3 {
        let mut config = (*limits.addresses).clone();
        let sizes = config.subnets.v4.iter_mut().chain(&mut config.subnets.v6);
        for size in sizes.skip(at).take(1) {
            size.conns -= 1;
        }
        let addresses = AddressLimits::new(config).unwrap();
        let limits = Limits {
            addresses,
            ..limits.clone()
        };
        assert!(
            matches!(open_all(&manager(&limits)), Err(Error::SubnetLimit(_))),
            "{at}"
        );
    }
}

fn operations(priorities: &[Priority]) -> RandomOps {
    RandomOps {
        kinds: vec![
            (2, Kind::OpenConnection),
            (4, Kind::OpenStream),
            (1, Kind::OpenStreamWith),
            (1, Kind::OpenStreamThrough),
            (2, Kind::BeginSpan),
            (2, Kind::SetPeer),
            (2, Kind::SetProtocol),
            (2, Kind::SetService),
            (6, Kind::Reserve),
            (1, Kind::Hold),
            (1, Kind::Release),
            (1, Kind::Done),
            (1, Kind::Drop),
        ],
        on_shared: 15,
        peers: ["a", "b"].map(|peer| peer.parse().unwrap()).to_vec(),
        protocols: vec!["/a".into(), "/b".into()],
        services: vec!["s".into(), "t".into()],
        endpoints: vec![Endpoint::None],
        addresses: AddressLimits::default(),
        priorities: priorities.to_vec(),
        size: |rng| rng.u64(1..1000),
    }
}

/// Limits of a few, each at random, so that any scope may refuse.
fn random_limits(rng: &mut Rng) -> Limits {
    let mut limits = Limits::unlimited();
    let mut limit = |memory: u64, counts: u64| Limit {
        memory: rng.u64(memory / 4..memory).into(),
        streams: rng.u64(1..counts).into(),
        streams_inbound: rng.u64(1..counts).into(),
        streams_outbound: rng.u64(1..counts).into(),
        conns: rng.u64(1..counts).into(),
        conns_inbound: rng.u64(1..counts).into(),
        conns_outbound: rng.u64(1..counts).into(),
        fd: rng.u64(1..counts).into(),
    };
    limits.system = limit(20_000, 24);
    limits.transient = limit(8_000, 16);
    limits.peer_default = limit(8_000, 12);
    limits.protocol_default = limit(8_000, 12);
    limits.protocol_peer_default = limit(4_000, 8);
    limits.service_default = Some(limit(8_000, 12));
    limits.service_peer_default = limit(4_000, 8);
    limits.conn.memory = limit(3_000, 2).memory;
    limits.stream.memory = limit(3_000, 2).memory;
    limits
}

/// Performs operations under limits, up to the first that a limit refuses if `stops`. Returns their
/// results.
fn perform(limits: Limits, path: Option<&Path>, operations: &[Op], stops: bool) -> Vec<Result<()>> {
    let sink = path.map(|path| TraceSink::builder(path).start().unwrap());
    let builder = Manager::builder().limits(limits);
    let manager = match &sink {
        Some(sink) => builder.recorder(sink.recorder()),
        None => builder,
    };
    let session = Session::new(manager.build().unwrap(), 16);
    let mut results = Vec::new();
    for op in operations {
        results.push(session.perform(op));
        if stops && is_refused(&results) {
            break;
        }
    }
    drop(session);
    if let Some(sink) = sink {
        sink.close().unwrap();
    }
    results
}

/// Whether a limit refused the last operation.
fn is_refused(results: &[Result<()>]) -> bool {
    matches!(results.last(), Some(Err(Error::LimitExceeded(_))))
}

#[test]
fn a_replay_of_random_traces_under_the_suggested_limits_refuses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let priorities = [Priority::Low, Priority::Medium, Priority::Always];
    for seed in 0..60 {
        let mut rng = Rng::with_seed(seed);
        let operations = operations(&priorities);
        let operations: Vec<_> = (0..300).map(|_| operations.draw(&mut rng)).collect();
        let results = perform(random_limits(&mut rng), Some(&path), &operations, false);
        let refused = |result: &Result<()>| matches!(result, Err(Error::LimitExceeded(_)));
        assert!(results.iter().any(refused), "seed {seed}");
        assert_nothing_is_refused(&path, &format!("seed {seed}"));
    }
}

#[test]
fn a_manager_with_the_suggested_limits_grants_the_request_that_was_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    let mut refused = 0;
    for seed in 0..300 {
        let mut rng = Rng::with_seed(seed);
        let operations = operations(&[Priority::Always]);
        let operations: Vec<_> = (0..200).map(|_| operations.draw(&mut rng)).collect();
        // The trace ends with the first refusal.
        let results = perform(random_limits(&mut rng), Some(&path), &operations, true);
        if !is_refused(&results) {
            continue;
        }
        refused += 1;
        let limits = assert_nothing_is_refused(&path, &format!("seed {seed}"));
        let again = perform(limits.clone(), None, &operations[..results.len()], false);
        let (last, before) = results.split_last().unwrap();
        for (at, result) in before
            .iter()
            .enumerate()
            .filter(|(_, result)| result.is_ok())
        {
            let op = &operations[at];
            assert!(
                again[at].is_ok(),
                "seed {seed}, {at}: {op:?}: {result:?} under {limits:#?}"
            );
        }
        assert!(
            !is_refused(&again),
            "seed {seed}: {last:?} {again:?} under {limits:#?}"
        );
    }
    assert!(refused > 200, "{refused}");
}
