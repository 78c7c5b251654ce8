//! A trace is for programs: its names are whole, and its numbers fit into signed 64 bits.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use rcmgr_atomic::{Direction, Limit, LimitValue, Limits, Manager, PeerId, Priority};
use rcmgr_metrics::replay::{Options, replay};
use rcmgr_metrics::trace::{EventKind, TraceReader, TraceSink};
use serde_json::Value;

/// Writes the trace of what `run` does.
fn trace(path: &Path, limits: Limits, run: impl FnOnce(&Manager)) {
    let sink = TraceSink::create(path).unwrap();
    let builder = Manager::builder().limits(limits);
    let manager = builder.recorder(sink.recorder()).build().unwrap();
    run(&manager);
    sink.close().unwrap();
}

#[test]
fn names_in_a_trace_are_neither_escaped_nor_cut() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    let protocol = "/a\u{1b}[2J\n\u{202e}".to_owned() + &"x".repeat(10_000);
    let peer: PeerId = "p".parse().unwrap();
    trace(&path, Limits::unlimited(), |manager| {
        let stream = manager.open_stream(&peer, Direction::Inbound).unwrap();
        stream.set_protocol(&protocol).unwrap();
    });
    let events: Vec<_> = TraceReader::open([path])
        .unwrap()
        .map(|event| event.unwrap().1)
        .collect();
    for name in [
        format!("protocol:{protocol}"),
        format!("protocol:{protocol}.peer:p"),
    ] {
        let created = |kind: &EventKind| *kind == EventKind::CreateScope;
        let mut events = events.iter();
        assert!(events.any(|event| event.scope_name() == name && created(&event.kind)));
    }
}

/// All whole numbers of a JSON value.
fn numbers(json: &Value) -> Vec<i128> {
    match json {
        Value::Number(number) => number.as_i128().into_iter().collect(),
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        Value::Object(members) => members.values().flat_map(numbers).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn amounts_and_limits_over_the_signed_range_are_written_as_its_largest_number() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace.json.gz");
    let mut limits = Limits::unlimited();
    // A limit over the range means unlimited.
    limits.protocol_default = Limit::all(LimitValue::Limited(u64::MAX));
    trace(&path, limits, |manager| {
        let largest = LimitValue::LARGEST;
        for name in ["/a", "/b"] {
            let protocol = manager.view_protocol(name);
            protocol.reserve_memory(largest, Priority::Always).unwrap();
        }
    });
    let mut text = String::new();
    MultiGzDecoder::new(File::open(&path).unwrap())
        .read_to_string(&mut text)
        .unwrap();
    let report = replay(&[path], &Options::default(), &mut |_| {}).unwrap();
    let lines = text.lines().map(str::to_owned).chain([report.to_json()]);
    let numbers: Vec<_> = lines
        .flat_map(|json| numbers(&serde_json::from_str(&json).unwrap()))
        .collect();
    let largest = i128::from(i64::MAX);
    assert!(numbers.contains(&largest));
    assert!(numbers.iter().all(|number| *number <= largest), "{text}");
    assert!(!text.contains("18446744073709551615"));
}
