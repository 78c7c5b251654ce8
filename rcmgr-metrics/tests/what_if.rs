//! Replays under other limits, of traces that are short enough to check by hand.

mod support;

use std::fs;

use rcmgr_config::PartialLimits;
use rcmgr_core::{Limit, LimitValue, Limits};
use rcmgr_metrics::replay::{Options, ReplayLimits, Report, WhatIfReport, replay};

use support::Trace;

fn report(trace: &Trace, what_if: Option<ReplayLimits>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    fs::write(&path, &trace.text).unwrap();
    let options = Options {
        what_if,
        ..Options::default()
    };
    replay(&[path], &options, &mut |_| {}).unwrap()
}

fn what_if(trace: &Trace, tighten: impl FnOnce(&mut Limits)) -> WhatIfReport {
    let mut limits = Limits::unlimited();
    tighten(&mut limits);
    let asked = ReplayLimits::Configured(Box::new(limits));
    report(trace, Some(asked)).what_if.unwrap()
}

/// The counts: granted, refused, would refuse, would grant, not asked.
fn counts(what_if: &WhatIfReport) -> [u64; 5] {
    [
        what_if.granted,
        what_if.refused,
        what_if.would_refuse,
        what_if.would_grant,
        what_if.not_asked,
    ]
}

fn changes(what_if: &WhatIfReport) -> Vec<(&str, &str, u64, u64)> {
    let changes = what_if.changes.iter();
    changes
        .map(|change| {
            (
                change.scope,
                change.resource,
                change.would_refuse,
                change.would_grant,
            )
        })
        .collect()
}

