//! The scopes of a trace, and the part of their usage that would not exist.

use ahash::HashMap;
use rcmgr_core::{Limit, Limits, Resource, ScopeClass, ScopeStat};

use super::waiting::{Mover, Name, Waiting};
use crate::counters::{lower, minus, plus};
use crate::replay::rules::refused_by;
use crate::replay::scope::{base_of, class_of, counts_in, limit_of};
use crate::trace::{Event, EventKind};

/// The limits of a replay.
#[derive(Debug, Clone)]
pub enum ReplayLimits {
    /// The limits of a configuration.
    Configured(Box<Limits>),
    /// The recorded limit of each scope at its creation. The replay should show no differences.
    Recorded,
}

#[derive(Debug, Default)]
struct Node {
    limit: Option<Limit>,
    /// The class that it counts in.
    counts_in: &'static str,
    /// Whether it stays while it holds nothing: its end is in the trace, or it has none.
    stays: bool,
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
    /// Whether it is a connection, not a stream.
    is_connection: bool,
    /// The scopes that it is charged on, as far as the trace has shown them.
    path: Vec<Name>,
    /// Its number in order of creation.
    number: u64,
    /// Its key in the index of those that may move.
    waits: Option<Mover>,
}

impl Leaf {
    /// The key in the index; `None` if it cannot move again.
    fn key(&self, held: &ScopeStat) -> Option<Mover> {
        let has = |wanted: fn(ScopeClass) -> bool| {
            let mut names = self.path.iter();
            names.any(|name| class_of(name).is_some_and(wanted))
        };
        let from_transient = has(is_transient);
        if !from_transient && (self.path.is_empty() || has(|class| class == ScopeClass::Service)) {
            return None;
        }
        let of_peer = |name: &&Name| name.starts_with(PEER);
        Some(Mover {
            from_transient,
            held: *held,
            peer: match self.is_connection {
                true => None,
                false => self.path.iter().find(of_peer).cloned(),
            },
        })
    }
}

/// The beginning of the names of peers' scopes.
const PEER: &str = "peer:";

const SIZES: usize = 64;

/// The request to one scope.
#[derive(Debug)]
pub struct Step {
    pub name: Name,
    /// The class that the scope counts in.
    pub counts_in: &'static str,
    pub amount: ScopeStat,
    pub priority: u8,
    /// The recorded usage before the request.
    pub before: ScopeStat,
}

/// All scopes of the trace.
#[derive(Debug)]
pub struct Scopes {
    /// The other limits; without any, nothing is refused.
    asked: Option<ReplayLimits>,
    /// In boxes, because a map has up to twice as many places as entries.
    nodes: HashMap<Name, Box<Node>>,
    /// The connections and streams that may move.
    waiting: Waiting,
    leaves: u64,
}

