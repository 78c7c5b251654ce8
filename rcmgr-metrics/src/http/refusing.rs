//! Which scopes refuse now, and how often in a second.
//!
//! The engine counts refusals since the beginning. Here each reading is compared with one from
//! before, at least [`SHORTEST`] ago.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rcmgr_atomic::address::AddressStat;
use rcmgr_atomic::{Manager, ScopeReport};
use rcmgr_core::{Limits, Refusals, Resource, ScopeClass, ScopeId};
use serde::Serialize;

use super::names;
use crate::reached::{
    Reached, Setting, default_of, limited, reached, reached_before, subnet_tables,
};

/// The shortest time between two readings that are compared. Several clients may ask at once.
const SHORTEST: Duration = Duration::from_millis(900);

/// The longest time. After that, the numbers would not say what is refused now.
const LONGEST: Duration = Duration::from_secs(60);

/// The number of scopes that are named. The others of a class are summed up.
const NAMED: usize = 20;

/// The number of scopes whose refusals are remembered: 5 MB.
const REMEMBERED: usize = 1 << 17;

const RESOURCES: usize = Resource::COUNTED.len();

type Counts = [u64; RESOURCES];

/// What is refused now.
#[derive(Debug, Default, Serialize)]
pub(super) struct Refusing {
    /// The time that the rates are an average of; `None` if there was no reading before.
    seconds: Option<f64>,
    /// The scopes and limiters that refuse, those with the highest rate first.
    now: Vec<Row>,
}

/// The refusals of one resource, by a scope, by the other scopes of a class, or by a limiter of
/// addresses.
#[derive(Debug, Serialize)]
struct Row {
    /// The name; `None` for all other scopes of the class, and for addresses.
    scope: Option<String>,
    /// The class, or `address`.
    class: &'static str,
    /// The number of scopes, if they are known.
    scopes: u64,
    /// The resource that was asked for.
    resource: &'static str,
    count: u64,
    per_second: f64,
    /// The setting to change, as in a limits file; `None` for an override and if it is not known.
    setting: Option<String>,
    /// The usage and the limit that was reached.
    used: Option<u64>,
    limit: Option<u64>,
}

/// The last reading that others are compared with.
#[derive(Debug, Default)]
pub(super) struct LastReading {
    at: Option<Instant>,
    /// Of the live scopes that have refused, by the hash of the name.
    scopes: HashMap<u64, Remembered, ahash::RandomState>,
    /// Changes with each reading, to find the scopes that no longer exist.
    round: u32,
    past: HashMap<ScopeId, Counts, ahash::RandomState>,
    classes: [Counts; ScopeClass::ALL.len()],
    limiters: [u64; 2],
    answer: Arc<Refusing>,
}

/// The refusals of a scope. The numbers wrap, because only differences count.
#[derive(Debug)]
struct Remembered {
    counts: [u32; RESOURCES],
    round: u32,
}

/// A reading that is being made.
pub(super) struct Reading<'a> {
    last: &'a mut LastReading,
    now: Instant,
    during: Option<Duration>,
    /// The scopes with the most refusals since the last reading.
    found: Vec<Found>,
    /// The number of live scopes that refused since then, and of their refusals.
    live: [[(u64, u64); RESOURCES]; ScopeClass::ALL.len()],
}

struct Found {
    count: u64,
    asked: Resource,
    refuser: Refuser,
}

enum Refuser {
    Live(Box<ScopeReport>),
    Destroyed(ScopeId),
}

impl Found {
    const fn id(&self) -> &ScopeId {
        match &self.refuser {
            Refuser::Live(report) => &report.id,
            Refuser::Destroyed(id) => id,
        }
    }
}

fn counts(refusals: &Refusals) -> Counts {
    Resource::COUNTED.map(|resource| refusals.get(resource))
}

