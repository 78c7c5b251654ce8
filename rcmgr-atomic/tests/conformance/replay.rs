//! One vector file, replayed.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use rcmgr_atomic::multiaddr::Multiaddr;
use rcmgr_atomic::{
    Builder, Connection, ConnectionScope, Direction, Endpoint, Error, Limit, Limits, Manager,
    PeerId, Priority, ResourceManager, ResourceScope, Result as Outcome, Scope, ScopeSpan,
    ScopeStat, Span, Stream, StreamScope,
};
use rcmgr_config::PartialLimits;
use serde_json::{Value, json};

use crate::addresses::addresses;

/// What is charged on a scope: the list of six in a vector's `stat`.
pub type Usage = [u64; 6];

const NOTHING: Usage = [0; 6];

/// The profile that a file says it is of.
#[allow(dead_code)] // As below.
pub fn profile(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let header: Value = serde_json::from_str(text.lines().next().unwrap_or_default())
        .map_err(|error| format!("{}:1: {error}", file.display()))?;
    let profile = header["profile"].as_str();
    profile
        .map(str::to_owned)
        .ok_or_else(|| format!("{}:1: there is no profile", file.display()))
}

/// What a replay ends in.
#[allow(dead_code)] // Not every test that replays looks at all of this.
pub struct Replayed {
    /// How many steps there were.
    pub steps: usize,
    /// What the vector has said of each scope at last, by the names of scopes.
    pub usage: BTreeMap<String, Usage>,
    /// What is still open, which holds that.
    pub replay: Option<Replay>,
}

/// Replays a file on the manager that `build` makes of what the file asks for. What it ends in, or
/// where it differs first.
pub fn replay(file: &Path, build: impl Fn(Builder) -> Manager) -> Result<Replayed, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut replay: Option<Replay> = None;
    let mut steps = 0;
    for (at, line) in text.lines().enumerate() {
        let here = |why: String| format!("{}:{}: {why}", file.display(), at + 1);
        let json: Value = serde_json::from_str(line).map_err(|error| here(error.to_string()))?;
        match &mut replay {
            None => replay = Some(Replay::new(&json, &build)),
            Some(replay) => {
                replay
                    .step(&json)
                    .map_err(|why| here(format!("{why}\n  step: {line}")))?;
                steps += 1;
            }
        }
    }
    let usage = replay.as_ref().map(Replay::usage).unwrap_or_default();
    Ok(Replayed {
        steps,
        usage,
        replay,
    })
}

enum Handle {
    Connection(Connection),
    Stream(Stream),
    Span(Span),
}

/// The same call on whatever kind of scope it is.
macro_rules! on_any {
    ($handle:expr, $scope:ident => $call:expr) => {
        match $handle {
            Handle::Connection($scope) => $call,
            Handle::Stream($scope) => $call,
            Handle::Span($scope) => $call,
        }
    };
}

pub struct Replay {
    manager: Manager,
    handles: BTreeMap<u64, Handle>,
    /// What the vector has said of each scope so far.
    wanted: HashMap<String, Usage>,
}

impl Replay {
    fn new(header: &Value, build: impl Fn(Builder) -> Manager) -> Self {
        let limits = partial(&header["limits"]).build(&Limits::unlimited());
        Self {
            manager: build(
                Manager::builder()
                    .limits(limits)
                    .addresses(addresses(&header["options"])),
            ),
            handles: BTreeMap::new(),
            wanted: HashMap::new(),
        }
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        let got = match self.perform(step) {
            Ok(()) => json!("ok"),
            Err(error) => describe(&error),
        };
        let want = &step["want"];
        if got != *want {
            return Err(format!("wanted {want}, got {got}"));
        }
        for (scope, usage) in step["stat"].as_object().expect("stat is an object") {
            let usage = serde_json::from_value(usage.clone()).expect("usage is a list of six");
            self.wanted.insert(scope.clone(), usage);
        }
        self.compare()
    }

