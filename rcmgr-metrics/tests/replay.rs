//! Replays of small traces.

#[path = "support/streams.rs"]
mod streams;
mod support;

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::slice;

use allocation_counter::measure;
use cpu_time::ThreadTime;
use flate2::Compression;
use flate2::write::GzEncoder;
use rcmgr_core::Limits;
use rcmgr_metrics::replay::operation::{Assembler, Operation};
use rcmgr_metrics::replay::{Options, ReplayLimits, Report, replay};
use rcmgr_metrics::trace::Event;

use support::Trace;

fn report_of(text: &str, options: &Options) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    fs::write(&path, text).unwrap();
    replay(&[path], options, &mut |_| {}).unwrap()
}

#[test]
fn usage_peaks_and_refusals_are_those_of_the_events() {
    let mut trace = Trace::default();
    trace
        .event("start", "", r#""Limit":{}"#)
        .event("create_scope", "system", r#""Limit":{}"#)
        .event("create_scope", "peer:p", r#""Limit":{}"#)
        .event(
            "add_conn",
            "peer:p",
            r#""Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1"#,
        )
        .event(
            "add_conn",
            "peer:p",
            r#""DeltaOut":1,"ConnsIn":1,"ConnsOut":1,"FD":1"#,
        )
        .event(
            "reserve_memory",
            "system",
            r#""Priority":255,"Delta":70,"Memory":70"#,
        )
        .event("release_memory", "system", r#""Delta":-30,"Memory":40"#)
        .event(
            "block_reserve_memory",
            "system",
            r#""Priority":127,"Delta":60,"Memory":40"#,
        )
        .event(
            "block_add_conn",
            "peer:p",
            r#""Delta":1,"DeltaIn":1,"ConnsIn":1,"ConnsOut":1,"FD":1"#,
        )
        .event("block_add_stream", "service:s.peer:p", r#""DeltaOut":1"#)
        .event("block_add_stream", "service:s", r#""DeltaOut":1"#)
        .event(
            "block_reserve_memory",
            "conn-1.span-3",
            r#""Priority":255,"Delta":5"#,
        )
        .event("destroy_scope", "peer:p", "")
        .event("sneeze", "system", "");
    let options = Options {
        points: 7,
        ..Options::default()
    };
    let report = report_of(&trace.text, &options);
    assert_eq!(report.system, [0, 0, 0, 0, 0, 40]);
    assert_eq!(report.transient, [0; 6]);
    let blocked = report.blocked_resources.iter();
    let blocked: Vec<_> = blocked
        .map(|blocked| (blocked.scope, blocked.resource, blocked.dir, blocked.value))
        .collect();
    let expected = [
        ("peer", "fd", "", 1),
        ("conn", "memory", "", 1),
        ("system", "memory", "", 1),
        ("peer", "connection", "inbound", 1),
        ("service", "stream", "outbound", 2),
    ];
    assert_eq!(blocked, expected);
    let bytes = report.blocked_resources.iter().map(|blocked| blocked.bytes);
    let bytes: Vec<_> = bytes.collect();
    assert_eq!(bytes, [None, Some(5), Some(60), None, None]);
    let names: Vec<_> = report
        .scopes
        .iter()
        .map(|scope| scope.name.as_str())
        .collect();
    // With equal refusals, scopes with more events come first, then by name.
    let expected = [
        "system",
        "peer:p",
        "conn-1.span-3",
        "service:s",
        "service:s.peer:p",
    ];
    assert_eq!(names, expected);
    let [system, peer, ..] = report.scopes.as_slice() else {
        panic!("{names:?}");
    };
    assert_eq!(
        (system.peak.memory, system.events, system.refused.requests),
        (70, 4, 1)
    );
    assert_eq!(
        (peer.usage, peer.peak.conns, peer.peak.fd, peer.events),
        (None, 2, 1, 5)
    );
    let class = report
        .classes
        .iter()
        .find(|class| class.class == "peer")
        .unwrap();
    assert_eq!(
        (
            class.created,
            class.live,
            class.needed.conns,
            class.needed.fd
        ),
        (1, 0, 3, 2)
    );
    // A priority of half of the limit needs 200 bytes for 100.
    assert_eq!(report.classes[0].needed.memory, 200);
    assert_eq!(report.nanos, 13_000_000);

    // 14 events, a millisecond apart, two for each point.
    let memory: Vec<_> = report.over_time[0]
        .usage
        .iter()
        .map(|usage| usage[5])
        .collect();
    assert_eq!(memory, [0, 0, 70, 70, 40, 40, 40]);
    let conns: Vec<_> = report.over_time[1]
        .usage
        .iter()
        .map(|usage| usage[2] + usage[3])
        .collect();
    assert_eq!(conns, [0, 1, 2, 2, 2, 2, 2]);
    assert_eq!(report.over_time[1].refused, [0, 0, 0, 0, 1, 0, 0]);
    assert_eq!(report.read.unknown_types.total, 1);
}

#[test]
fn a_trace_without_requests_gives_an_empty_report() {
    let options = Options {
        points: 5,
        ..Options::default()
    };
    // All events at the same time.
    let one = report_of(
        Trace::default().event("start", "", "").text.as_str(),
        &options,
    );
    assert_eq!((one.nanos, one.read.events, one.scopes.len()), (0, 1, 0));
    assert!(
        one.suggest(1.5)
            .entries()
            .all(|(_, limit)| limit.is_default())
    );
    // An early trace has no times, so there is no usage over time.
    let early = r#"{"Type":"add_conn","Scope":"system","DeltaIn":1,"ConnsIn":1}"#;
    let early = report_of(early, &options);
    assert_eq!((early.from.as_deref(), early.nanos), (None, 0));
    assert_eq!(
        (early.system, early.over_time.len()),
        ([0, 0, 1, 0, 0, 0], 0)
    );
}

#[test]
fn hostile_names_do_not_break_out_of_the_page_or_of_json() {
    let hostile = [
        "</text></svg><script>alert(1)</script>",
        "\" onload=\"alert(1)",
        "' onload='alert(1)",
        "line\nbreak\r\u{1b}[2J\u{202e}",
        "&lt;b&gt;",
        &"long".repeat(100_000),
    ];
    let mut trace = Trace::default();
    for name in hostile {
        trace
            .event(
                "reserve_memory",
                &format!("service:{name}"),
                r#""Delta":3,"Memory":3"#,
            )
            .event("block_add_conn", &format!("peer:{name}"), r#""DeltaIn":1"#)
            .event("add_stream", name, r#""DeltaIn":1,"StreamsIn":1"#);
    }
    trace.text += "{\"Time\":\"2026-11-22T01:00:00Z\",\"Type\":\"<img src=x>\"}\n";
    let options = Options {
        top: 100,
        points: 9,
        what_if: Some(ReplayLimits::Configured(Box::new(Limits {
            service_default: Some(rcmgr_core::Limit::BLOCK_ALL),
            ..Limits::unlimited()
        }))),
    };
    let report = report_of(&trace.text, &options);
    let html = report.to_html();
    for forbidden in [
        "<script",
        "onload=\"",
        "onload='",
        "<img",
        "\u{1b}",
        "\u{202e}",
    ] {
        assert!(!html.contains(forbidden), "{forbidden:?}");
    }
    assert!(html.contains("service:&lt;/text&gt;"));
    assert!(html.len() < 200_000, "{}", html.len());
    assert!(html.contains("&amp;lt;b&amp;gt;"));
    assert_eq!(html.matches("<svg").count(), html.matches("</svg>").count());
    for external in ["http:", "https:", "src=", "href=", "url(", "@import"] {
        assert!(
            !html.replace("&lt;img src=x&gt;", "").contains(external),
            "{external}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let scopes = json["scopes"].as_array().unwrap();
    let name = format!("peer:{}", hostile[3]);
    assert!(scopes.iter().any(|scope| scope["name"] == *name));
    assert_eq!(json["what_if"]["would_refuse"], 6);
}

#[test]
fn random_bytes_cause_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    write_long(&path, 3);
    let gzip = fs::read(&path).unwrap();
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(gzip.as_slice())
        .read_to_string(&mut text)
        .unwrap();
    let options = Options {
        points: 3,
        what_if: Some(ReplayLimits::Configured(Box::new(Limits {
            transient: rcmgr_core::Limit::BLOCK_ALL,
            ..Limits::unlimited()
        }))),
        ..Options::default()
    };
    let mut random = fastrand::Rng::with_seed(11);
    let mut read = 0;
    for round in 0..2000 {
        let mut bytes = match round % 4 {
            0 => gzip.clone(),
            _ => text.clone().into_bytes(),
        };
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..bytes.len());
            match round % 4 {
                // Replace a digit by another digit.
                1 | 2 if bytes[at].is_ascii_digit() => bytes[at] = random.u8(b'0'..=b'9'),
                2 => {}
                _ => bytes[at] = random.u8(..),
            }
        }
        fs::write(&path, bytes).unwrap();
        if let Ok(report) = replay(slice::from_ref(&path), &options, &mut |_| {}) {
            read += 1;
            let written = report.to_html().len() + report.to_json().len();
            assert!(written > 0 && report.suggest(1.5).to_toml().len() < 10_000);
        }
    }
    assert!((500..2000).contains(&read), "{read}");
}

/// Writes peers that come once, and one that comes back, with 10 events each.
fn write_long(path: &Path, peers: u64) {
    let gzip = GzEncoder::new(File::create(path).unwrap(), Compression::fast());
    let mut file = BufWriter::new(gzip);
    let mut trace = Trace::default();
    for number in 0..peers {
        let peer = match number % 10 {
            0 => "peer:often".to_owned(),
            _ => format!("peer:{number}"),
        };
        let conn = format!("conn-{number}");
        let one = r#""Delta":1,"DeltaIn":1,"ConnsIn":1,"FD":1"#;
        trace
            .event("create_scope", &conn, r#""Limit":{"Conns":1}"#)
            .event("add_conn", "transient", one)
            .event("add_conn", "system", one)
            .event("add_conn", &conn, one)
            .event("create_scope", &peer, r#""Limit":{"Conns":1}"#)
            .event(
                "block_add_conn",
                &peer,
                r#""Delta":1,"DeltaIn":1,"ConnsIn":8,"FD":8"#,
            )
            .event("remove_conn", "transient", r#""Delta":-1,"DeltaIn":-1"#)
            .event("remove_conn", "system", r#""Delta":-1,"DeltaIn":-1"#)
            .event("destroy_scope", &conn, "")
            .event("destroy_scope", &peer, "");
        file.write_all(trace.text.as_bytes()).unwrap();
        trace.text.clear();
    }
    file.into_inner().unwrap().finish().unwrap();
}

#[test]
fn memory_is_bounded_for_files_of_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    // A debug build is slow, so it uses fewer events.
    let peers = if cfg!(debug_assertions) {
        10_000
    } else {
        200_000
    };
    let options = Options {
        points: 120,
        what_if: Some(ReplayLimits::Configured(Box::new(Limits::unlimited()))),
        ..Options::default()
    };
    let most = |peers: u64| {
        write_long(&path, peers);
        let mut report = None;
        let allocated =
            measure(|| report = replay(slice::from_ref(&path), &options, &mut |_| {}).ok());
        let report = report.expect("the file can be read");
        assert_eq!(report.read.events, peers * 10);
        let often = report
            .scopes
            .iter()
            .find(|scope| scope.name == "peer:often")
            .unwrap();
        assert_eq!(often.refused.requests, peers / 10);
        let peer = report
            .classes
            .iter()
            .find(|class| class.class == "peer")
            .unwrap();
        assert_eq!(
            (peer.refused.requests, peer.refused.fd, peer.live),
            (peers, peers, 0)
        );
        let what_if = report.what_if.unwrap();
        assert_eq!((what_if.granted, what_if.would_grant), (peers, peers));
        allocated.bytes_max
    };
    let (short, long) = (most(peers / 2), most(peers));
    println!(
        "{short} bytes for {} events, {long} for {}",
        peers / 2 * 10,
        peers * 10
    );
    assert!(long < 4 << 20, "{long}");
    assert!(long < short + short / 10, "{short} {long}");
}

/// The work of a replay under other limits, for each event.
struct Work {
    nanos: f64,
    allocations: f64,
    bytes_max: u64,
}

fn work(text: &[u8]) -> Work {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json");
    fs::write(&path, text).unwrap();
    let mut limits = Limits::unlimited();
    limits.system.memory = 1_000_000.into();
    limits.transient.streams = 500.into();
    let options = Options {
        what_if: Some(ReplayLimits::Configured(Box::new(limits))),
        ..Options::default()
    };
    let mut events = 0;
    let mut run = || {
        let report = replay(slice::from_ref(&path), &options, &mut |_| {}).unwrap();
        events = report.read.events;
    };
    let allocated = measure(&mut run);
    // The processor time of this thread, at its best: other processes do not count.
    let nanos = (0..3).map(|_| {
        let begin = ThreadTime::now();
        run();
        begin.elapsed().as_nanos()
    });
    let nanos = nanos.min().unwrap();
    Work {
        nanos: nanos as f64 / events as f64,
        allocations: allocated.count_total as f64 / events as f64,
        bytes_max: allocated.bytes_max,
    }
}

/// The work for each event does not grow with the length of the trace.
fn assert_linear(short: &Work, long: &Work) {
    println!(
        "for each event: {:.0} ns and {:.0} ns, {:.2} and {:.2} allocations; {} and {} bytes at most",
        short.nanos,
        long.nanos,
        short.allocations,
        long.allocations,
        short.bytes_max,
        long.bytes_max,
    );
    assert!(long.allocations < short.allocations * 1.1);
    // A search or a list that grows with the trace would take eight times as long.
    assert!(long.nanos < short.nanos * 3.0);
}

#[test]
fn work_is_linear_in_the_streams_that_wait_in_transient() {
    // All are opened before the first gets its protocol.
    let text = |streams: u64| {
        let mut text = Vec::new();
        streams::write_streams(&mut text, streams * 6 + streams * 5, streams * 6).unwrap();
        text
    };
    let (short, long) = (work(&text(1_000)), work(&text(8_000)));
    assert_linear(&short, &long);
}

#[test]
fn work_and_memory_are_linear_in_releases_of_the_same_size() {
    // Releases of one size on as many scopes, as of reservations from before the trace.
    let text = |scopes: u64| {
        let mut trace = Trace::default();
        for number in 0..scopes {
            for name in [format!("peer:{number}"), format!("service:{number}.peer:p")] {
                trace.event("release_memory", &name, r#""Delta":-64"#);
            }
        }
        trace.text.into_bytes()
    };
    let (short, long) = (work(&text(2_000)), work(&text(16_000)));
    assert_linear(&short, &long);
    // Scopes that hold nothing and have no end in the trace are not kept.
    assert!(long.bytes_max < short.bytes_max * 2);
}

#[test]
fn an_operation_has_at_most_one_scope_of_each_class() {
    let mut trace = Trace::default();
    for number in 0..1000 {
        trace.event(
            "release_memory",
            &format!("peer:{number}"),
            r#""Delta":-64"#,
        );
    }
    for number in 0..1000 {
        trace.event(
            "reserve_memory",
            &format!("scope {number}"),
            r#""Delta":64,"Memory":64"#,
        );
    }
    let mut longest = 0;
    let mut operations = 0;
    let mut count = |operation| {
        operations += 1;
        longest = longest.max(match operation {
            Operation::Grant(events) | Operation::Release(events) => events.len(),
            Operation::Move { added, released } => added.len() + released.len(),
            _ => 0,
        });
    };
    let mut assembler = Assembler::default();
    for line in trace.text.lines() {
        let event: Event = serde_json::from_str(line).unwrap();
        assembler.push(event, &mut count);
    }
    assembler.flush(&mut count);
    assert_eq!((longest, operations), (1, 2000));
}

#[test]
fn memory_depends_on_the_live_scopes_and_not_on_the_events() {
    let most = |events: u64| {
        let mut text = Vec::new();
        streams::write_streams(&mut text, events, 3_000).unwrap();
        work(&text).bytes_max
    };
    let (short, long) = (most(20_000), most(80_000));
    println!("{short} and {long} bytes at most");
    assert!(long < short * 2, "{short} {long}");
}