impl LastReading {
    /// Starts a reading; `None` if the last one is too recent.
    pub fn compare(&mut self, now: Instant) -> Option<Reading<'_>> {
        let during = self.at.map(|at| now.saturating_duration_since(at));
        if during.is_some_and(|during| during < SHORTEST) {
            return None;
        }
        self.round = self.round.wrapping_add(1);
        Some(Reading {
            last: self,
            now,
            during: during.filter(|during| *during <= LONGEST),
            found: Vec::new(),
            live: Default::default(),
        })
    }

    pub fn answer(&self) -> Arc<Refusing> {
        self.answer.clone()
    }
}

impl Reading<'_> {
    /// Looks at a live scope.
    pub fn see(&mut self, report: &ScopeReport) {
        if report.refusals.total() == 0 {
            return;
        }
        let refused = counts(&report.refusals);
        let last = &mut *self.last;
        let hash = last.scopes.hasher().hash_one(&report.id);
        let is_full = last.scopes.len() >= REMEMBERED;
        let wrapped = refused.map(|count| count as u32);
        let new: Counts = match last.scopes.get_mut(&hash) {
            Some(known) => {
                let before = std::mem::replace(&mut known.counts, wrapped);
                known.round = last.round;
                std::array::from_fn(|at| since(before[at], refused[at]))
            }
            // It is not known what it refused since the last reading.
            None if is_full => return,
            None => {
                let round = last.round;
                let counts = wrapped;
                last.scopes.insert(hash, Remembered { counts, round });
                refused
            }
        };
        if self.during.is_none() {
            return;
        }
        for (at, (asked, count)) in Resource::COUNTED.into_iter().zip(new).enumerate() {
            if count > 0 {
                let live = &mut self.live[report.id.class() as usize][at];
                *live = (live.0 + 1, live.1 + count);
                let refuser = Refuser::Live(Box::new(report.clone()));
                self.keep(Found {
                    count,
                    asked,
                    refuser,
                });
            }
        }
    }

    /// Keeps what may be among the first.
    fn keep(&mut self, found: Found) {
        self.found.push(found);
        if self.found.len() >= 4 * NAMED {
            self.keep_first();
        }
    }

    fn keep_first(&mut self) {
        self.found
            .sort_by(|a, b| (b.count, a.id()).cmp(&(a.count, b.id())));
        self.found.truncate(NAMED);
    }

    /// Ends the reading. `refusals` are those of all classes.
    pub fn end(
        mut self,
        manager: &Manager,
        refusals: &[Refusals; ScopeClass::ALL.len()],
        addresses: &AddressStat,
    ) {
        let before = std::mem::replace(&mut self.last.classes, refusals.map(|of| counts(&of)));
        let new: [Counts; ScopeClass::ALL.len()] = std::array::from_fn(|class| {
            let now = &self.last.classes[class];
            std::array::from_fn(|at| now[at].saturating_sub(before[class][at]))
        });
        self.see_destroyed(manager, &new);
        // Only now are the live scopes of the last reading forgotten.
        let round = self.last.round;
        self.last.scopes.retain(|_, known| known.round == round);
        self.keep_first();
        let limiters = [addresses.refused_by_rate, addresses.refused_by_subnet];
        let before = std::mem::replace(&mut self.last.limiters, limiters);
        self.last.at = Some(self.now);
        let Some(during) = self.during else {
            self.last.answer = Arc::default();
            return;
        };
        let seconds = during.as_secs_f64();
        let limits = manager.limits();
        let mut now: Vec<Row> = self.found.iter().map(|found| row(found, &limits)).collect();
        now.extend(self.others(&new, &limits));
        let tables = subnet_tables(&manager.addresses().limits());
        let settings = ["Addresses.Rates", tables];
        for ((count, before), setting) in limiters.into_iter().zip(before).zip(settings) {
            now.push(Row::new(
                "address",
                Resource::ConnsInbound,
                count.saturating_sub(before),
                Some(setting.to_owned()),
            ));
        }
        now.retain(|row| row.count > 0);
        for row in &mut now {
            row.per_second = row.count as f64 / seconds;
        }
        now.sort_by_key(|row| std::cmp::Reverse(row.count));
        self.last.answer = Arc::new(Refusing {
            seconds: Some(seconds),
            now,
        });
    }

    /// Looks at the scopes that refused and no longer exist. `new` are the refusals of all classes.
    fn see_destroyed(&mut self, manager: &Manager, new: &[Counts; ScopeClass::ALL.len()]) {
        let mut before = std::mem::take(&mut self.last.past);
        for class in ScopeClass::ALL {
            // The engine forgets scopes, and their numbers may be part of those of live scopes
            // before. So they are only trusted as far as live scopes have not refused.
            let mut left: Counts = std::array::from_fn(|at| {
                new[class as usize][at].saturating_sub(self.live[class as usize][at].1)
            });
            for (id, refusals) in manager.past_refusers(class) {
                let refused = counts(&refusals);
                let known = before.remove(&id).unwrap_or_default();
                // A scope that lived at the last reading had refused this often by then.
                let hash = self.last.scopes.hasher().hash_one(&id);
                let lived = self.last.scopes.get(&hash);
                let lived = lived.filter(|lived| lived.round != self.last.round);
                let lived = lived.map(|lived| lived.counts).unwrap_or_default();
                for (at, asked) in Resource::COUNTED.into_iter().enumerate() {
                    let known = known[at].saturating_add(lived[at].into());
                    let count = refused[at].saturating_sub(known).min(left[at]);
                    if count > 0 && self.during.is_some() {
                        left[at] -= count;
                        let refuser = Refuser::Destroyed(id.clone());
                        self.keep(Found {
                            count,
                            asked,
                            refuser,
                        });
                    }
                }
                self.last.past.insert(id, refused);
            }
        }
    }

    /// A row for each class and resource, without the scopes that are named.
    fn others(&self, new: &[Counts; ScopeClass::ALL.len()], limits: &Limits) -> Vec<Row> {
        let mut rows = Vec::new();
        for class in ScopeClass::ALL {
            for (at, asked) in Resource::COUNTED.into_iter().enumerate() {
                let (mut scopes, _) = self.live[class as usize][at];
                let mut count = new[class as usize][at];
                let of_these = |found: &&Found| found.id().class() == class && found.asked == asked;
                for named in self.found.iter().filter(of_these) {
                    count = count.saturating_sub(named.count);
                    scopes -= u64::from(matches!(named.refuser, Refuser::Live(_)));
                }
                let setting = of_class(class, asked, limits).map(|setting| setting.to_string());
                let row = Row::new(class.as_str(), asked, count, setting);
                rows.push(Row { scopes, ..row });
            }
        }
        rows
    }
}

