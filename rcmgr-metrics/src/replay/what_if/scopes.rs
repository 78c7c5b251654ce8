//! The scopes of a trace, and the part of their usage that would not exist.

use std::collections::BTreeMap;
use std::rc::Rc;

use ahash::HashMap;
use rcmgr_core::{Limit, Limits, Resource, ScopeClass, ScopeStat};

use crate::counters::{lower, minus, plus};
use crate::replay::rules::refused_by;
use crate::replay::scope::{base_of, class_of, limit_of};
use crate::trace::{Event, EventKind};

/// The limits of a replay.
#[derive(Debug, Clone)]
pub enum ReplayLimits {
    /// The limits of a configuration.
    Configured(Box<Limits>),
    /// The recorded limit of each scope at its creation. The replay should show no differences.
    Recorded,
}

/// A shared name: many paths refer to it.
pub type Name = Rc<str>;

#[derive(Debug, Default)]
struct Node {
    limit: Option<Limit>,
    recorded: ScopeStat,
    absent: ScopeStat,
    /// The sizes of reservations that would have been refused and are not released yet. Only the
    /// first [`SIZES`] are kept.
    absent_sizes: Vec<u64>,
    /// Only for a connection or stream.
    leaf: Option<Leaf>,
}

#[derive(Debug, Default)]
struct Leaf {
    /// Whether it would not exist.
    is_gone: bool,
    /// The scopes that it is charged on, as far as the trace has shown them.
    path: Vec<Name>,
    /// Its number in order of creation: the key in `transient` and `attached`.
    number: u64,
}

const SIZES: usize = 64;

/// The number of candidates when searching for the connection or stream that got a service. A
/// service is set soon after the protocol, so the search starts with the latest.
const LOOKED_AT: usize = 1024;

/// The request to one scope.
#[derive(Debug)]
pub struct Step {
    pub name: Name,
    pub amount: ScopeStat,
    pub priority: u8,
    /// The recorded usage before the request.
    pub before: ScopeStat,
}

/// All scopes of the trace.
#[derive(Debug)]
pub struct Scopes {
    asked: ReplayLimits,
    nodes: HashMap<Name, Node>,
    /// Connections and streams in transient, in order of creation.
    transient: BTreeMap<u64, Name>,
    /// Connections and streams that have left transient and have no service.
    attached: BTreeMap<u64, Name>,
    leaves: u64,
}

impl Scopes {
    /// No scopes yet, under these limits.
    pub fn new(asked: ReplayLimits) -> Self {
        Self {
            asked,
            nodes: HashMap::default(),
            transient: BTreeMap::new(),
            attached: BTreeMap::new(),
            leaves: 0,
        }
    }

    /// The part of a scope's usage that would not exist.
    pub fn absent(&self, name: &str) -> ScopeStat {
        let node = self.nodes.get(name);
        node.map(|node| node.absent).unwrap_or_default()
    }

    /// The scopes that a connection or stream is charged on.
    pub fn path(&self, name: &str) -> Vec<Name> {
        let leaf = self.nodes.get(name).and_then(|node| node.leaf.as_ref());
        leaf.map(|leaf| leaf.path.clone()).unwrap_or_default()
    }

    /// The same request to another scope, if this scope exists.
    pub fn same_request(&self, name: &str, step: &Step) -> Option<Step> {
        let (name, node) = self.nodes.get_key_value(name)?;
        Some(Step {
            name: name.clone(),
            before: node.recorded,
            ..*step
        })
    }

    /// Undoes the grant of a scope, because another scope refused.
    pub fn undo(&mut self, step: &Step) {
        if let Some(node) = self.nodes.get_mut(&step.name) {
            node.recorded = minus(&node.recorded, &step.amount);
        }
    }

    /// Removes a destroyed scope.
    pub fn remove(&mut self, name: &str) {
        if let Some(leaf) = self.nodes.remove(name).and_then(|node| node.leaf) {
            self.transient.remove(&leaf.number);
            self.attached.remove(&leaf.number);
        }
    }

