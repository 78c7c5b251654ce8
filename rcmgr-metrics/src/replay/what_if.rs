//! What other limits would have made of a trace.
//!
//! Every operation of the trace is asked again, under the other limits. A scope's usage is then the
//! one that was recorded, less what is *absent*: what the trace has, and would not be there.

use std::collections::BTreeMap;
use std::rc::Rc;

use ahash::{HashMap, HashMapExt};
use rcmgr_core::{Limit, Limits, Resource, ScopeClass, ScopeStat};
use serde::Serialize;

use super::operation::Operation;
use super::rules::refused_by;
use super::scope::{base_of, class_of, counts_in, limit_of, metric_label};
use super::tally::{lower, minus, plus};
use super::top::Top;
use crate::trace::{Event, EventKind};

/// What other limits would have made of a trace. All numbers are of requests: a request is one
/// operation, of however many scopes it was asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WhatIfReport {
    /// Granted then, and granted again.
    pub granted: u64,
    /// Refused then, and refused again, by whichever scope.
    pub refused: u64,
    /// Granted then, and would have been refused.
    pub would_refuse: u64,
    /// Refused then, and would have been granted.
    pub would_grant: u64,
    /// Of connections and streams that would not have been there, which would not have asked.
    pub not_asked: u64,
    /// Where: by class of scope and limit.
    pub changes: Vec<Change>,
    /// Where: the scopes with the most changes.
    pub scopes: Vec<ScopeChanges>,
}

/// How much would have been different at the scopes of a class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change {
    /// The class of scopes, as in the metric `blocked_resources`.
    pub scope: &'static str,
    /// The limit that would have refused; where it would have granted, what was asked for.
    pub resource: &'static str,
    /// Grants that it would have refused.
    pub would_refuse: u64,
    /// Refusals that it would have granted.
    pub would_grant: u64,
    /// The bytes of both, where it is memory.
    pub bytes: u64,
}

/// How much would have been different at a scope.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ScopeChanges {
    /// Its name.
    pub name: String,
    /// Grants that it would have refused.
    pub would_refuse: u64,
    /// Refusals that it would have granted.
    pub would_grant: u64,
}

/// The limits that are asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// Those of a configuration.
    Configured(Box<Limits>),
    /// Those that the trace has, of each scope when it was made. Nothing should be different.
    Recorded,
}

/// A name; many scopes refer to one.
type Name = Rc<str>;

#[derive(Debug, Default)]
struct Node {
    limit: Option<Limit>,
    recorded: ScopeStat,
    absent: ScopeStat,
    /// Sizes of reservations that would have been refused here and were not given back yet. Of very
    /// many, only so many are told apart.
    absent_sizes: Vec<u64>,
    /// Of a connection or stream.
    leaf: Option<Leaf>,
}

#[derive(Debug, Default)]
struct Leaf {
    /// It would not be there.
    is_gone: bool,
    /// What it is charged on, as far as the trace has shown it.
    path: Vec<Name>,
    /// When it came: its key among those that wait.
    number: u64,
}

const SIZES: usize = 64;

/// How many connections and streams are looked at to find the one that a service was set for. It is
/// set soon after the protocol, so that the latest are looked at first.
const LOOKED_AT: usize = 1024;

/// Asks again.
#[derive(Debug)]
pub struct WhatIf {
    asked: Asked,
    nodes: HashMap<Name, Node>,
    /// Connections and streams in transient, by when they came.
    transient: BTreeMap<u64, Name>,
    /// Those that have left transient, and have no service.
    attached: BTreeMap<u64, Name>,
    leaves: u64,
    report: WhatIfReport,
    changes: BTreeMap<(&'static str, &'static str), [u64; 3]>,
    scopes: Top<[u64; 2]>,
}

/// What is asked of one scope.
#[derive(Debug)]
struct Step {
    name: Name,
    amount: ScopeStat,
    priority: u8,
    /// What it held before, in the trace.
    before: ScopeStat,
}