    fn perform(&mut self, step: &Value) -> Outcome<()> {
        let text = |field: &str| step[field].as_str().unwrap_or_else(|| panic!("no {field}"));
        let number = |field: &str| step[field].as_u64().unwrap_or_else(|| panic!("no {field}"));
        let peer = || -> PeerId { text("peer").parse().expect("a peer id") };
        let size = || -> u64 { text("size").parse().expect("a size in decimal") };
        let direction = || match text("dir") {
            "inbound" => Direction::Inbound,
            "outbound" => Direction::Outbound,
            other => panic!("no direction is {other:?}"),
        };
        match text("op") {
            "open_conn" => {
                let address: Multiaddr = text("addr").parse().expect("a multiaddr");
                let uses_fd = step["fd"].as_bool().expect("fd is a bool").into();
                let endpoint = Endpoint::from(address);
                let opened = self
                    .manager
                    .open_connection(direction(), uses_fd, endpoint)?;
                self.handles.insert(number("h"), Handle::Connection(opened));
            }
            "open_stream" => {
                let opened = self.manager.open_stream(&peer(), direction())?;
                self.handles.insert(number("h"), Handle::Stream(opened));
            }
            "begin_span" => {
                let span = self.on(text("on"), |scope| scope.begin_span())?;
                self.handles.insert(number("h"), Handle::Span(span));
            }
            "set_peer" => self.connection(number("h")).set_peer(&peer())?,
            "set_protocol" => self.stream(number("h")).set_protocol(text("protocol"))?,
            "set_service" => match &self.handles[&number("h")] {
                Handle::Connection(connection) => connection.set_service(text("service"))?,
                Handle::Stream(stream) => stream.set_service(text("service"))?,
                Handle::Span(_) => panic!("a span has no service"),
            },
            "reserve" => {
                let level = u8::try_from(number("prio")).expect("a priority is a byte");
                let priority = Priority::Level(level);
                self.on(text("on"), |scope| scope.reserve_memory(size(), priority))?;
            }
            "release" => self.on(text("on"), |scope| scope.release_memory(size())),
            "set_limit" => {
                let limit = partial(&json!({"System": step["limit"]})).system;
                let limit = limit.build(&Limit::UNLIMITED);
                self.on(text("on"), |scope| scope.set_limit(limit));
            }
            "done" => match &self.handles[&number("h")] {
                Handle::Connection(connection) => connection.done(),
                Handle::Stream(stream) => stream.done(),
                Handle::Span(span) => span.done(),
            },
            other => panic!("no operation is {other:?}"),
        }
        Ok(())
    }

    fn connection(&self, number: u64) -> &Connection {
        match &self.handles[&number] {
            Handle::Connection(connection) => connection,
            _ => panic!("#{number} is no connection"),
        }
    }

    fn stream(&self, number: u64) -> &Stream {
        match &self.handles[&number] {
            Handle::Stream(stream) => stream,
            _ => panic!("#{number} is no stream"),
        }
    }

    /// Calls `f` on a scope: a handle, or one by name.
    fn on<R>(&self, name: &str, f: impl FnOnce(&dyn ResourceScope<Span = Span>) -> R) -> R {
        if let Some(number) = name.strip_prefix('#') {
            let number: u64 = number.parse().expect("a handle's number");
            return on_any!(&self.handles[&number], scope => f(scope));
        }
        f(&self.view(name))
    }

    fn view(&self, name: &str) -> Scope {
        match name.split_once(':') {
            None if name == "system" => self.manager.view_system(),
            None if name == "transient" => self.manager.view_transient(),
            Some(("service", name)) => self.manager.view_service(name),
            Some(("protocol", id)) => self.manager.view_protocol(id),
            Some(("peer", id)) => self.manager.view_peer(&id.parse().expect("a peer id")),
            _ => panic!("no scope is called {name:?}"),
        }
    }

    /// What the vector has said of each scope at last.
    fn usage(&self) -> BTreeMap<String, Usage> {
        let name = |scope: &String| match scope.strip_prefix('#') {
            None => scope.clone(),
            Some(number) => {
                let number: u64 = number.parse().expect("a handle's number");
                on_any!(&self.handles[&number], scope => scope.name().to_string())
            }
        };
        let wanted = self.wanted.iter();
        wanted.map(|(scope, usage)| (name(scope), *usage)).collect()
    }

    /// Compares every scope's usage, of those that the vector knows and of those that there are.
    fn compare(&self) -> Result<(), String> {
        let mut got: HashMap<String, Usage> = self
            .manager
            .scopes()
            .into_iter()
            .map(|scope| (scope.id.to_string(), usage(&scope.stat)))
            .collect();
        for (number, handle) in &self.handles {
            let stat = on_any!(handle, scope => scope.stat());
            got.insert(format!("#{number}"), usage(&stat));
        }
        for name in self.wanted.keys().chain(got.keys()) {
            let (want, got) = (self.wanted.get(name), got.get(name));
            let (want, got) = (want.unwrap_or(&NOTHING), got.unwrap_or(&NOTHING));
            if want != got {
                return Err(format!("{name}: wanted usage {want:?}, got {got:?}"));
            }
        }
        Ok(())
    }
}

/// A partial configuration in a vector.
fn partial(json: &Value) -> PartialLimits {
    PartialLimits::from_json(&json.to_string()).expect("the reference's configuration is good")
}

fn usage(stat: &ScopeStat) -> Usage {
    [
        stat.streams_inbound,
        stat.streams_outbound,
        stat.conns_inbound,
        stat.conns_outbound,
        stat.fd,
        stat.memory,
    ]
}

/// An error as a vector writes it.
fn describe(error: &Error) -> Value {
    match error {
        Error::LimitExceeded(refused) => {
            let class = refused.scope.class().as_str();
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
