//! The summary of all scopes. Its memory is bounded by the number of live scopes.

use ahash::{HashMap, HashMapExt};
use rcmgr_core::{Limit, ScopeClass, ScopeStat};

use super::addresses::{SubnetNeed, Subnets};
use super::needs::Needs;
use super::report::{Blocked, Class, Scope};
use super::scope::{class_of, counts_in, metric_label};
use super::tally::{Peak, Refused};
use super::top::Top;
use crate::counters::six;
use crate::trace::{Event, EventKind, RecordedLimit};

/// The summary of all scopes.
#[derive(Debug, Default)]
pub struct Summary {
    /// In boxes, because a map has up to twice as many places as entries.
    live: HashMap<Box<str>, Box<Live>>,
    /// The most notable destroyed scopes.
    gone: Top<Seen>,
    classes: HashMap<&'static str, Totals>,
    subnets: Subnets,
    pub restarts: u64,
    is_running: bool,
}

#[derive(Debug, Default)]
struct Live {
    usage: ScopeStat,
    seen: Seen,
    /// Whether the trace has its creation. If not, it may not have its end either.
    is_created: bool,
}

/// The history of one scope.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    events: u64,
    peak: Peak,
    /// The recorded limit of the latest scope with this name.
    limit: Option<RecordedLimit>,
    refused: Refused,
}

#[derive(Debug, Default)]
struct Totals {
    created: u64,
    peak: Peak,
    refused: Refused,
}

impl Seen {
    fn rank(&self) -> (u64, u64) {
        (self.refused.requests, self.events)
    }

    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.peak.raise(&other.peak);
        self.limit = other.limit.or(self.limit);
        let mine = &mut self.refused;
        let theirs = &other.refused;
        mine.requests += theirs.requests;
        mine.memory_requests += theirs.memory_requests;
        mine.memory = mine.memory.saturating_add(theirs.memory);
        mine.streams_in = mine.streams_in.saturating_add(theirs.streams_in);
        mine.streams_out = mine.streams_out.saturating_add(theirs.streams_out);
        mine.conns_in = mine.conns_in.saturating_add(theirs.conns_in);
        mine.conns_out = mine.conns_out.saturating_add(theirs.conns_out);
        mine.fd = mine.fd.saturating_add(theirs.fd);
    }
}

/// The beginning of the names of peers' scopes.
const PEER: &str = "peer:";

/// The scopes that come first in the report.
const FIRST: [&str; 2] = ["system", "transient"];

impl Summary {
    /// Takes the next event.
    pub fn push(&mut self, event: &Event) {
        let name = event.scope_name();
        match event.kind {
            EventKind::Other(_) => {}
            EventKind::Start => {
                if std::mem::replace(&mut self.is_running, true) {
                    self.restarts += 1;
                }
                self.subnets.clear();
                for (name, live) in std::mem::take(&mut self.live) {
                    self.fold(&name, &live);
                }
            }
            EventKind::DestroyScope => {
                if let Some(mut live) = self.live.remove(name) {
                    self.leaves(name, &live);
                    live.seen.events += 1;
                    self.fold(name, &live);
                }
            }
            EventKind::CreateScope => {
                self.is_running = true;
                if let Some(before) = self.live.remove(name) {
                    self.leaves(name, &before);
                    self.fold(name, &before);
                }
                let mut live = Live {
                    is_created: true,
                    ..self.found(name)
                };
                live.seen.events += 1;
                live.seen.limit = event.limit.or(live.seen.limit);
                self.live.insert(name.into(), Box::new(live));
                if class_of(name) != Some(ScopeClass::Span) {
                    self.classes.entry(counts_in(name)).or_default().created += 1;
                }
            }
            _ => self.change(name, event),
        }
    }

    fn change(&mut self, name: &str, event: &Event) {
        self.is_running = true;
        if !self.live.contains_key(name) {
            let found = self.found(name);
            self.live.insert(name.into(), Box::new(found));
        }
        let Some(live) = self.live.get_mut(name) else {
            return;
        };
        live.seen.events += 1;
        let before = live.usage.conns();
        event.set_totals(&mut live.usage);
        if event.kind.is_of_conns()
            && let Some(peer) = name.strip_prefix(PEER)
        {
            let refused = match event.kind {
                EventKind::BlockAddConn => event.amount().conns(),
                _ => 0,
            };
            let after = live.usage.conns();
            self.subnets.change(peer, before, after, refused);
        }
        let totals = self.classes.entry(counts_in(name)).or_default();
        if event.kind.is_refusal() {
            live.seen.refused.add(event);
            totals.refused.add(event);
        }
        if !event.kind.is_release() {
            let peak = Peak::of(&live.usage);
            live.seen.peak.raise(&peak);
            totals.peak.raise(&peak);
        }
        // The end of a scope without a creation may not be in the trace.
        if !live.is_created && live.usage.is_zero() && !FIRST.contains(&name) {
            let live = self.live.remove(name).unwrap_or_default();
            self.fold(name, &live);
        }
    }

