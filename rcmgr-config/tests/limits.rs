//! Replays configurations that the reference (go-libp2p's resource manager) interpreted, and
//! compares every limit.
//!
//! `rcmgr_testkit::vectors` documents where it looks for `limits.jsonl`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use libtest_mimic::{Failed, Trial};
use rcmgr_config::{LimitIncrease, PartialLimits, ScalingLimit, ScalingLimits};
use rcmgr_core::{Limit, LimitValue, Limits, Resource};
use rcmgr_testkit::vectors;
use serde_json::Value;

const KINDS: [&str; 3] = ["scale-default", "scale-one", "json"];

fn main() -> ExitCode {
    let trials = vectors::limits().map(|file| trials(&file));
    vectors::run(trials.unwrap_or_else(|| Ok(Vec::new())))
}

/// A trial for each kind of case.
fn trials(file: &Path) -> Result<Vec<Trial>, String> {
    let mut cases: BTreeMap<&str, Vec<(usize, Value)>> = BTreeMap::new();
    for (line, case) in vectors::json_lines(file)? {
        let mut kinds = KINDS.into_iter();
        let Some(kind) = kinds.find(|kind| case["case"] == **kind) else {
            let (file, kind) = (file.display(), &case["case"]);
            return Err(format!("{file}:{line}: {kind} is not a known kind of case"));
        };
        cases.entry(kind).or_default().push((line, case));
    }
    if cases.is_empty() {
        return Err(format!("{}: there are no cases", file.display()));
    }
    let trial = |(kind, cases): (&'static str, Vec<_>)| {
        Trial::test(kind, move || {
            for (line, case) in &cases {
                replay(kind, case).map_err(|why| Failed::from(format!("line {line}: {why}")))?;
            }
            println!("{kind}: {} cases", cases.len());
            Ok(())
        })
    };
    Ok(cases.into_iter().map(trial).collect())
}

fn replay(kind: &str, case: &Value) -> Result<(), String> {
    let memory = number(&case["memory"])?;
    let fds = number(&case["fds"])?;
    match kind {
        "scale-default" => same(&ScalingLimits::default().scale(memory, fds), &case["want"]),
        "scale-one" => {
            let got = scaling(&case["base"], &case["increase"])?.scale(memory, fds);
            match limit(&case["want"])? {
                want if want == got => Ok(()),
                want => Err(format!("want {want:?}, got {got:?}")),
            }
        }
        "json" => {
            let text = case["text"].as_str().ok_or("the text is missing")?;
            let read = PartialLimits::from_json(text);
            match (read, case["want_error"] == true) {
                (Ok(partial), false) => same(
                    &partial.build(&ScalingLimits::default().scale(memory, fds)),
                    &case["want"],
                ),
                (Err(_), true) => Ok(()),
                (Ok(partial), true) => Err(format!("want an error, got {partial:?}")),
                (Err(error), false) => Err(format!("{error}")),
            }
        }
        _ => Err("unknown kind of case".into()),
    }
}

/// Compares limits with a JSON object of the reference. It does not use the project's own parsers.
fn same(got: &Limits, want: &Value) -> Result<(), String> {
    let mut wanted = BTreeMap::new();
    for (scope, want) in want.as_object().ok_or("limits are an object")? {
        match scope.as_str() {
            "Service" | "ServicePeer" | "Protocol" | "ProtocolPeer" | "Peer" => {
                for (name, want) in want.as_object().ok_or("entries are an object")? {
                    wanted.insert(format!("{scope}.{name}"), limit(want)?);
                }
            }
            _ => {
                wanted.insert(scope.clone(), limit(want)?);
            }
        }
    }
    let got: BTreeMap<_, _> = got
        .entries()
        .map(|(key, limit)| (key.to_string(), limit))
        .collect();
    match got == wanted {
        true => Ok(()),
        false => Err(format!("want {wanted:#?}, got {got:#?}")),
    }
}

fn limit(json: &Value) -> Result<Limit, String> {
    let mut limit = Limit::UNLIMITED;
    for resource in Resource::ALL {
        *limit.get_mut(resource) = match &json[resource.field_name()] {
            Value::String(word) if word == "unlimited" => LimitValue::Unlimited,
            Value::String(word) if word == "blockAll" => LimitValue::BLOCK_ALL,
            value => number(value)?.into(),
        };
    }
    Ok(limit)
}

fn scaling(base: &Value, increase: &Value) -> Result<ScalingLimit, String> {
    let per_gib = |resource: Resource| number(&increase[resource.field_name()]);
    Ok(ScalingLimit {
        base: limit(base)?,
        increase: LimitIncrease {
            memory: per_gib(Resource::Memory)?,
            fd_fraction: increase["FDFraction"].as_f64().unwrap_or(0.0),
            streams: per_gib(Resource::Streams)?,
            streams_inbound: per_gib(Resource::StreamsInbound)?,
            streams_outbound: per_gib(Resource::StreamsOutbound)?,
            conns: per_gib(Resource::Conns)?,
            conns_inbound: per_gib(Resource::ConnsInbound)?,
            conns_outbound: per_gib(Resource::ConnsOutbound)?,
        },
    })
}

fn number(json: &Value) -> Result<u64, String> {
    let number = match json {
        Value::String(digits) => digits.parse().ok(),
        other => other.as_u64(),
    };
    number.ok_or_else(|| format!("{json} is not a number"))
}
