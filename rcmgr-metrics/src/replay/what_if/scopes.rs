//! The scopes of a trace, and what of them would not be there.

use std::collections::BTreeMap;
use std::rc::Rc;

use ahash::HashMap;
use rcmgr_core::{Limit, Limits, Resource, ScopeClass, ScopeStat};

use crate::counters::{lower, minus, plus};
use crate::replay::rules::refused_by;
use crate::replay::scope::{base_of, class_of, limit_of};
use crate::trace::{Event, EventKind};

/// The limits that are asked.
#[derive(Debug, Clone)]
pub enum Asked {
    /// Those of a configuration.
    Configured(Box<Limits>),
    /// Those that the trace has, of each scope when it was made. Nothing should be different.
    Recorded,
}

/// A name; many scopes refer to one.
pub type Name = Rc<str>;

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

/// What is asked of one scope.
#[derive(Debug)]
pub struct Step {
    pub name: Name,
    pub amount: ScopeStat,
    pub priority: u8,
    /// What it held before, in the trace.
    pub before: ScopeStat,
}

/// All scopes.
#[derive(Debug)]
pub struct Scopes {
    asked: Asked,
    nodes: HashMap<Name, Node>,
    /// Connections and streams in transient, by when they came.
    transient: BTreeMap<u64, Name>,
    /// Those that have left transient, and have no service.
    attached: BTreeMap<u64, Name>,
    leaves: u64,
}

impl Scopes {
    /// No scopes, under these limits.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            nodes: HashMap::default(),
            transient: BTreeMap::new(),
            attached: BTreeMap::new(),
            leaves: 0,
        }
    }

    /// What of a scope would not be there.
    pub fn absent(&self, name: &str) -> ScopeStat {
        let node = self.nodes.get(name);
        node.map(|node| node.absent).unwrap_or_default()
    }

    /// What a connection or stream is charged on.
    pub fn path(&self, name: &str) -> Vec<Name> {
        let leaf = self.nodes.get(name).and_then(|node| node.leaf.as_ref());
        leaf.map(|leaf| leaf.path.clone()).unwrap_or_default()
    }

    /// The same request to another scope, if there is such a scope.
    pub fn likewise(&self, name: &str, step: &Step) -> Option<Step> {
        let (name, node) = self.nodes.get_key_value(name)?;
        Some(Step {
            name: name.clone(),
            before: node.recorded,
            ..*step
        })
    }

    /// What a scope had granted was given back, since another refused.
    pub fn undo(&mut self, step: &Step) {
        if let Some(node) = self.nodes.get_mut(&step.name) {
            node.recorded = minus(&node.recorded, &step.amount);
        }
    }

    /// A scope is gone.
    pub fn remove(&mut self, name: &str) {
        if let Some(leaf) = self.nodes.remove(name).and_then(|node| node.leaf) {
            self.transient.remove(&leaf.number);
            self.attached.remove(&leaf.number);
        }
    }

    /// A scope is made.
    pub fn create(&mut self, event: &Event) {
        // Where the end of one before it is not in the trace.
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
            Asked::Configured(limits) => limit_of(event, limits),
            Asked::Recorded => event.limit.map_or(Limit::UNLIMITED, Limit::from),
        }
    }

    /// What was asked of each scope, where the trace has several events of one. The totals that it
    /// has are right, whatever was before.
    pub fn steps(&mut self, events: &[Event]) -> Vec<Step> {
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

    /// The first of these scopes without room, and which limit it is.
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

    /// Whether a connection or stream, or who a span is of, would not be there.
    pub fn is_gone(&self, name: &str) -> bool {
        let leaf = self.nodes.get(base_of(name));
        leaf.is_some_and(|node| node.leaf.as_ref().is_some_and(|leaf| leaf.is_gone))
    }

    /// So much more of a scope would not be there.
    pub fn lose(&mut self, name: &Name, amount: &ScopeStat) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.absent = plus(&node.absent, amount);
        }
    }

    /// So much less of a scope is absent.
    pub fn regain(&mut self, name: &Name, amount: &ScopeStat) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.absent = minus(&node.absent, amount);
        }
    }

    /// A connection or stream that was refused is not there; memory is just not there.
    pub fn withhold(&mut self, owner: &Step) {
        let Some(node) = self.nodes.get_mut(&owner.name) else {
            return;
        };
        match &mut node.leaf {
            Some(leaf) if owner.amount.memory == 0 => leaf.is_gone = true,
            _ if node.absent_sizes.len() < SIZES => node.absent_sizes.push(owner.amount.memory),
            _ => {}
        }
    }

    /// What a connection or stream is charged on from now on.
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
        match from_transient {
            true => self.transient.values().rev().find(suits).cloned(),
            false => {
                let latest = self.attached.values().rev().take(LOOKED_AT);
                latest.into_iter().find(suits).cloned()
            }
        }
    }

    /// A connection or stream that was refused its peer, protocol or service is closed at once.
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
        for name in leaf.path.clone() {
            self.lose(&name, &held);
            if let Some(node) = self.nodes.get_mut(&name) {
                node.absent = lower(&node.absent, &node.recorded);
            }
        }
    }

    /// Something is given back, by its owner: what was absent of it is absent no more.
    pub fn release(&mut self, steps: &[Step], owner: Option<&str>) {
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

    /// All scopes of a manager are gone with it.
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