    /// Adds a created scope.
    pub fn create(&mut self, event: &Event) {
        // The end of an earlier scope with this name may be missing in the trace.
        self.remove(event.scope_name());
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
            ReplayLimits::Configured(limits) => limit_of(event, limits),
            ReplayLimits::Recorded => event.limit.map_or(Limit::UNLIMITED, Limit::from),
        }
    }

    /// Combines the events of each scope to one request. The totals of the trace are correct,
    /// whatever happened before.
    pub fn steps(&mut self, events: &[Event]) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        for event in events {
            let name = self.known(event);
            let node = self.nodes.entry(name.clone()).or_default();
            let amount = event.amount();
            event.set_totals(&mut node.recorded);
            // Reckon back from the totals after the event.
            let before = match &event.kind {
                kind if kind.is_grant() => minus(&node.recorded, &amount),
                kind if kind.is_release() => plus(&node.recorded, &amount),
                _ => node.recorded,
            };
            match steps.last_mut() {
                Some(step) if step.name == name => {
                    step.amount = plus(&step.amount, &amount);
                    // Each event only has the totals of its own resource.
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

    /// The shared name of a scope. A scope from before the start of the trace is added with its
    /// limit.
    fn known(&mut self, event: &Event) -> Name {
        if let Some((name, _)) = self.nodes.get_key_value(event.scope_name()) {
            return name.clone();
        }
        self.create(event);
        event.scope_name().into()
    }

    /// Bounds the absent part by the recorded usage.
    pub fn settle(&mut self, steps: &[Step]) {
        for step in steps {
            if let Some(node) = self.nodes.get_mut(&step.name) {
                node.absent = lower(&node.absent, &node.recorded);
                if node.absent.memory == 0 {
                    node.absent_sizes.clear();
                }
            }
        }
    }

    /// The first of these scopes that would refuse, and its limit.
    pub fn refuses<'a>(
        &self,
        steps: impl IntoIterator<Item = &'a Step>,
    ) -> Option<(Name, Resource)> {
        steps.into_iter().find_map(|step| {
            let node = self.nodes.get(&step.name)?;
            let used = minus(&step.before, &node.absent);
            let limit = node.limit.unwrap_or(Limit::UNLIMITED);
            let resource = refused_by(&limit, &used, &step.amount, step.priority)?;
            Some((step.name.clone(), resource))
        })
    }

    /// Whether a connection or stream would not exist; for a span, its base.
    pub fn is_gone(&self, name: &str) -> bool {
        let leaf = self.nodes.get(base_of(name));
        leaf.is_some_and(|node| node.leaf.as_ref().is_some_and(|leaf| leaf.is_gone))
    }

    /// Adds to the absent part of a scope.
    pub fn add_absent(&mut self, name: &Name, amount: &ScopeStat) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.absent = plus(&node.absent, amount);
        }
    }

    /// Subtracts from the absent part of a scope.
    pub fn remove_absent(&mut self, name: &Name, amount: &ScopeStat) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.absent = minus(&node.absent, amount);
        }
    }

    /// Notes a refusal: an opened connection or stream would not exist; of memory, the size is
    /// kept.
    pub fn note_refusal(&mut self, owner: &Step) {
        let Some(node) = self.nodes.get_mut(&owner.name) else {
            return;
        };
        match &mut node.leaf {
            Some(leaf) if owner.amount.memory == 0 => leaf.is_gone = true,
            _ if node.absent_sizes.len() < SIZES => node.absent_sizes.push(owner.amount.memory),
            _ => {}
        }
    }

    /// Sets the scopes that a connection or stream is charged on.
    pub fn set_path(&mut self, leaf: &str, path: Vec<Name>) {
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
        // Move it to the list of the kind that its next move will search.
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

    /// Finds the connection or stream that got a peer, a protocol or a service. The trace does not
    /// name it, so this takes the latest one that holds exactly the moved amounts and has this
    /// peer.
    pub fn mover(
        &self,
        moved: &ScopeStat,
        from_transient: bool,
        peer: Option<&str>,
    ) -> Option<Name> {
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
        // The latest candidate of the right list wins.
        match from_transient {
            true => self.transient.values().rev().find(suits).cloned(),
            false => {
                let latest = self.attached.values().rev().take(LOOKED_AT);
                latest.into_iter().find(suits).cloned()
            }
        }
    }

    /// Closes a connection or stream that was refused its peer, protocol or service.
    pub fn close(&mut self, name: &Name) {
        let Some(node) = self.nodes.get_mut(name) else {
            return;
        };
        let held = minus(&node.recorded, &node.absent);
        node.absent = node.recorded;
        let Some(leaf) = &mut node.leaf else {
            return;
        };
        leaf.is_gone = true;
        // What it held becomes absent on its whole path, at most as much as is recorded there.
        for name in leaf.path.clone() {
            self.add_absent(&name, &held);
            if let Some(node) = self.nodes.get_mut(&name) {
                node.absent = lower(&node.absent, &node.recorded);
            }
        }
    }

    /// Handles a release by an owner: the absent part of it is no longer absent.
    pub fn release(&mut self, steps: &[Step], owner: Option<&str>) {
        let (Some(owner), Some(first)) = (owner, steps.first()) else {
            return;
        };
        // The whole owner is absent: so is everything it releases.
        if self.is_gone(owner) {
            for step in steps {
                self.remove_absent(&step.name, &step.amount);
            }
            return;
        }
        // Only memory can be partly absent here.
        let amount = first.amount.memory;
        let Some(node) = self.nodes.get_mut(owner) else {
            return;
        };
        // A release of the size of a refused reservation belongs to it.
        let refused = node.absent_sizes.iter().rposition(|size| *size == amount);
        let absent = match refused {
            Some(at) => {
                node.absent_sizes.swap_remove(at);
                amount
            }
            // Any other release first takes memory that was granted; the excess was absent. An owner
            // that was destroyed may have no release event of its own.
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
            self.remove_absent(&step.name, &absent);
        }
    }

    /// Removes all scopes when a manager is created again.
    pub fn forget(&mut self) {
        self.nodes.clear();
        self.transient.clear();
        self.attached.clear();
    }
}

fn is_transient(class: ScopeClass) -> bool {
    matches!(
        class,
        ScopeClass::Transient | ScopeClass::AllowlistedTransient
    )
}