impl Scopes {
    /// No scopes yet, under these limits.
    pub fn new(asked: Option<ReplayLimits>) -> Self {
        Self {
            asked,
            nodes: HashMap::default(),
            waiting: Waiting::default(),
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
            counts_in: node.counts_in,
            before: node.recorded,
            ..*step
        })
    }

    /// Undoes the grant of a scope, because another scope refused.
    pub fn undo(&mut self, step: &Step) {
        if let Some(node) = self.nodes.get_mut(&step.name) {
            node.recorded = minus(&node.recorded, &step.amount);
            update(&mut self.waiting, &step.name, node);
        }
    }

    /// Removes a destroyed scope.
    pub fn remove(&mut self, name: &str) {
        let leaf = self.nodes.remove(name).and_then(|node| node.leaf);
        if let Some(leaf) = leaf
            && let Some(key) = &leaf.waits
        {
            self.waiting.remove(key, leaf.number);
        }
    }

    /// Adds a created scope.
    pub fn create(&mut self, event: &Event) {
        self.add(event, true);
    }

    fn add(&mut self, event: &Event, is_created: bool) {
        // The end of an earlier scope with this name may be missing in the trace.
        self.remove(event.scope_name());
        let class = class_of(event.scope_name());
        let mut node = Node {
            limit: Some(self.limit(event)),
            counts_in: counts_in(event.scope_name()),
            stays: is_created || class.is_some_and(is_single),
            ..Node::default()
        };
        if let Some(ScopeClass::Connection | ScopeClass::Stream) = class {
            self.leaves += 1;
            node.leaf = Some(Leaf {
                is_connection: class == Some(ScopeClass::Connection),
                number: self.leaves,
                ..Leaf::default()
            });
        }
        self.nodes.insert(event.scope_name().into(), Box::new(node));
    }

    fn limit(&self, event: &Event) -> Limit {
        match &self.asked {
            None => Limit::UNLIMITED,
            Some(ReplayLimits::Configured(limits)) => limit_of(event, limits),
            Some(ReplayLimits::Recorded) => event.limit.map_or(Limit::UNLIMITED, Limit::from),
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
            update(&mut self.waiting, &name, node);
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
                    counts_in: node.counts_in,
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
        self.add(event, false);
        event.scope_name().into()
    }

    /// Bounds the absent part by the recorded usage, and removes the scopes that hold nothing and
    /// whose end is not in the trace.
    pub fn settle(&mut self, steps: &[Step]) {
        for step in steps {
            let Some(node) = self.nodes.get_mut(&step.name) else {
                continue;
            };
            if node.recorded.is_zero() && !node.stays {
                self.remove(&step.name);
                continue;
            }
            node.absent = lower(&node.absent, &node.recorded);
            if node.absent.memory == 0 {
                node.absent_sizes.clear();
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

    /// Notes the scopes that a connection or stream is charged on. If all are known, they may be a
    /// part of an operation that was torn apart, and the known path stays.
    pub fn see_path(&mut self, leaf: &str, steps: &[Step]) {
        let Some(known) = self.nodes.get(leaf).and_then(|node| node.leaf.as_ref()) else {
            return;
        };
        if !steps.iter().all(|step| known.path.contains(&step.name)) {
            let path = steps.iter().map(|step| step.name.clone()).collect();
            self.set_path(leaf, path);
        }
    }

    /// Sets the scopes that a connection or stream is charged on.
    pub fn set_path(&mut self, leaf: &str, path: Vec<Name>) {
        let Some((name, _)) = self.nodes.get_key_value(leaf) else {
            return;
        };
        let name = name.clone();
        let Some(node) = self.nodes.get_mut(&name) else {
            return;
        };
        match &mut node.leaf {
            Some(leaf) if leaf.path != path => leaf.path = path,
            _ => return,
        }
        // Its next move is now another one.
        let held = node.recorded;
        if let Some(leaf) = &mut node.leaf {
            wait_as(&mut self.waiting, &name, leaf.key(&held), leaf);
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
        let is_connection = moved.streams() == 0;
        let peer = match is_connection {
            true => None,
            false => Some(format!("{PEER}{}", peer?).into()),
        };
        self.waiting.latest(&Mover {
            from_transient,
            held: *moved,
            peer,
        })
    }

    /// What a connection in transient holds that has this much memory, if there is one.
    pub fn connection_with(&self, memory: u64) -> Option<ScopeStat> {
        let kinds = [(1, 0, 1), (1, 0, 0), (0, 1, 1), (0, 1, 0)];
        kinds.into_iter().find_map(|(inbound, outbound, fd)| {
            let held = ScopeStat {
                conns_inbound: inbound,
                conns_outbound: outbound,
                fd,
                memory,
                ..ScopeStat::ZERO
            };
            self.mover(&held, true, None).map(|_| held)
        })
    }

    /// The most that a connection in transient holds that counts like `amount`, if there is one.
    pub fn connection_like(&self, amount: &ScopeStat) -> Option<ScopeStat> {
        let memory = self.waiting.most_memory(&Mover {
            from_transient: true,
            held: *amount,
            peer: None,
        })?;
        Some(ScopeStat { memory, ..*amount })
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
        self.waiting.clear();
    }
}

/// Updates the index of those that may move after a change of usage.
fn update(waiting: &mut Waiting, name: &Name, node: &mut Node) {
    if let Some(leaf) = &mut node.leaf
        && let Some(key) = &leaf.waits
        && key.held != node.recorded
    {
        let key = Mover {
            held: node.recorded,
            ..key.clone()
        };
        wait_as(waiting, name, Some(key), leaf);
    }
}

/// Changes the key of a connection or stream in the index.
fn wait_as(waiting: &mut Waiting, name: &Name, key: Option<Mover>, leaf: &mut Leaf) {
    if let Some(before) = leaf.waits.take() {
        waiting.remove(&before, leaf.number);
    }
    if let Some(key) = key {
        waiting.add(&key, leaf.number, name.clone());
        leaf.waits = Some(key);
    }
}

/// Whether a manager has exactly one scope of this class.
fn is_single(class: ScopeClass) -> bool {
    is_transient(class) || matches!(class, ScopeClass::System | ScopeClass::AllowlistedSystem)
}

fn is_transient(class: ScopeClass) -> bool {
    matches!(
        class,
        ScopeClass::Transient | ScopeClass::AllowlistedTransient
    )
}