/// The events of a stream that is opened with these totals in transient and system, and gets a
/// protocol.
fn stream(trace: &mut Trace, number: u64, transient: u64, all: u64) {
    let leaf = format!("stream-{number}");
    let one = r#""DeltaIn":1,"StreamsIn":"#;
    trace
        .event("create_scope", &leaf, r#""Limit":{}"#)
        .event("add_stream", "peer:p", &format!("{one}{all}"))
        .event("add_stream", "transient", &format!("{one}{transient}"))
        .event("add_stream", "system", &format!("{one}{all}"))
        .event("add_stream", &leaf, &format!("{one}1"));
}

fn protocol(trace: &mut Trace, transient: u64, all: u64) {
    let one = r#""DeltaIn":1,"StreamsIn":"#;
    trace
        .event("add_stream", "protocol:/a", &format!("{one}{all}"))
        .event("create_scope", "protocol:/a.peer:p", r#""Limit":{}"#)
        .event("add_stream", "protocol:/a.peer:p", &format!("{one}{all}"))
        .event(
            "remove_stream",
            "transient",
            &format!(r#""DeltaIn":-1,"StreamsIn":{transient}"#),
        );
}

/// The events of a memory reservation by a stream with the protocol. All scopes except the stream
/// have the same total.
fn memory(trace: &mut Trace, kind: &str, number: u64, delta: i64, total: u64, own: u64) {
    let priority = match kind {
        "reserve_memory" => r#""Priority":101,"#,
        _ => "",
    };
    for name in ["peer:p", "protocol:/a.peer:p", "protocol:/a", "system"] {
        trace.event(
            kind,
            name,
            &format!(r#"{priority}"Delta":{delta},"Memory":{total}"#),
        );
    }
    let leaf = format!("stream-{number}");
    trace.event(
        kind,
        &leaf,
        &format!(r#"{priority}"Delta":{delta},"Memory":{own}"#),
    );
}

/// The events of the end of a stream with the protocol.
fn end(trace: &mut Trace, number: u64, memory: u64, memory_left: u64, streams_left: u64) {
    for name in ["peer:p", "protocol:/a.peer:p", "protocol:/a", "system"] {
        if memory > 0 {
            trace.event(
                "release_memory",
                name,
                &format!(r#""Delta":-{memory},"Memory":{memory_left}"#),
            );
        }
        trace.event(
            "remove_stream",
            name,
            &format!(r#""DeltaIn":-1,"StreamsIn":{streams_left}"#),
        );
    }
    trace.event("destroy_scope", &format!("stream-{number}"), "");
}

#[test]
fn refused_memory_is_absent_and_its_release_ignored() {
    let mut trace = Trace::default();
    stream(&mut trace, 1, 1, 1);
    protocol(&mut trace, 0, 1);
    memory(&mut trace, "reserve_memory", 1, 60, 60, 60);
    memory(&mut trace, "reserve_memory", 1, 50, 110, 110); // 110 > 100: refused
    memory(&mut trace, "reserve_memory", 1, 40, 150, 150); // 100: granted
    memory(&mut trace, "release_memory", 1, -50, 100, 100); // of what is not there
    memory(&mut trace, "reserve_memory", 1, 1, 101, 101); // 101: refused
    memory(&mut trace, "release_memory", 1, -60, 41, 41); // 40 are left
    memory(&mut trace, "reserve_memory", 1, 60, 101, 101); // 100: granted
    memory(&mut trace, "reserve_memory", 1, 7, 108, 108); // 107: refused
    end(&mut trace, 1, 108, 0, 0);
    stream(&mut trace, 2, 1, 1);
    protocol(&mut trace, 0, 1);
    memory(&mut trace, "reserve_memory", 2, 100, 100, 100); // nothing is left of the one before
    // The threshold of priority 101 is 102 / 256 of the limit.
    let of_limit = |limit: u64| limit * 256 / 102 + 1;
    for tighten in [
        (|limits, limit| limits.system.memory = limit) as fn(&mut Limits, LimitValue),
        |limits, limit| limits.peer_default.memory = limit,
        |limits, limit| limits.protocol_default.memory = limit,
        |limits, limit| limits.protocol_peer_default.memory = limit,
        |limits, limit| limits.stream.memory = limit,
        |limits, limit| {
            let memory = Limit {
                memory: limit,
                ..Limit::UNLIMITED
            };
            limits.peer.insert("p".parse().unwrap(), memory);
        },
    ] {
        let what_if = what_if(&trace, |limits| tighten(limits, of_limit(100).into()));
        // Two streams opened, two protocols set, and four of seven reservations.
        assert_eq!(counts(&what_if), [8, 0, 3, 0, 0], "{what_if:#?}");
        assert_eq!(what_if.changes[0].bytes, 58);
        assert_eq!(changes(&what_if).len(), 1);
    }
    assert_eq!(counts(&what_if(&trace, |_| {})), [11, 0, 0, 0, 0]);
}

#[test]
fn a_refused_stream_makes_no_more_requests() {
    let mut trace = Trace::default();
    stream(&mut trace, 1, 1, 1);
    protocol(&mut trace, 0, 1);
    stream(&mut trace, 2, 1, 2); // over system
    protocol(&mut trace, 0, 2); // of the latest, so not asked
    memory(&mut trace, "reserve_memory", 2, 10, 10, 10); // not asked
    memory(&mut trace, "reserve_memory", 1, 10, 20, 10);
    end(&mut trace, 2, 10, 10, 1);
    end(&mut trace, 1, 10, 0, 0);
    stream(&mut trace, 3, 1, 1); // there is room again
    let what_if = what_if(&trace, |limits| {
        limits.system.streams_inbound = 1.into();
        limits.protocol_default.streams = 1.into();
        limits.system.memory = 26.into(); // 10 at this priority, but not 20
    });
    assert_eq!(counts(&what_if), [4, 0, 1, 0, 2], "{what_if:#?}");
    assert_eq!(changes(&what_if), [("system", "StreamsInbound", 1, 0)]);
    assert_eq!(what_if.scopes[0].name, "system");
}

#[test]
fn a_stream_refused_its_protocol_is_closed_at_once() {
    let mut trace = Trace::default();
    stream(&mut trace, 1, 1, 1);
    stream(&mut trace, 2, 2, 2);
    protocol(&mut trace, 1, 1); // of stream 2: refused
    stream(&mut trace, 3, 2, 3); // its place in system is free
    memory(&mut trace, "reserve_memory", 2, 10, 10, 10); // not asked
    end(&mut trace, 2, 10, 0, 2);
    let what_if = what_if(&trace, |limits| {
        limits.system.streams = 2.into();
        limits.transient.streams = 2.into();
        limits.protocol_peer_default.streams_inbound = LimitValue::BLOCK_ALL;
    });
    assert_eq!(counts(&what_if), [3, 0, 1, 0, 1], "{what_if:#?}");
    assert_eq!(changes(&what_if), [("protocol", "StreamsInbound", 1, 0)]);
}

#[test]
fn connections_are_checked_in_their_direction_in_total_and_for_fds() {
    let mut trace = Trace::default();
    for (number, delta) in [(1, "In"), (2, "Out")] {
        let conn = format!("conn-{number}");
        let (ins, outs) = (1, number - 1);
        let total = format!(
            r#""Delta":1,"Delta{delta}":1,"ConnsIn":{ins},"ConnsOut":{outs},"FD":{number}"#
        );
        trace
            .event("create_scope", &conn, r#""Limit":{}"#)
            .event("add_conn", "transient", &total)
            .event("add_conn", "system", &total)
            .event(
                "add_conn",
                &conn,
                &format!(r#""Delta":1,"Delta{delta}":1,"Conns{delta}":1,"FD":1"#),
            );
    }
    type Case = (fn(&mut Limits), [u64; 5], &'static str);
    let cases: [Case; 5] = [
        (|_| {}, [2, 0, 0, 0, 0], ""),
        (
            |limits| limits.system.conns = 1.into(),
            [1, 0, 1, 0, 0],
            "Conns",
        ),
        (|limits| limits.system.fd = 1.into(), [1, 0, 1, 0, 0], "FD"),
        (
            |limits| limits.transient.conns_inbound = 0.into(),
            [1, 0, 1, 0, 0],
            "ConnsInbound",
        ),
        (
            |limits| limits.conn.conns_outbound = 0.into(),
            [1, 0, 1, 0, 0],
            "ConnsOutbound",
        ),
    ];
    for (tighten, expected, resource) in cases {
        let what_if = what_if(&trace, tighten);
        assert_eq!(counts(&what_if), expected, "{resource}");
        let of: Vec<_> = what_if
            .changes
            .iter()
            .map(|change| change.resource)
            .collect();
        assert_eq!(of.concat(), resource);
    }
}

#[test]
fn a_refusal_that_would_be_granted_is_counted_and_charges_nothing() {
    let mut trace = Trace::default();
    stream(&mut trace, 1, 1, 1);
    for _ in 0..2 {
        trace
            .event(
                "reserve_memory",
                "peer:p",
                r#""Priority":255,"Delta":10,"Memory":10"#,
            )
            .event(
                "reserve_memory",
                "transient",
                r#""Priority":255,"Delta":10,"Memory":10"#,
            )
            .event(
                "block_reserve_memory",
                "system",
                r#""Priority":255,"Delta":10,"Memory":95"#,
            )
            .event("release_memory", "peer:p", r#""Delta":-10"#)
            .event("release_memory", "transient", r#""Delta":-10"#);
    }
    trace
        .event("create_scope", "stream-2", r#""Limit":{}"#)
        .event("block_add_stream", "peer:p", r#""DeltaIn":1,"StreamsIn":1"#)
        .event("destroy_scope", "stream-2", "");
    let granted = what_if(&trace, |limits| limits.system.memory = 105.into());
    assert_eq!(counts(&granted), [1, 0, 0, 3, 0], "{granted:#?}");
    assert_eq!(
        changes(&granted),
        [("peer", "StreamsInbound", 0, 1), ("system", "Memory", 0, 2)]
    );
    assert_eq!(granted.changes[1].bytes, 20);

    // Refused again, by the same scope or another one, also by a scope after it that the trace does
    // not show.
    for tighten in [
        (|limits| limits.system.memory = 104.into()) as fn(&mut Limits),
        |limits| limits.peer_default.memory = 9.into(),
        |limits| limits.transient.memory = 9.into(),
    ] {
        let what_if = what_if(&trace, tighten);
        assert_eq!(counts(&what_if), [1, 2, 0, 1, 0], "{what_if:#?}");
    }
    for tighten in [
        (|limits| limits.system.streams = 1.into()) as fn(&mut Limits),
        |limits| limits.transient.streams_inbound = 1.into(),
    ] {
        let what_if = what_if(&trace, tighten);
        assert_eq!(counts(&what_if), [1, 1, 0, 2, 0], "{what_if:#?}");
    }
}

#[test]
fn a_connection_gets_its_peer_with_what_it_holds() {
    let mut trace = Trace::default();
    for number in [1, 2] {
        let conn = format!("conn-{number}");
        let total = format!(r#""DeltaIn":1,"ConnsIn":{number}"#);
        trace
            .event("create_scope", &conn, r#""Limit":{}"#)
            .event("add_conn", "transient", r#""DeltaIn":1,"ConnsIn":1"#)
            .event("add_conn", "system", &total)
            .event("add_conn", &conn, r#""DeltaIn":1,"ConnsIn":1"#);
        let memory = format!(r#""Priority":255,"Delta":30,"Memory":{}"#, number * 30);
        trace
            .event(
                "reserve_memory",
                "transient",
                r#""Priority":255,"Delta":30,"Memory":30"#,
            )
            .event("reserve_memory", "system", &memory)
            .event(
                "reserve_memory",
                &conn,
                r#""Priority":255,"Delta":30,"Memory":30"#,
            )
            .event("reserve_memory", "peer:p", &memory)
            .event("add_conn", "peer:p", &total)
            .event("release_memory", "transient", r#""Delta":-30"#)
            .event("remove_conn", "transient", r#""DeltaIn":-1"#);
    }
    // Each connection is opened, reserves memory, and gets its peer.
    assert_eq!(counts(&what_if(&trace, |_| {})), [6, 0, 0, 0, 0]);
    let memory = what_if(&trace, |limits| limits.peer_default.memory = 59.into());
    assert_eq!(counts(&memory), [5, 0, 1, 0, 0]);
    assert_eq!(changes(&memory), [("peer", "Memory", 1, 0)]);
    let conns = what_if(&trace, |limits| limits.peer_default.conns = 1.into());
    assert_eq!(changes(&conns), [("peer", "Conns", 1, 0)]);
    // The memory of the second one is absent, so it moves to its peer without memory.
    let transient = what_if(&trace, |limits| {
        limits.system.memory = 59.into();
        limits.peer_default.memory = 30.into();
    });
    assert_eq!(counts(&transient), [5, 0, 1, 0, 0], "{transient:#?}");
    assert_eq!(changes(&transient), [("system", "Memory", 1, 0)]);
}

#[test]
fn spans_and_scopes_asked_directly_are_operations_too() {
    let mut trace = Trace::default();
    stream(&mut trace, 1, 1, 1);
    protocol(&mut trace, 0, 1);
    trace.event("create_scope", "stream-1.span-1", r#""Limit":{}"#);
    memory(&mut trace, "reserve_memory", 1, 10, 10, 10);
    trace.event(
        "reserve_memory",
        "stream-1.span-1",
        r#""Priority":101,"Delta":10,"Memory":10"#,
    );
    trace
        .event(
            "reserve_memory",
            "system",
            r#""Priority":255,"Delta":5,"Memory":15"#,
        )
        .event(
            "reserve_memory",
            "service:s",
            r#""Priority":255,"Delta":5,"Memory":5"#,
        );
    memory(&mut trace, "release_memory", 1, -10, 5, 0);
    trace.event("destroy_scope", "stream-1.span-1", "");
    assert_eq!(counts(&what_if(&trace, |_| {})), [4, 0, 0, 0, 0]);
    let span = what_if(&trace, |limits| {
        limits.stream.memory = 9.into();
        limits.system.memory = 5.into();
        limits.protocol_default.memory = 25.into();
    });
    // The span is checked first, and its refused memory is absent in system.
    assert_eq!(counts(&span), [3, 0, 1, 0, 0], "{span:#?}");
    assert_eq!(changes(&span), [("stream", "Memory", 1, 0)]);
    let direct = what_if(&trace, |limits| {
        limits.service.insert("s".into(), Limit::BLOCK_ALL);
    });
    assert_eq!(changes(&direct), [("service", "Memory", 1, 0)]);
}

#[test]
fn a_recreated_manager_starts_at_zero() {
    let mut trace = Trace::default();
    for _ in 0..3 {
        trace.event("start", "", r#""Limit":{}"#);
        stream(&mut trace, 1, 1, 1);
    }
    let limits = |limits: &mut Limits| limits.system.streams = 1.into();
    assert_eq!(counts(&what_if(&trace, limits)), [3, 0, 0, 0, 0]);
    let report = report(&trace, None);
    assert_eq!((report.restarts, report.system), (2, [1, 0, 0, 0, 0, 0]));
}

#[test]
fn mixed_up_events_cause_no_panic() {
    // All orders of the events of two streams, cut into pieces, cause no panic. Without limits
    // nothing is refused.
    let mut trace = Trace::default();
    stream(&mut trace, 1, 1, 1);
    protocol(&mut trace, 0, 1);
    memory(&mut trace, "reserve_memory", 1, 10, 10, 10);
    stream(&mut trace, 2, 1, 2);
    end(&mut trace, 1, 10, 0, 1);
    let lines: Vec<&str> = trace.text.lines().collect();
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..200 {
        let mut lines = lines.clone();
        random.shuffle(&mut lines);
        let mixed = Trace {
            text: lines.join("\n"),
            ..Trace::default()
        };
        let none = what_if(&mixed, |_| {});
        assert_eq!((none.would_refuse, none.refused), (0, 0));
        let tight = what_if(&mixed, |limits| {
            limits.system.streams = 1.into();
            limits.stream.memory = 3.into();
            limits.protocol_default = Limit::BLOCK_ALL;
        });
        assert!(tight.would_refuse + tight.granted + tight.not_asked > 0);
        let limits = report(&mixed, None).suggest(1.0);
        let suggested = what_if(&mixed, |all| *all = limits.build(&Limits::unlimited()));
        assert_eq!(suggested.would_refuse, 0, "{suggested:#?}\n{}", mixed.text);
    }
}

#[test]
fn suggested_limits_grant_all_that_was_granted_or_refused() {
    let mut trace = Trace::default();
    stream(&mut trace, 1, 1, 1);
    protocol(&mut trace, 0, 1);
    memory(&mut trace, "reserve_memory", 1, 1000, 1000, 1000);
    trace.event(
        "block_add_stream",
        "peer:p",
        r#""DeltaIn":1,"StreamsIn":33"#,
    );
    trace.event(
        "block_add_conn",
        "system",
        r#""Delta":1,"DeltaOut":1,"ConnsIn":4,"ConnsOut":2,"FD":3"#,
    );
    let suggested = report(&trace, None).suggest(1.5);
    let expected = "[System]
Streams = 51
StreamsInbound = 51
StreamsOutbound = 51
Conns = 11
ConnsInbound = 6
ConnsOutbound = 5
FD = 6
Memory = 3840

[Transient]
Streams = 2
StreamsInbound = 2
StreamsOutbound = 2

[ProtocolDefault]
Streams = 2
StreamsInbound = 2
StreamsOutbound = 2
Memory = 3840

[ProtocolPeerDefault]
Streams = 2
StreamsInbound = 2
StreamsOutbound = 2
Memory = 3840

[PeerDefault]
Streams = 51
StreamsInbound = 51
StreamsOutbound = 51
Memory = 3840

[Stream]
Streams = 1
StreamsInbound = 1
StreamsOutbound = 1
Memory = 3840
";
    assert_eq!(suggested.to_toml(), expected);
    assert_eq!(
        PartialLimits::from_json(&suggested.to_json()),
        Ok(suggested)
    );
}

#[test]
fn a_connection_that_leaves_the_allowlist_gets_the_standard_limits() {
    let one = |totals: &str| format!(r#""DeltaIn":1{totals}"#);
    let mut trace = Trace::default();
    trace
        .event("create_scope", "conn-1", r#""Limit":{}"#)
        .event("add_conn", "allowlistedTransient", &one(r#","ConnsIn":1"#))
        .event("add_conn", "allowlistedSystem", &one(r#","ConnsIn":1"#))
        .event("add_conn", "conn-1", &one(r#","ConnsIn":1"#))
        .event("remove_conn", "allowlistedTransient", r#""DeltaIn":-1"#)
        .event("remove_conn", "allowlistedSystem", r#""DeltaIn":-1"#)
        .event("add_conn", "system", &one(r#","ConnsIn":1"#))
        .event("add_conn", "transient", &one(r#","ConnsIn":1"#))
        .event("add_conn", "peer:p", &one(r#","ConnsIn":1"#))
        .event("remove_conn", "transient", r#""DeltaIn":-1"#)
        .event(
            "reserve_memory",
            "peer:p",
            r#""Priority":255,"Delta":9,"Memory":9"#,
        )
        .event(
            "reserve_memory",
            "system",
            r#""Priority":255,"Delta":9,"Memory":9"#,
        )
        .event(
            "reserve_memory",
            "conn-1",
            r#""Priority":255,"Delta":9,"Memory":9"#,
        );
    assert_eq!(counts(&what_if(&trace, |_| {})), [3, 0, 0, 0, 0]);
    let standard = what_if(&trace, |limits| {
        limits.system.conns = LimitValue::BLOCK_ALL;
        limits.allowlisted_system.conns = 1.into();
    });
    assert_eq!(counts(&standard), [1, 0, 1, 0, 1], "{standard:#?}");
    assert_eq!(changes(&standard), [("system", "Conns", 1, 0)]);
}