/// The number of refusals since `before`. A scope that was destroyed and created again counts from
/// zero.
fn since(before: u32, now: u64) -> u64 {
    let new = (now as u32).wrapping_sub(before);
    let is_again = new > u32::MAX / 2;
    if is_again { now } else { new.into() }
}

/// The setting of each scope of a class that has no entry of its own, if only one limit applies.
fn of_class(class: ScopeClass, asked: Resource, limits: &Limits) -> Option<Setting> {
    let entry = default_of(class)?;
    let limit = limits.lookup(&entry)?;
    let mut limited = limited(asked, &limit);
    let (resource, _) = limited.next()?;
    let is_only = limited.next().is_none();
    is_only.then_some(Setting { entry, resource })
}

impl Row {
    fn new(class: &'static str, asked: Resource, count: u64, setting: Option<String>) -> Self {
        Self {
            scope: None,
            class,
            scopes: 0,
            resource: asked.as_str(),
            count,
            per_second: 0.0,
            setting,
            used: None,
            limit: None,
        }
    }
}

fn row(found: &Found, limits: &Limits) -> Row {
    let reached = match &found.refuser {
        Refuser::Live(report) => reached(report, found.asked, limits),
        Refuser::Destroyed(id) => reached_before(id, found.asked, limits),
    };
    let setting = reached.as_ref().and_then(Reached::setting);
    let class = found.id().class().as_str();
    let row = Row::new(
        class,
        found.asked,
        found.count,
        setting.map(|setting| setting.to_string()),
    );
    Row {
        scope: Some(names::name(found.id())),
        scopes: 1,
        used: reached.as_ref().and_then(|reached| reached.used),
        limit: reached.as_ref().map(|reached| reached.limit),
        ..row
    }
}
