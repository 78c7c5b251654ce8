//! The vectors of single operations: what the reference answered to each, and what every scope used
//! afterwards.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rcmgr_address::{AddressConfig, NetworkLimit, RateLimits, SubnetLimit, SubnetLimits};
use rcmgr_config::PartialLimits;
use rcmgr_core::multiaddr::Multiaddr;
use rcmgr_core::{
    Direction, Error, Limit, LimitValue, Limits, PeerId, Priority, Result as Outcome, ScopeId,
    UsesFd,
};
use serde_json::{Value, json};

use super::lines::json_lines;
use crate::usage::Usage;
use crate::{On, Op, Remote};

/// One file.
#[derive(Debug)]
pub struct ScopeVector {
    /// The file.
    pub file: PathBuf,
    /// What it is about, in a word.
    pub profile: String,
    /// The manager's limits.
    pub limits: Limits,
    /// The manager's limits by address.
    pub addresses: AddressConfig,
    /// How many slots its handles need.
    pub slots: usize,
    /// The operations in order.
    pub steps: Vec<Step>,
}

/// One operation of the reference.
#[derive(Debug)]
pub struct Step {
    /// Its line in the file.
    pub line: usize,
    /// The operation.
    pub op: Op,
    /// What it returned, as the file has it.
    pub want: Value,
    /// The usage that it changed.
    pub usage: BTreeMap<String, Usage>,
}

impl ScopeVector {
    /// Reads every vector of a folder, in the order of the files' names.
    ///
    /// # Errors
    ///
    /// What cannot be read, or that there is no vector.
    pub fn read_all(folder: &Path) -> Result<Vec<Self>, String> {
        let failed = |error| format!("{}: {error}", folder.display());
        let entries = fs::read_dir(folder).map_err(failed)?;
        let mut files = entries
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(failed)?;
        files.retain(|file| file.extension() == Some(OsStr::new("jsonl")));
        files.sort();
        if files.is_empty() {
            return Err(format!("{}: there is no *.jsonl file", folder.display()));
        }
        files.into_iter().map(Self::read).collect()
    }

    fn read(file: PathBuf) -> Result<Self, String> {
        let lines = json_lines(&file)?;
        let [(_, header), steps @ ..] = &lines[..] else {
            return Err(format!("{}: there is no header", file.display()));
        };
        let profile = header["profile"].as_str();
        let profile =
            profile.ok_or_else(|| format!("{}:1: there is no profile", file.display()))?;
        let steps: Vec<Step> = steps.iter().map(|(line, json)| step(*line, json)).collect();
        let new = steps.iter().filter_map(|step| match step.op {
            Op::OpenConnection { slot, .. }
            | Op::OpenStream { slot, .. }
            | Op::BeginSpan { slot, .. } => Some(slot),
            _ => None,
        });
        Ok(Self {
            profile: profile.to_owned(),
            limits: partial(&header["limits"]).build(&Limits::unlimited()),
            addresses: addresses(&header["options"]),
            slots: 1 + new.max().unwrap_or_default(),
            steps,
            file,
        })
    }

    /// Performs every operation, and compares its result and the usage of every scope with the
    /// vector. A session or a model has usage in the form that is asked for here.
    ///
    /// Returns the usage at the end.
    ///
    /// # Errors
    ///
    /// The first difference.
    pub fn replay(
        &self,
        mut perform: impl FnMut(&Op) -> Outcome<()>,
        mut usage: impl FnMut() -> BTreeMap<String, Usage>,
    ) -> Result<BTreeMap<String, Usage>, String> {
        let mut wanted = BTreeMap::new();
        for step in &self.steps {
            let failed = |why| {
                let (file, line) = (self.file.display(), step.line);
                format!("{file}:{line}: {why}\n  step: {:?}", step.op)
            };
            let got = describe(perform(&step.op));
            if got != step.want {
                return Err(failed(format!("wanted {}, got {got}", step.want)));
            }
            wanted.extend(step.usage.clone());
            compare(&wanted, &usage()).map_err(failed)?;
        }
        Ok(wanted)
    }
}

/// Compares the usage of the scopes that either knows. A scope that uses nothing need not be known.
fn compare(wanted: &BTreeMap<String, Usage>, got: &BTreeMap<String, Usage>) -> Result<(), String> {
    for name in wanted.keys().chain(got.keys()) {
        let [wanted, got] = [wanted, got].map(|usage| usage.get(name).copied().unwrap_or_default());
        if wanted != got {
            return Err(format!("{name}: wanted usage {wanted:?}, got {got:?}"));
        }
    }
    Ok(())
}

/// A result as a vector writes it.
fn describe(result: Outcome<()>) -> Value {
    let Err(error) = result else {
        return json!("ok");
    };
    match error {
        Error::LimitExceeded(refused) => {
            let class = refused.scope.class().as_str();
            // Leaves and spans are numbered differently.
            let scope = match class {
                "conn" | "stream" | "span" => class.to_owned(),
                _ => refused.scope.to_string(),
            };
            json!({"err": "limit", "scope": scope, "resource": refused.resource.as_str()})
        }
        Error::ScopeClosed { .. } => json!({"err": "closed"}),
        Error::AlreadyAttached { .. } => json!({"err": "already-attached"}),
        Error::SubnetLimit(_) => json!({"err": "ip-limit"}),
        Error::NoProtocol { .. } => json!({"err": "no-protocol"}),
        other => json!({"err": other.to_string()}),
    }
}

