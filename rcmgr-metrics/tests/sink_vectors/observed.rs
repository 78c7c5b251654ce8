//! A trace of the reference: its operations are performed again on our manager, and the events of both
//! are compared.
//!
//! One difference is on purpose and left out of the comparison. We collect a peer's or protocol's scope
//! as soon as nothing uses it, and make it again when it is needed. The reference collects once a
//! minute, which is longer than its trace.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use libtest_mimic::Failed;
use rcmgr_atomic::{Direction, Endpoint, Manager, Priority, Result as Outcome, ScopeStat};
use rcmgr_metrics::replay::operation::{Assembler, Operation};
use rcmgr_metrics::trace::{Event, EventKind, TraceReader, TraceSink};

use crate::support::recorded_limits;

type Handle = rcmgr_testkit::Handle<Manager>;

/// Performs the operations of the trace, and compares the events.
pub fn same_events(folder: &Path) -> Result<(), Failed> {
    let wanted = events(&folder.join("trace.json.gz"))?;
    let mut operations = Vec::new();
    let mut assembler = Assembler::default();
    for event in &wanted {
        assembler.push(event.clone(), &mut |operation| operations.push(operation));
    }
    assembler.flush(&mut |operation| operations.push(operation));

    let room = tempfile::tempdir()?;
    let trace = room.path().join("trace.json.gz");
    let sink = TraceSink::create(&trace)?;
    let manager = Manager::builder()
        .limits(recorded_limits(&wanted)?)
        .recorder(sink.recorder())
        .build()?;
    let mut doer = Doer::new(manager, &operations);
    for operation in &operations {
        doer.apply(operation)?;
    }
    assert_eq!(sink.dropped(), 0);
    sink.close()?;

    let had = without_collections(events(&trace)?);
    for (at, (wanted, had)) in wanted.iter().zip(&had).enumerate() {
        let had = Event {
            time: wanted.time.clone(),
            ..had.clone()
        };
        if *wanted != had {
            let lines = [wanted.to_line(), had.to_line()].join("\n");
            return Err(format!("event {}, wanted and had:\n{lines}", at + 1).into());
        }
    }
    assert_eq!(wanted.len(), had.len());
    println!("{} operations, {} events", operations.len(), had.len());
    Ok(())
}

fn events(file: &Path) -> Result<Vec<Event>, Failed> {
    let events = TraceReader::open([file])?.map(|event| Ok(event?.1));
    events.collect()
}

/// Leaves out the events of scopes that were collected and made again, after checking that they were
/// unused.
fn without_collections(events: Vec<Event>) -> Vec<Event> {
    let mut held: HashMap<String, ScopeStat> = HashMap::new();
    let mut gone = HashSet::new();
    let mut left = Vec::new();
    for event in events {
        let name = event.scope_name().to_owned();
        let is_collected = ["peer:", "protocol:"].iter().any(|it| name.starts_with(it))
            || name.starts_with("service:") && name.contains(".peer:");
        event.set_totals(held.entry(name.clone()).or_default());
        match event.kind {
            EventKind::DestroyScope if is_collected => {
                assert!(held[&name].is_zero(), "{name} holds {}", held[&name]);
                assert!(gone.insert(name), "a scope is collected twice");
            }
            EventKind::CreateScope if gone.remove(&name) => {}
            _ => left.push(event),
        }
    }
    left
}

/// Performs operations of a trace. A trace does not say which connection or stream moved or was refused
/// memory. Any one does that is charged on the same scopes and will be charged where this one moves to.
struct Doer {
    manager: Manager,
    handles: HashMap<String, Handle>,
    /// Connections and streams in the order in which they were opened.
    order: Vec<String>,
    /// The scopes that each is charged on now.
    paths: HashMap<String, Vec<String>>,
    /// The scopes that each is charged on at the end, as far as the trace shows.
    ends_on: HashMap<String, Vec<String>>,
}

fn names(events: &[Event]) -> Vec<String> {
    let names = events.iter().map(|event| event.scope_name().to_owned());
    let mut names: Vec<_> = names.collect();
    names.dedup();
    names
}