    /// A scope is gone with the connections that it had.
    fn leaves(&mut self, name: &str, live: &Live) {
        let conns = live.usage.conns();
        if let Some(peer) = name.strip_prefix(PEER)
            && conns > 0
        {
            self.subnets.change(peer, conns, 0, 0);
        }
    }

    /// The needs of subnets.
    pub fn subnets(&self) -> Vec<SubnetNeed> {
        self.subnets.needs()
    }

    /// A new scope. If one with this name existed before, its history continues.
    fn found(&mut self, name: &str) -> Live {
        Live {
            seen: self.gone.take(name).unwrap_or_default(),
            ..Live::default()
        }
    }

    /// Keeps the history of a destroyed scope, if it is notable. Connections and streams without
    /// refusals are not: there are too many of them.
    fn fold(&mut self, name: &str, live: &Live) {
        let is_leaf = matches!(counts_in(name), "conn" | "stream");
        if !is_leaf || live.seen.refused.requests > 0 {
            self.gone.entry(name).add(&live.seen);
            self.gone.trim(Seen::rank);
        }
    }

    /// The current usage of a scope.
    pub fn usage(&self, name: &str) -> [u64; 6] {
        let live = self.live.get(name);
        six(&live.map(|live| live.usage).unwrap_or_default())
    }

    /// All refusals, with the labels of the metric.
    pub fn blocked(&self) -> Vec<Blocked> {
        let mut blocked: Vec<Blocked> = Vec::new();
        for (class, totals) in &self.classes {
            let scope = metric_label(class);
            let refused = &totals.refused;
            for (dir, resource, value) in [
                ("inbound", "connection", refused.conns_in),
                ("outbound", "connection", refused.conns_out),
                ("", "fd", refused.fd),
                ("inbound", "stream", refused.streams_in),
                ("outbound", "stream", refused.streams_out),
                ("", "memory", refused.memory_requests),
            ] {
                let labels = (dir, scope, resource);
                let same = blocked.iter_mut();
                let mut same =
                    same.filter(|other| (other.dir, other.scope, other.resource) == labels);
                let bytes = (resource == "memory").then_some(refused.memory);
                match same.next() {
                    _ if value == 0 => {}
                    Some(same) => {
                        same.value = same.value.saturating_add(value);
                        same.bytes = same.bytes.map(|sum| sum.saturating_add(refused.memory));
                    }
                    None => blocked.push(Blocked {
                        dir,
                        scope,
                        resource,
                        value,
                        bytes,
                    }),
                }
            }
        }
        blocked.sort_by_key(|blocked| (blocked.dir, blocked.resource, blocked.scope));
        blocked
    }

    /// All classes that have scopes.
    pub fn classes(&self, needs: &Needs) -> Vec<Class> {
        let mut live: HashMap<&str, u64> = HashMap::new();
        for name in self.live.keys() {
            if class_of(name) != Some(ScopeClass::Span) {
                *live.entry(counts_in(name)).or_default() += 1;
            }
        }
        let classes = ScopeClass::ALL.iter().map(|class| class.as_str());
        let known = |class| Some((class, self.classes.get(class)?));
        let classes = classes.chain(["unknown"]).filter_map(known);
        classes
            .map(|(class, totals)| Class {
                class,
                created: totals.created,
                live: live.get(class).copied().unwrap_or(0),
                peak: totals.peak,
                needed: needs.of(class),
                refused: totals.refused,
            })
            .collect()
    }

    /// System, transient, and `top` others.
    pub fn scopes(self, top: usize) -> Vec<Scope> {
        let scope = |name: &str, usage: Option<ScopeStat>, seen: &Seen| Scope {
            name: name.into(),
            events: seen.events,
            usage: usage.as_ref().map(six),
            peak: seen.peak,
            limit: seen.limit.map(Limit::from),
            refused: seen.refused,
        };
        let live = self.live.iter();
        let mut all: Vec<_> = live
            .map(|(name, live)| (&**name, Some(live.usage), live.seen))
            .collect();
        let gone = self.gone.into_sorted(Seen::rank);
        all.extend(gone.iter().map(|(name, seen)| (&**name, None, *seen)));
        all.sort_by(|(name, _, one), (other_name, _, other)| {
            let place = |name: &str| FIRST.iter().position(|first| *first == name);
            let place = |name| place(name).unwrap_or(FIRST.len());
            let by_place = place(name).cmp(&place(other_name));
            let by_rank = by_place.then(other.rank().cmp(&one.rank()));
            by_rank.then_with(|| name.cmp(other_name))
        });
        let first = all.iter().filter(|(name, ..)| FIRST.contains(name)).count();
        let shown = all.into_iter().take(first + top);
        shown
            .map(|(name, usage, seen)| scope(name, usage, &seen))
            .collect()
    }
}