fn step(line: usize, json: &Value) -> Step {
    let usage = json["stat"].as_object().expect("stat is an object");
    let usage = usage.iter().map(|(scope, usage)| {
        let usage = serde_json::from_value(usage.clone());
        (scope.clone(), usage.expect("usage is a list of six"))
    });
    Step {
        line,
        op: op(json),
        want: json["want"].clone(),
        usage: usage.collect(),
    }
}

fn op(json: &Value) -> Op {
    let field = |name: &str| text(&json[name]);
    let number = |name: &str| {
        json[name]
            .as_u64()
            .unwrap_or_else(|| panic!("no {name}: {json}"))
    };
    let slot = || usize::try_from(number("h")).expect("a handle's number is small");
    let peer = || -> PeerId { field("peer").parse().expect("a peer id") };
    let size = || -> u64 { field("size").parse().expect("a size in decimal") };
    let direction = || match field("dir") {
        "inbound" => Direction::Inbound,
        "outbound" => Direction::Outbound,
        other => panic!("{other:?} is no direction"),
    };
    match field("op") {
        "open_conn" => {
            let address: Multiaddr = field("addr").parse().expect("a multiaddr");
            Op::OpenConnection {
                slot: slot(),
                direction: direction(),
                uses_fd: UsesFd::from(json["fd"].as_bool().expect("fd is a bool")),
                endpoint: address.into(),
            }
        }
        "open_stream" => Op::OpenStream {
            slot: slot(),
            remote: Remote::Peer(peer()),
            direction: direction(),
            protocol: None,
            service: None,
        },
        "begin_span" => Op::BeginSpan {
            slot: slot(),
            on: on(field("on")),
        },
        "set_peer" => Op::SetPeer(slot(), peer()),
        "set_protocol" => Op::SetProtocol(slot(), field("protocol").into()),
        "set_service" => Op::SetService(slot(), field("service").into()),
        "reserve" => {
            let level = u8::try_from(number("prio")).expect("a priority is a byte");
            Op::Reserve(on(field("on")), size(), Priority::Level(level))
        }
        "release" => Op::Release(on(field("on")), size()),
        "set_limit" => {
            let limit = partial(&json!({"System": json["limit"]})).system;
            Op::SetLimit(on(field("on")), Some(limit.build(&Limit::UNLIMITED)))
        }
        "done" => Op::Done(slot()),
        other => panic!("{other:?} is no operation"),
    }
}

fn on(name: &str) -> On {
    if let Some(number) = name.strip_prefix('#') {
        return On::Handle(number.parse().expect("a handle's number"));
    }
    On::Scope(match name.split_once(':') {
        None if name == "system" => ScopeId::System,
        None if name == "transient" => ScopeId::Transient,
        Some(("service", name)) => ScopeId::Service(name.into()),
        Some(("protocol", id)) => ScopeId::Protocol(id.into()),
        Some(("peer", id)) => ScopeId::Peer(id.parse().expect("a peer id")),
        _ => panic!("{name:?} is no scope"),
    })
}

/// A partial configuration of the reference.
fn partial(json: &Value) -> PartialLimits {
    PartialLimits::from_json(&json.to_string()).expect("the reference's configuration is good")
}

/// The limits by address in a header. Each replaces the default of its kind and family.
fn addresses(options: &Value) -> AddressConfig {
    let allowlist = options["allowlist"].as_array().into_iter().flatten();
    let mut subnets = SubnetLimits::reference_defaults();
    let per_subnet = &options["limit_per_subnet"];
    replace(&mut subnets.v4, &per_subnet["v4"], subnet_limit);
    replace(&mut subnets.v6, &per_subnet["v6"], subnet_limit);
    let by_network = &options["network_prefix_limit"];
    replace(&mut subnets.v4_networks, &by_network["v4"], network_limit);
    replace(&mut subnets.v6_networks, &by_network["v6"], network_limit);
    AddressConfig {
        allowlist: allowlist
            .map(|entry| text(entry).parse().expect("an entry of the allowlist"))
            .collect(),
        subnets,
        rates: RateLimits::none(),
        ..AddressConfig::reference_defaults()
    }
}

fn replace<T>(default: &mut Vec<T>, given: &Value, read: impl Fn(&Value) -> T) {
    if let Some(given) = given.as_array() {
        *default = given.iter().map(read).collect();
    }
}

fn subnet_limit(json: &Value) -> SubnetLimit {
    let prefix = json["prefix"].as_u64().expect("a prefix length");
    SubnetLimit {
        prefix_len: u8::try_from(prefix).expect("a prefix length"),
        conns: json["conns"].as_u64().expect("a number of connections"),
    }
}

fn network_limit(json: &Value) -> NetworkLimit {
    let conns = json["conns"].as_u64().expect("a number of connections");
    NetworkLimit {
        network: text(&json["network"]).parse().expect("a network"),
        conns: LimitValue::Limited(conns),
    }
}

fn text(json: &Value) -> &str {
    json.as_str().unwrap_or_else(|| panic!("{json} is no text"))
}