fn amount(events: &[Event]) -> ScopeStat {
    let first = events[0].scope_name();
    let mut sum = ScopeStat::ZERO;
    for event in events.iter().filter(|event| event.scope_name() == first) {
        let amount = event.amount();
        sum.memory += amount.memory;
        sum.streams_inbound += amount.streams_inbound;
        sum.streams_outbound += amount.streams_outbound;
        sum.conns_inbound += amount.conns_inbound;
        sum.conns_outbound += amount.conns_outbound;
        sum.fd += amount.fd;
    }
    sum
}

fn direction(amount: &ScopeStat) -> Direction {
    match amount.streams_inbound + amount.conns_inbound {
        0 => Direction::Outbound,
        _ => Direction::Inbound,
    }
}

/// Whether the path at the end, if it is known, is one that a move leads to.
type GoesThere<'a> = &'a dyn Fn(Option<&Vec<String>>) -> bool;

fn is_transient(path: &[String]) -> bool {
    path.iter().any(|name| name == "transient")
}

fn is_leaf(name: &str) -> bool {
    let is_of_a_leaf = name.starts_with("conn-") || name.starts_with("stream-");
    is_of_a_leaf && !name.contains(".span-")
}

impl Doer {
    fn new(manager: Manager, operations: &[Operation]) -> Self {
        let mut ends_on = HashMap::new();
        for operation in operations {
            match operation {
                Operation::Grant(events) => {
                    let mut path = names(events);
                    let owner = path.pop().filter(|owner| is_leaf(owner));
                    if let Some(leaf) = owner.filter(|_| !is_transient(&path)) {
                        ends_on.insert(leaf, path);
                    }
                }
                Operation::Destroy { name, released } if !released.is_empty() => {
                    ends_on.insert(name.clone(), names(released));
                }
                _ => {}
            }
        }
        Self {
            manager,
            handles: HashMap::new(),
            order: Vec::new(),
            paths: HashMap::new(),
            ends_on,
        }
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), Failed> {
        match operation {
            Operation::Start => {}
            Operation::Create(event) => {
                if let Some((owner, _)) = event.scope_name().rsplit_once(".span-") {
                    let span = self.handles[owner].scope().begin_span()?;
                    assert_eq!(span.name().to_string(), event.scope_name());
                    self.insert(Handle::Span(span));
                }
            }
            Operation::Grant(events) => self.grant(events)?,
            Operation::Move { added, released } => self.moves(added, released)?,
            Operation::Refusal { asked, opening } => self.refusal(asked, opening.as_deref()),
            Operation::Release(events) => {
                let owner = events.last().ok_or("nobody")?.scope_name();
                let size = amount(events).memory;
                self.handles[owner].scope().release_memory(size);
            }
            Operation::Destroy { name, .. } => {
                if let Some(handle) = self.handles.remove(name) {
                    handle.done();
                }
                self.paths.remove(name);
                self.order.retain(|other| other != name);
            }
        }
        Ok(())
    }

    fn insert(&mut self, handle: Handle) {
        let name = handle.scope().name().to_string();
        self.handles.insert(name, handle);
    }

    fn grant(&mut self, events: &[Event]) -> Outcome<()> {
        let mut path = names(events);
        let owner = path.pop().expect("a leaf asks");
        let (amount, level) = (amount(events), events[0].priority);
        if amount.memory > 0 {
            let priority = Priority::Level(level);
            return self.handles[&owner]
                .scope()
                .reserve_memory(amount.memory, priority);
        }
        let handle = self.open(&owner, &path[0], &amount)?;
        self.insert(handle);
        assert!(
            self.handles.contains_key(&owner),
            "{owner} has another number"
        );
        self.order.push(owner.clone());
        self.paths.insert(owner, path);
        Ok(())
    }

