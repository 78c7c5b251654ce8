//! A page of scopes, as JSON.

#[cfg(test)]
mod tests;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rcmgr_atomic::ScopeReport;
use rcmgr_core::{LimitValue, Resource, ScopeId};
use serde::{Serialize, Serializer};

use super::counters::Counters;
use super::far;
use super::names::{name, parent};
use super::order::{fullest, order};
use super::origin::{File, Origins};
use super::query::{Query, Sort};
use super::refusing::{LastReading, Refusing};
use super::server::Server;
use super::waiting::{Queue, Queues, Waits};
use crate::observer::Observer;

/// An observer, and what its view remembers from one answer to the next.
#[derive(Debug)]
pub(super) struct View {
    pub observer: Observer,
    last_reading: Mutex<LastReading>,
    file: File,
}

impl View {
    pub fn new(observer: Observer) -> Self {
        Self {
            observer,
            last_reading: Mutex::default(),
            file: File::default(),
        }
    }
}

/// The answer to a query.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    #[serde(flatten)]
    server: Server,
    #[serde(flatten)]
    waits: Waits,
    /// The number of all scopes.
    total: usize,
    /// The number of scopes that the search found.
    matched: usize,
    offset: usize,
    #[serde(serialize_with = "inner")]
    refusing: Arc<Refusing>,
    /// The scope of the query in detail; `None` if it does not exist now, or none was asked for.
    scope: Option<Detail>,
    /// Always present, independent of the search.
    system: Option<Scope>,
    transient: Option<Scope>,
    scopes: Vec<Scope>,
}

#[derive(Debug, Serialize)]
struct Scope {
    name: String,
    class: &'static str,
    parent: Option<String>,
    utilisation: Option<f64>,
    fullest: Option<&'static str>,
    used: Counters,
    peak: Counters,
    limit: Limits,
    refusals: Counters,
    /// `None` without a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run_refusals: Option<Counters>,
}

#[derive(Debug, Serialize)]
struct Detail {
    #[serde(flatten)]
    scope: Scope,
    /// The requests that wait for room in it.
    waiting: Vec<Queue>,
    /// For each limit: where it comes from.
    origins: Origins,
}

#[derive(Debug)]
struct Limits(rcmgr_core::Limit);

impl Serialize for Limits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let fields = Resource::ALL.map(|resource| (resource.as_str(), self.0.get(resource)));
        serializer.collect_map(fields.map(|(name, limit)| (name, Number(limit))))
    }
}

/// A limit: a number, or the word `unlimited`.
struct Number(LimitValue);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.number() {
            Some(most) => serializer.serialize_u64(most),
            None => serializer.collect_str(&self.0),
        }
    }
}

/// Reads the manager and returns the requested scopes.
pub(super) fn page(view: &View, query: &Query) -> Page {
    let manager = &view.observer.manager;
    let has_dry_run = manager.limits().dry_run.is_some();
    let of_report = |report: &ScopeReport| scope(report, has_dry_run);
    let is_far = query.offset > NEAR;
    let end = if is_far {
        0
    } else {
        query.offset + query.limit
    };
    // Keep some more than the requested number, so that dropping the others is rare.
    let most = end + EXTRA;
    let (mut total, mut matched) = (0, 0);
    let [mut system, mut transient] = [None, None];
    let mut detail = None;
    let mut found = Vec::new();
    let mut last_reading = view
        .last_reading
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let mut reading = last_reading.compare(Instant::now());
    let refusals = manager.for_each_scope(|report| {
        total += 1;
        if let Some(reading) = &mut reading {
            reading.see(&report);
        }
        match report.id {
            ScopeId::System => system = Some(of_report(&report)),
            ScopeId::Transient => transient = Some(of_report(&report)),
            _ => {}
        }
        if query.is_of(&report.id) && detail.is_none() {
            detail = Some(report.clone());
        }
        if query.finds(&report.id) {
            matched += 1;
            if is_far {
                return;
            }
            found.push(report);
            if found.len() >= most {
                keep_first(&mut found, end, query.sort);
            }
        }
    });
    let addresses = manager.addresses().stat();
    if let Some(reading) = reading {
        reading.end(manager, &refusals, &addresses);
    }
    if is_far && query.offset < matched {
        found = far::page(manager, query);
    }
    keep_first(&mut found, query.limit.max(end), query.sort);
    found.sort_by(|a, b| order(a, b, query.sort));
    let skipped = if is_far { 0 } else { query.offset };
    let scopes = found.iter().skip(skipped).map(of_report).collect();
    let queues = Queues::of(manager);
    Page {
        server: Server::of(&view.observer),
        total,
        matched,
        offset: query.offset,
        refusing: last_reading.answer(),
        scope: detail.map(|report| Detail {
            scope: of_report(&report),
            waiting: queues.at(&report.id),
            origins: Origins::of(
                &report,
                &manager.limits(),
                view.file.of(&view.observer).as_deref(),
            ),
        }),
        system,
        transient,
        scopes,
        waits: queues.all(),
    }
}

/// The largest offset for which all scopes before it are kept: the memory for an answer is bounded.
const NEAR: usize = 4000;

/// The number of scopes that are kept in addition before some are dropped.
const EXTRA: usize = 3000;

/// Keeps the first `count` scopes, in any order.
fn keep_first(found: &mut Vec<ScopeReport>, count: usize, sort: Sort) {
    if count < found.len() {
        found.select_nth_unstable_by(count, |a, b| order(a, b, sort));
        found.truncate(count);
    }
}

fn scope(report: &ScopeReport, has_dry_run: bool) -> Scope {
    let fullest = fullest(report);
    Scope {
        name: name(&report.id),
        class: report.id.class().as_str(),
        parent: parent(&report.id).as_ref().map(name),
        utilisation: fullest.map(|(_, part)| part),
        fullest: fullest.map(|(resource, _)| resource.as_str()),
        used: Counters::of_stat(&report.stat),
        peak: Counters::of_stat(&report.peak),
        limit: Limits(report.limit),
        refusals: Counters::of_refusals(&report.refusals),
        dry_run_refusals: has_dry_run.then(|| Counters::of_refusals(&report.dry_run_refusals)),
    }
}

fn inner<S: Serializer>(shared: &Arc<Refusing>, serializer: S) -> Result<S::Ok, S::Error> {
    shared.as_ref().serialize(serializer)
}
