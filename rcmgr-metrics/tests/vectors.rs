//! The replay of one run that the reference (go-libp2p's resource manager) recorded, compared with its
//! metrics and its usage at the end.
//!
//! `rcmgr_testkit::vectors` says where the vectors are looked for.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use flate2::read::MultiGzDecoder;
use libtest_mimic::{Failed, Trial};
use rcmgr_config::PartialLimits;
use rcmgr_core::Limits;
use rcmgr_metrics::replay::{HEADROOM, Options, ReplayLimits, Report, replay};
use rcmgr_metrics::trace::{Event, Notes, TraceReader};
use rcmgr_testkit::vectors;
use serde_json::Value;

fn main() -> ExitCode {
    let trials = vectors::observe().map(|folder| trials(&folder));
    vectors::run(Ok(trials.unwrap_or_default()))
}

type Test = fn(&Path) -> Result<(), Failed>;

fn trials(folder: &Path) -> Vec<Trial> {
    let tests: [(&str, Test); 5] = [
        ("the_trace_is_written_again_byte_for_byte", written_again),
        ("usage_at_the_end_is_that_of_the_reference", final_usage),
        ("refusals_are_those_of_the_metrics", refusals),
        (
            "under_the_recorded_limits_every_decision_is_the_same",
            same_decisions,
        ),
        (
            "under_suggested_limits_nothing_granted_is_refused",
            suggested,
        ),
    ];
    let trial = |(name, test): (&str, Test)| {
        let folder = folder.to_owned();
        Trial::test(name, move || test(&folder))
    };
    tests.map(trial).into()
}

fn trace(folder: &Path) -> [PathBuf; 1] {
    [folder.join("trace.json.gz")]
}

fn report(folder: &Path, what_if: Option<ReplayLimits>) -> Result<Report, Failed> {
    let options = Options {
        what_if,
        points: 50,
        ..Options::default()
    };
    Ok(replay(&trace(folder), &options, &mut |_| {})?)
}

fn written_again(folder: &Path) -> Result<(), Failed> {
    let [file] = trace(folder);
    let mut text = String::new();
    MultiGzDecoder::new(fs::File::open(&file)?).read_to_string(&mut text)?;
    let mut reader = TraceReader::open([file])?;
    let mut again = Vec::new();
    for event in &mut reader {
        event?.1.write_line(&mut again)?;
    }
    assert!(again == text.as_bytes());
    let events = text.lines().count() as u64;
    assert_eq!(
        *reader.notes(),
        Notes {
            events,
            ..Notes::default()
        }
    );
    println!("{events} events");
    Ok(())
}

fn final_usage(folder: &Path) -> Result<(), Failed> {
    let json: Value = serde_json::from_str(&report(folder, None)?.to_json())?;
    let wanted: Value = serde_json::from_str(&fs::read_to_string(folder.join("final.json"))?)?;
    for scope in ["system", "transient"] {
        assert_eq!(json[scope], wanted[scope], "{scope}");
    }
    Ok(())
}

fn refusals(folder: &Path) -> Result<(), Failed> {
    let mut wanted = BTreeMap::new();
    for line in fs::read_to_string(folder.join("metrics.prom"))?.lines() {
        if let Some(rest) = line.strip_prefix("libp2p_rcmgr_blocked_resources{") {
            let (labels, value) = rest.split_once("} ").ok_or("no value")?;
            wanted.insert(labels.to_owned(), value.parse::<f64>()?);
        }
    }
    let json: Value = serde_json::from_str(&report(folder, None)?.to_json())?;
    let blocked = json["blocked_resources"].as_array().ok_or("no list")?;
    let had: BTreeMap<_, _> = blocked
        .iter()
        .map(|blocked| {
            let labels =
                ["dir", "resource", "scope"].map(|label| format!("{label}={}", blocked[label]));
            // The reference counts bytes of memory; `value` has the number of requests.
            let value = match &blocked["bytes"] {
                Value::Null => &blocked["value"],
                bytes => bytes,
            };
            (labels.join(","), value.as_f64().unwrap())
        })
        .collect();
    assert!(!wanted.is_empty());
    assert_eq!(had, wanted);
    Ok(())
}

fn same_decisions(folder: &Path) -> Result<(), Failed> {
    let what_if = report(folder, Some(ReplayLimits::Recorded))?
        .what_if
        .ok_or("nothing asked")?;
    assert_eq!(
        (what_if.would_refuse, what_if.would_grant, what_if.not_asked),
        (0, 0, 0),
        "{what_if:#?}"
    );
    println!(
        "{} granted, {} refused, as then",
        what_if.granted, what_if.refused
    );
    // Every refusal is one event, and every one was asked again.
    assert_eq!(what_if.refused, 64 + 79 + 88);
    // The same limits as a configuration, which finds them by the scopes' names.
    let limits = recorded_limits(folder)?;
    let configured = report(folder, Some(ReplayLimits::Configured(Box::new(limits))))?.what_if;
    assert_eq!(configured, Some(what_if));
    Ok(())
}

fn recorded_limits(folder: &Path) -> Result<Limits, Failed> {
    let events = TraceReader::open(trace(folder))?.map(|event| Ok(event?.1));
    let events: Vec<Event> = events.collect::<Result<_, Failed>>()?;
    support::recorded_limits(&events)
}

fn suggested(folder: &Path) -> Result<(), Failed> {
    for headroom in [1.0, HEADROOM, 4.0] {
        let suggested = report(folder, None)?.suggest(headroom);
        let read = PartialLimits::from_toml(&suggested.to_toml())?;
        assert_eq!(read, suggested);
        assert_eq!(PartialLimits::from_json(&suggested.to_json())?, suggested);
        let limits = read.build(&Limits::unlimited());
        let what_if = report(folder, Some(ReplayLimits::Configured(Box::new(limits))))?.what_if;
        let what_if = what_if.ok_or("nothing asked")?;
        assert_eq!(what_if.would_refuse, 0, "{what_if:#?}");
        assert_eq!(what_if.would_grant + what_if.refused, 64 + 79 + 88);
        // If the peer refused a stream, the scopes behind it were not asked. With headroom they have room.
        assert!(headroom == 1.0 || what_if.refused == 0, "{what_if:#?}");
    }
    Ok(())
}