impl WhatIf {
    /// Asks these limits.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            nodes: HashMap::new(),
            transient: BTreeMap::new(),
            attached: BTreeMap::new(),
            leaves: 0,
            report: WhatIfReport::default(),
            changes: BTreeMap::new(),
            scopes: Top::default(),
        }
    }

    /// Takes the next operation of the trace.
    pub fn apply(&mut self, operation: Operation) {
        match operation {
            Operation::Start => self.forget(),
            Operation::Create(event) => self.create(&event),
            Operation::Grant(events) => {
                let steps = self.steps(&events);
                self.grant(&steps);
                self.settle(&steps);
            }
            Operation::Move { added, released } => {
                let peer = added
                    .iter()
                    .find_map(|event| event.scope.as_ref()?.peer.clone());
                let added = self.steps(&added);
                let released = self.steps(&released);
                self.moved(&added, &released, peer.as_deref());
                self.settle(&added);
                self.settle(&released);
            }
            Operation::Refusal { asked, opening } => {
                let steps = self.steps(&asked);
                self.refusal(&steps, asked.last(), opening.as_deref());
                self.settle(&steps);
            }
            Operation::Release(events) => {
                let steps = self.steps(&events);
                let owner = steps.last().map(|step| step.name.clone());
                self.release(&steps, owner.as_deref());
                self.settle(&steps);
            }
            Operation::Destroy { name, released } => {
                let steps = self.steps(&released);
                self.release(&steps, Some(&name));
                self.settle(&steps);
                if let Some(leaf) = self.nodes.remove(name.as_str()).and_then(|node| node.leaf) {
                    self.transient.remove(&leaf.number);
                    self.attached.remove(&leaf.number);
                }
            }
        }
    }

    /// The report, with so many scopes.
    pub fn finish(mut self, top: usize) -> WhatIfReport {
        let changes = self.changes.into_iter();
        self.report.changes = changes
            .map(
                |((scope, resource), [would_refuse, would_grant, bytes])| Change {
                    scope,
                    resource,
                    would_refuse,
                    would_grant,
                    bytes,
                },
            )
            .collect();
        let scopes = self
            .scopes
            .into_sorted(|[refuse, grant]| (refuse + grant, 0));
        let scopes = scopes.into_iter().take(top);
        self.report.scopes = scopes
            .map(|(name, [would_refuse, would_grant])| ScopeChanges {
                name: name.into(),
                would_refuse,
                would_grant,
            })
            .collect();
        self.report
    }

    /// All scopes of a manager are gone with it.
    fn forget(&mut self) {
        self.nodes.clear();
        self.transient.clear();
        self.attached.clear();
    }

    fn create(&mut self, event: &Event) {
        let mut node = Node {
            limit: Some(self.limit(event)),
            ..Node::default()
        };
        let class = class_of(event.scope_name());
        if let Some(ScopeClass::Connection | ScopeClass::Stream) = class {
            self.leaves += 1;
            node.leaf = Some(Leaf {
                number: self.leaves,
                ..Leaf::default()
            });
        }
        self.nodes.insert(event.scope_name().into(), node);
    }

    fn limit(&self, event: &Event) -> Limit {
        match &self.asked {
            Asked::Configured(limits) => limit_of(event, limits),
            Asked::Recorded => event.limit.map_or(Limit::UNLIMITED, Limit::from),
        }
    }

    /// What was asked of each scope, where the trace has several events of one. The totals that it
    /// has are right, whatever was before.
    fn steps(&mut self, events: &[Event]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for event in events {
            let name = self.known(event);
            let node = self.nodes.entry(name.clone()).or_default();
            let amount = event.amount();
            event.set_totals(&mut node.recorded);
            let before = match &event.kind {
                kind if kind.is_grant() => minus(&node.recorded, &amount),
                kind if kind.is_release() => plus(&node.recorded, &amount),
                _ => node.recorded,
            };
            match steps.last_mut() {
                Some(step) if step.name == name => {
                    step.amount = plus(&step.amount, &amount);
                    // Each event has the totals of its own resource.
                    step.before = match event.kind {
                        EventKind::AddStream | EventKind::AddConn => {
                            minus(&node.recorded, &step.amount)
                        }
                        _ => before,
                    };
                }
                _ => steps.push(Step {
                    name,
                    amount,
                    priority: event.priority,
                    before,
                }),
            }
        }
        steps
    }

    /// The scope's name as it is kept; of one that was there before the trace began, its limit is
    /// found.
    fn known(&mut self, event: &Event) -> Name {
        if let Some((name, _)) = self.nodes.get_key_value(event.scope_name()) {
            return name.clone();
        }
        self.create(event);
        event.scope_name().into()
    }

    /// What is absent is not more than there was.
    fn settle(&mut self, steps: &[Step]) {
        for step in steps {
            if let Some(node) = self.nodes.get_mut(&step.name) {
                node.absent = lower(&node.absent, &node.recorded);
                if node.absent.memory == 0 {
                    node.absent_sizes.clear();
                }
            }
        }
    }

    /// The first of these scopes without room, and which limit it is.
    fn refuses<'a>(&self, steps: impl IntoIterator<Item = &'a Step>) -> Option<(Name, Resource)> {
        steps.into_iter().find_map(|step| {
            let node = self.nodes.get(&step.name)?;
            let used = minus(&step.before, &node.absent);
            let limit = node.limit.unwrap_or(Limit::UNLIMITED);
            let resource = refused_by(&limit, &used, &step.amount, step.priority)?;
            Some((step.name.clone(), resource))
        })
    }

    fn is_gone(&self, name: &str) -> bool {
        let leaf = self.nodes.get(base_of(name));
        leaf.is_some_and(|node| node.leaf.as_ref().is_some_and(|leaf| leaf.is_gone))
    }

    fn lose(&mut self, name: &Name, amount: &ScopeStat) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.absent = plus(&node.absent, amount);
        }
    }

    fn regain(&mut self, name: &Name, amount: &ScopeStat) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.absent = minus(&node.absent, amount);
        }
    }

    fn grant(&mut self, steps: &[Step]) {
        let Some(owner) = steps.last() else {
            return;
        };
        // A span is asked first, then its owner, and so on; then what these are charged on.
        let base = base_of(&owner.name);
        let own = steps.iter().position(|step| *step.name == *base);
        let own = own.unwrap_or(steps.len() - 1);
        let path = steps[..own].iter().map(|step| step.name.clone()).collect();
        self.set_path(base, path);
        let in_order = steps[own..].iter().rev().chain(&steps[..own]);
        if self.is_gone(&owner.name) {
            self.report.not_asked += 1;
        } else if let Some(refusal) = self.refuses(in_order) {
            self.would_refuse(&refusal, owner.amount.memory);
            self.withhold(owner);
        } else {
            self.report.granted += 1;
            return;
        }
        for step in steps {
            self.lose(&step.name, &step.amount);
        }
    }

    /// A connection or stream that was refused is not there; memory is just not there.
    fn withhold(&mut self, owner: &Step) {
        let Some(node) = self.nodes.get_mut(&owner.name) else {
            return;
        };
        match &mut node.leaf {
            Some(leaf) if owner.amount.memory == 0 => leaf.is_gone = true,
            _ if node.absent_sizes.len() < SIZES => node.absent_sizes.push(owner.amount.memory),
            _ => {}
        }
    }

    fn would_refuse(&mut self, (name, resource): &(Name, Resource), bytes: u64) {
        self.report.would_refuse += 1;
        let change = self
            .changes
            .entry((metric_label(counts_in(name)), resource.as_str()));
        let [would_refuse, _, of_memory] = change.or_default();
        *would_refuse += 1;
        if *resource == Resource::Memory {
            *of_memory = of_memory.saturating_add(bytes);
        }
        self.scopes.entry(name)[0] += 1;
        self.scopes.trim(|[refuse, grant]| (refuse + grant, 0));
    }

    fn set_path(&mut self, leaf: &str, path: Vec<Name>) {
        let Some((name, node)) = self.nodes.get_key_value(leaf) else {
            return;
        };
        let Some(number) = node.leaf.as_ref().map(|leaf| leaf.number) else {
            return;
        };
        if node.leaf.as_ref().is_some_and(|leaf| leaf.path == path) {
            return;
        }
        let name = name.clone();
        let has = |wanted: fn(ScopeClass) -> bool| {
            let mut names = path.iter();
            names.any(|name| class_of(name).is_some_and(wanted))
        };
        self.transient.remove(&number);
        self.attached.remove(&number);
        if has(is_transient) {
            self.transient.insert(number, name.clone());
        } else if !has(|class| class == ScopeClass::Service) {
            self.attached.insert(number, name.clone());
        }
        if let Some(leaf) = self
            .nodes
            .get_mut(&name)
            .and_then(|node| node.leaf.as_mut())
        {
            leaf.path = path;
        }
    }

    /// Which connection or stream it was that got a peer, a protocol or a service: the trace does not
    /// say so. It is taken to be the latest one that holds just what was moved, and of this peer.
    fn mover(&self, moved: &ScopeStat, from_transient: bool, peer: Option<&str>) -> Option<Name> {
        let class = match moved.streams() {
            0 => ScopeClass::Connection,
            _ => ScopeClass::Stream,
        };
        let suits = |name: &&Name| {
            let Some(node) = self.nodes.get(*name) else {
                return false;
            };
            let of_peer = |leaf: &Leaf| {
                let mut path = leaf.path.iter();
                let its = path.find_map(|name| name.strip_prefix("peer:"));
                class == ScopeClass::Connection || peer.is_none() || its == peer
            };
            class_of(name) == Some(class)
                && node.recorded == *moved
                && node.leaf.as_ref().is_some_and(of_peer)
        };
        match from_transient {
            true => self.transient.values().rev().find(suits).cloned(),
            false => {
                let latest = self.attached.values().rev().take(LOOKED_AT);
                latest.into_iter().find(suits).cloned()
            }
        }
    }

    fn moved(&mut self, added: &[Step], released: &[Step], peer: Option<&str>) {
        let Some(amount) = added.first().map(|step| step.amount) else {
            return;
        };
        let mover = self.mover(&amount, !released.is_empty(), peer);
        // What the mover has in the trace, and would not have.
        let mut absent = ScopeStat::ZERO;
        if let Some(mover) = &mover {
            let node = self.nodes.get(mover);
            let left = |name: &&Name| released.iter().all(|step| step.name != **name);
            let before = node.and_then(|node| node.leaf.as_ref());
            let before = before.map(|leaf| leaf.path.as_slice()).unwrap_or_default();
            let added = added.iter().map(|step| step.name.clone());
            let path = before.iter().filter(left).cloned().chain(added).collect();
            absent = node.map(|node| node.absent).unwrap_or_default();
            self.set_path(mover, path);
        }
        let would_ask = |step: &Step| Step {
            amount: minus(&step.amount, &absent),
            name: step.name.clone(),
            ..*step
        };
        let asked: Vec<_> = added.iter().map(would_ask).collect();
        let refusal = self.refuses(&asked);
        for step in added {
            self.lose(&step.name, &absent);
        }
        for step in released {
            self.regain(&step.name, &absent);
        }
        if mover.as_ref().is_some_and(|mover| self.is_gone(mover)) {
            self.report.not_asked += 1;
        } else if let Some(refusal) = refusal {
            self.would_refuse(&refusal, amount.memory);
            match mover {
                None => added
                    .iter()
                    .for_each(|step| self.lose(&step.name, &step.amount)),
                Some(mover) => self.close(&mover),
            }
        } else {
            self.report.granted += 1;
        }
    }

    /// A connection or stream that was refused its peer, protocol or service is closed at once.
    fn close(&mut self, name: &Name) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let held = minus(&node.recorded, &node.absent);
        node.absent = node.recorded;
        let Some(leaf) = &mut node.leaf else {
            return;
        };
        leaf.is_gone = true;
        for name in leaf.path.clone() {
            self.lose(&name, &held);
            if let Some(node) = self.nodes.get_mut(&name) {
                node.absent = lower(&node.absent, &node.recorded);
            }
        }
    }

    fn refusal(&mut self, steps: &[Step], refusal: Option<&Event>, opening: Option<&str>) {
        let (Some(last), Some(event)) = (steps.last(), refusal) else {
            return;
        };
        // What was granted before it is given back again.
        let (_, granted) = steps.split_last().expect("there is a last one");
        for step in granted {
            if let Some(node) = self.nodes.get_mut(&step.name) {
                node.recorded = minus(&node.recorded, &step.amount);
            }
        }
        if self.is_gone(&last.name) {
            self.report.not_asked += 1;
            return;
        }
        let rest = self.not_asked_then(steps, event, opening);
        if self.refuses(steps.iter().chain(&rest)).is_some() {
            self.report.refused += 1;
            return;
        }
        self.report.would_grant += 1;
        let amount = &last.amount;
        let resource = match &event.kind {
            EventKind::BlockReserveMemory => Resource::Memory,
            EventKind::BlockAddStream if amount.streams_inbound > 0 => Resource::StreamsInbound,
            EventKind::BlockAddStream => Resource::StreamsOutbound,
            _ if amount.conns_inbound > 0 => Resource::ConnsInbound,
            _ => Resource::ConnsOutbound,
        };
        let change = self
            .changes
            .entry((metric_label(counts_in(&last.name)), resource.as_str()));
        let [_, would_grant, bytes] = change.or_default();
        *would_grant += 1;
        *bytes = bytes.saturating_add(amount.memory);
        self.scopes.entry(&last.name)[1] += 1;
        self.scopes.trim(|[refuse, grant]| (refuse + grant, 0));
    }

    /// The scopes that would have been asked next, had this one not refused, as far as that can be
    /// told: transient and system, of what was being opened, and system of memory.
    fn not_asked_then(&self, steps: &[Step], event: &Event, opening: Option<&str>) -> Vec<Step> {
        let was_asked = |name: &str| steps.iter().any(|step| *step.name == *name);
        let allowlisted = steps
            .iter()
            .any(|step| step.name.starts_with("allowlisted"));
        let [transient, system] = match allowlisted {
            true => ["allowlistedTransient", "allowlistedSystem"],
            false => ["transient", "system"],
        };
        let is_memory = event.kind == EventKind::BlockReserveMemory;
        let next: &[&str] = match (opening, is_memory) {
            (Some(_), false) => &[transient, system],
            (_, true) => &[system],
            _ => &[],
        };
        let asked_last = steps.last();
        let next = next.iter().filter(|name| !was_asked(name));
        next.filter_map(|name| {
            let (name, node) = self.nodes.get_key_value(*name)?;
            let last = asked_last?;
            Some(Step {
                name: name.clone(),
                amount: last.amount,
                priority: last.priority,
                before: node.recorded,
            })
        })
        .collect()
    }

    fn release(&mut self, steps: &[Step], owner: Option<&str>) {
        let (Some(owner), Some(first)) = (owner, steps.first()) else {
            return;
        };
        if self.is_gone(owner) {
            for step in steps {
                self.regain(&step.name, &step.amount);
            }
            return;
        }
        // The owner may have ended without an event of its own release.
        let amount = first.amount.memory;
        let Some(node) = self.nodes.get_mut(owner) else {
            return;
        };
        let refused = node.absent_sizes.iter().rposition(|size| *size == amount);
        let absent = match refused {
            Some(at) => {
                node.absent_sizes.swap_remove(at);
                amount
            }
            None => {
                let before = steps.iter().find(|step| *step.name == *owner);
                let held = before.map_or(node.recorded, |step| step.before);
                amount.saturating_sub(held.memory.saturating_sub(node.absent.memory))
            }
        };
        let absent = ScopeStat {
            memory: absent,
            ..ScopeStat::ZERO
        };
        for step in steps {
            self.regain(&step.name, &absent);
        }
    }
}

fn is_transient(class: ScopeClass) -> bool {
    matches!(
        class,
        ScopeClass::Transient | ScopeClass::AllowlistedTransient
    )
}
