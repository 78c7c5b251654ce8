//! A page of scopes, as JSON.

use std::cmp::Ordering;
use std::sync::Arc;

use rcmgr_atomic::{Manager, ScopeReport};
use rcmgr_core::{LimitValue, Refusals, Resource, ScopeId, ScopeStat};
use serde::{Serialize, Serializer};

use super::query::{Query, Sort};
use crate::label::shown;
use crate::usage::utilisation;

/// The answer to a query.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    /// The number of all scopes.
    total: usize,
    /// The number of scopes that the search found.
    matched: usize,
    offset: usize,
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
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Counters {
    memory: u64,
    fd: u64,
    streams_inbound: u64,
    streams_outbound: u64,
    conns_inbound: u64,
    conns_outbound: u64,
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
pub(super) fn page(manager: &Manager, query: &Query) -> Page {
    let end = query.offset.saturating_add(query.limit);
    // Keep up to twice the requested number, so that dropping the others is rare.
    let most = end.saturating_mul(2).max(AT_LEAST);
    let (mut total, mut matched) = (0, 0);
    let [mut system, mut transient] = [None, None];
    let mut found = Vec::new();
    manager.for_each_scope(|report| {
        total += 1;
        match report.id {
            ScopeId::System => system = Some(scope(&report)),
            ScopeId::Transient => transient = Some(scope(&report)),
            _ => {}
        }
        // Search the whole name, even if it is shown cut.
        let found_in = |id: &ScopeId| {
            let name = id.exact().to_string();
            name.to_lowercase().contains(&query.search)
        };
        if query.search.is_empty() || found_in(&report.id) {
            matched += 1;
            found.push(report);
            if found.len() >= most {
                keep_first(&mut found, end, query.sort);
            }
        }
    });
    keep_first(&mut found, end, query.sort);
    found.sort_by(|a, b| order(a, b, query.sort));
    let scopes = found.iter().skip(query.offset).map(scope).collect();
    Page {
        total,
        matched,
        offset: query.offset,
        system,
        transient,
        scopes,
    }
}

/// The smallest number of scopes to keep before dropping others.
const AT_LEAST: usize = 4096;

/// Keeps the first `count` scopes, in any order.
fn keep_first(found: &mut Vec<ScopeReport>, count: usize, sort: Sort) {
    if count < found.len() {
        found.select_nth_unstable_by(count, |a, b| order(a, b, sort));
        found.truncate(count);
    }
}

/// The highest value comes first; the name breaks ties.
fn order(a: &ScopeReport, b: &ScopeReport, sort: Sort) -> Ordering {
    let key = |report: &ScopeReport| match sort {
        // Scopes with a limit come before scopes without one. Utilisation is never negative, so the
        // bits of the float sort as the number does.
        Sort::Utilisation => fullest(report).map_or(0, |(_, part)| part.to_bits() + 1),
        Sort::Memory => report.stat.memory,
        Sort::Streams => report.stat.streams(),
        Sort::Conns => report.stat.conns(),
        Sort::Refusals => report.refusals.total(),
        Sort::Name => 0,
    };
    key(b).cmp(&key(a)).then_with(|| a.id.cmp(&b.id))
}

/// The name as it is shown. Only the part that a remote chose is cut, not the part after it, so
/// that no scope is shown with the name of its parent.
fn name(id: &ScopeId) -> String {
    let cut = |name: &Arc<str>| Arc::from(shown(name));
    let id = match id {
        ScopeId::Service(name) => ScopeId::Service(cut(name)),
        ScopeId::ServicePeer(name, peer) => ScopeId::ServicePeer(cut(name), *peer),
        ScopeId::Protocol(id) => ScopeId::Protocol(cut(id)),
        ScopeId::ProtocolPeer(id, peer) => ScopeId::ProtocolPeer(cut(id), *peer),
        plain => plain.clone(),
    };
    id.exact().to_string()
}

/// The fullest limit and its utilisation.
fn fullest(report: &ScopeReport) -> Option<(Resource, f64)> {
    let parts = Resource::ALL.into_iter().filter_map(|resource| {
        let part = utilisation(&report.stat, &report.limit, resource)?;
        Some((resource, part))
    });
    // Of equally full limits the first one.
    parts.reduce(|fullest, next| if next.1 > fullest.1 { next } else { fullest })
}

fn scope(report: &ScopeReport) -> Scope {
    let fullest = fullest(report);
    Scope {
        name: name(&report.id),
        class: report.id.class().as_str(),
        parent: parent(&report.id).as_ref().map(name),
        utilisation: fullest.map(|(_, part)| part),
        fullest: fullest.map(|(resource, _)| resource.as_str()),
        used: of_stat(&report.stat),
        peak: of_stat(&report.peak),
        limit: Limits(report.limit),
        refusals: of_refusals(&report.refusals),
    }
}

/// The scope under which it is shown.
fn parent(id: &ScopeId) -> Option<ScopeId> {
    Some(match id {
        ScopeId::System | ScopeId::AllowlistedSystem => return None,
        ScopeId::AllowlistedTransient => ScopeId::AllowlistedSystem,
        ScopeId::ServicePeer(name, _) => ScopeId::Service(name.clone()),
        ScopeId::ProtocolPeer(id, _) => ScopeId::Protocol(id.clone()),
        _ => ScopeId::System,
    })
}

const fn of_stat(stat: &ScopeStat) -> Counters {
    Counters {
        memory: stat.memory,
        fd: stat.fd,
        streams_inbound: stat.streams_inbound,
        streams_outbound: stat.streams_outbound,
        conns_inbound: stat.conns_inbound,
        conns_outbound: stat.conns_outbound,
    }
}

const fn of_refusals(refusals: &Refusals) -> Counters {
    Counters {
        memory: refusals.memory,
        fd: refusals.fd,
        streams_inbound: refusals.streams_inbound,
        streams_outbound: refusals.streams_outbound,
        conns_inbound: refusals.conns_inbound,
        conns_outbound: refusals.conns_outbound,
    }
}