    fn open(&self, name: &str, first: &str, amount: &ScopeStat) -> Outcome<Handle> {
        let direction = direction(amount);
        if name.starts_with("conn-") {
            let uses_fd = (amount.fd > 0).into();
            let opened = self
                .manager
                .open_connection(direction, uses_fd, Endpoint::None);
            return opened.map(Handle::Connection);
        }
        let peer = first.strip_prefix("peer:").expect("a stream has a peer");
        let peer = peer.parse().expect("a peer id");
        self.manager
            .open_stream(&peer, direction)
            .map(Handle::Stream)
    }

    /// The latest connection or stream that holds this much and satisfies `f`.
    fn latest(&self, holds: &ScopeStat, f: impl Fn(&str, &[String]) -> bool) -> Option<String> {
        let suits = |name: &&String| {
            let held = self.handles[*name].scope().stat();
            held == *holds && f(name, &self.paths[*name])
        };
        self.order.iter().rev().find(suits).cloned()
    }

    fn moves(&mut self, added: &[Event], released: &[Event]) -> Outcome<()> {
        let first = added[0].scope_name().to_owned();
        let peer = added
            .iter()
            .find_map(|event| event.scope.as_ref()?.peer.clone());
        let of_peer = peer.map(|peer| format!("peer:{peer}"));
        let may_move = |name: &str, path: &[String], goes_there: GoesThere<'_>| {
            let is_of_peer = first.starts_with("peer:")
                || of_peer.as_ref().is_some_and(|peer| path.contains(peer));
            let has_protocol = path.iter().any(|name| name.starts_with("protocol:"));
            is_of_peer
                && is_transient(path) != released.is_empty()
                && has_protocol == first.starts_with("service:")
                && !path.contains(&first)
                && goes_there(self.ends_on.get(name))
        };
        let holds = amount(added);
        let find = |goes_there: GoesThere<'_>| {
            self.latest(&holds, |name, path| may_move(name, path, goes_there))
        };
        let mover = find(&|end| end.is_some_and(|end| end.contains(&first)));
        let mover = mover.or_else(|| find(&|end| end.is_none()));
        let mover = mover.unwrap_or_else(|| panic!("no leaf can move to {first}"));
        match (&self.handles[&mover], first.split_once(':')) {
            (Handle::Connection(connection), Some(("peer", peer))) => {
                connection.set_peer(&peer.parse().expect("a peer id"))?;
            }
            (Handle::Stream(stream), Some(("protocol", id))) => stream.set_protocol(id)?,
            (Handle::Stream(stream), Some(("service", name))) => stream.set_service(name)?,
            _ => panic!("{mover} can't move to {first}"),
        }
        let left = names(released);
        let path = self.paths.get_mut(&mover).expect("it has a path");
        path.retain(|name| !left.contains(name));
        path.extend(names(added));
        Ok(())
    }

    fn refusal(&mut self, asked: &[Event], opening: Option<&str>) {
        let event = asked.last().expect("a scope refused");
        if let Some(name) = opening {
            let opened = self.open(name, asked[0].scope_name(), &event.amount());
            assert!(opened.is_err(), "{name} is refused");
            return;
        }
        if event.kind == EventKind::BlockReserveMemory {
            let path: HashSet<String> = names(asked).into_iter().collect();
            let same = |name: &&String| {
                let own: HashSet<String> = self.paths[*name].iter().cloned().collect();
                own == path
            };
            // The one with the most room under its own limit.
            let memory = |name: &&String| self.handles[*name].scope().stat().memory;
            let asks = self.order.iter().filter(same).min_by_key(memory);
            let asks = asks.expect("a leaf is on this path");
            let priority = Priority::Level(event.priority);
            let size = event.amount().memory;
            let refused = self.handles[asks].scope().reserve_memory(size, priority);
            assert!(refused.is_err(), "{asks} is refused");
            return;
        }
        let peer = event.scope_name().strip_prefix("peer:").expect("its peer");
        let asks = self.latest(&amount(asked), |_, path| path[0] == "transient");
        let asks = asks.expect("a connection has no peer yet");
        let Handle::Connection(connection) = &self.handles[&asks] else {
            panic!("{asks} is no connection");
        };
        let refused = connection.set_peer(&peer.parse().expect("a peer id"));
        assert!(refused.is_err(), "{asks} is refused");
    }
}
