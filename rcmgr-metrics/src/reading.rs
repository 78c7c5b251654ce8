//! One reading of a manager, summed up so that its size is bounded.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use rcmgr_atomic::address::AddressStat;
use rcmgr_atomic::{ScopeReport, WaitTotals, Waiting};
use rcmgr_config::reload::ReloadStats;
use rcmgr_core::{Limit, Refusals, Resource, ScopeClass, ScopeStat};

use crate::counters::plus;
use crate::histogram::{COUNTS, Histogram, SIZES};
use crate::label::shown;
use crate::observer::Observer;
use crate::program::ProgramCounter;
use crate::usage::utilisation;

/// The name of the scopes that are summed up.
const OTHER: &str = "other";

/// The values that all metrics are computed from.
#[derive(Debug)]
pub(crate) struct Reading {
    /// System, transient and their allowlisted counterparts; services; protocols.
    pub scopes: Vec<Shown>,
    pub peers: Peers,
    /// Connections by memory.
    pub conn_memory: Histogram,
    /// The number of live scopes, for each class that may have many.
    pub live: BTreeMap<ScopeClass, u64>,
    /// The highest utilisation of all scopes of a class, in the order of [`Resource::ALL`]; `None`
    /// if no scope has a limit.
    pub utilisation: [[Option<f64>; Resource::ALL.len()]; ScopeClass::ALL.len()],
    pub refusals: Vec<(ScopeClass, Refusals)>,
    /// What a dry run would have refused; `None` without a dry run.
    pub dry_run: Option<DryRun>,
    pub over_releases: Vec<(ScopeClass, u64)>,
    /// The queues of requests that wait for room.
    pub waiting: Vec<Waiting>,
    pub wait_totals: [WaitTotals; ScopeClass::ALL.len()],
    pub addresses: AddressStat,
    pub reloads: Option<ReloadStats>,
    /// The numbers of operations that a sink has written and dropped.
    pub traced: Option<[u64; 2]>,
    /// The label and the counters of the program.
    pub program: Option<(&'static str, Vec<ProgramCounter>)>,
}

/// What the limits of a dry run would have refused.
#[derive(Debug)]
pub(crate) struct DryRun {
    pub refusals: Vec<(ScopeClass, Refusals)>,
    pub addresses: Option<AddressStat>,
}

/// A scope, or several scopes under one name.
#[derive(Debug)]
pub(crate) struct Shown {
    pub class: ScopeClass,
    /// The name of a service or protocol; otherwise empty.
    pub name: String,
    pub used: ScopeStat,
    /// `None` for several scopes: their peaks were at different times.
    pub peak: Option<ScopeStat>,
    /// `None` for several scopes.
    pub limit: Option<Limit>,
}

/// Histograms of all peers by usage.
#[derive(Debug)]
pub(crate) struct Peers {
    pub conns_inbound: Histogram,
    pub conns_outbound: Histogram,
    pub streams_inbound: Histogram,
    pub streams_outbound: Histogram,
    pub memory: Histogram,
}

impl Peers {
    fn new() -> Self {
        Self {
            conns_inbound: Histogram::new(COUNTS),
            conns_outbound: Histogram::new(COUNTS),
            streams_inbound: Histogram::new(COUNTS),
            streams_outbound: Histogram::new(COUNTS),
            memory: Histogram::new(SIZES),
        }
    }

    fn add(&mut self, stat: &ScopeStat) {
        self.conns_inbound.add(stat.conns_inbound);
        self.conns_outbound.add(stat.conns_outbound);
        self.streams_inbound.add(stat.streams_inbound);
        self.streams_outbound.add(stat.streams_outbound);
        self.memory.add(stat.memory);
    }
}

#[cfg(feature = "sink")]
fn traced(observer: &Observer) -> Option<[u64; 2]> {
    let counters = observer.trace.as_ref();
    counters.map(|counters| [counters.written(), counters.dropped()])
}

#[cfg(not(feature = "sink"))]
fn traced(_: &Observer) -> Option<[u64; 2]> {
    None
}

impl Reading {
    pub(crate) fn of(observer: &Observer) -> Self {
        let manager = &observer.manager;
        let by_class = ScopeClass::ALL.into_iter();
        let mut reading = Self {
            scopes: Vec::new(),
            peers: Peers::new(),
            conn_memory: Histogram::of_conns(&manager.conn_memory()),
            live: [
                ScopeClass::Service,
                ScopeClass::ServicePeer,
                ScopeClass::Protocol,
                ScopeClass::ProtocolPeer,
                ScopeClass::Peer,
            ]
            .map(|class| (class, 0))
            .into(),
            utilisation: Default::default(),
            refusals: Vec::new(),
            dry_run: manager.limits().dry_run.as_ref().map(|_| DryRun {
                refusals: by_class.clone().zip(manager.dry_run_refusals()).collect(),
                addresses: manager.dry_run_addresses(),
            }),
            over_releases: by_class
                .clone()
                .map(|class| (class, manager.over_releases(class)))
                .collect(),
            waiting: manager.waiting(),
            wait_totals: manager.wait_totals(),
            addresses: manager.addresses().stat(),
            traced: traced(observer),
            program: (observer.program.as_ref()).map(|program| (program.label, program.read())),
            reloads: observer.watcher.as_ref().map(|watcher| watcher.stats()),
        };
        let mut services = Vec::new();
        let mut protocols = Vec::new();
        let refusals = manager.for_each_scope(|report| {
            reading.count(&report);
            match report.id.class() {
                ScopeClass::Service => services.push(report),
                ScopeClass::Protocol => protocols.push(report),
                ScopeClass::Peer => reading.peers.add(&report.stat),
                ScopeClass::ServicePeer | ScopeClass::ProtocolPeer => {}
                _ => reading.scopes.push(Shown::of(&report)),
            }
        });
        reading.refusals = by_class.zip(refusals).collect();
        reading.scopes.sort_by_key(|scope| scope.class);
        for reports in [services, protocols] {
            reading.scopes.extend(by_name(reports, observer.most_names));
        }
        reading
    }

    fn count(&mut self, report: &ScopeReport) {
        let class = report.id.class();
        if let Some(live) = self.live.get_mut(&class) {
            *live += 1;
        }
        let highest = self.utilisation[class as usize].iter_mut();
        for (highest, resource) in highest.zip(Resource::ALL) {
            if let Some(part) = utilisation(&report.stat, &report.limit, resource) {
                *highest = Some(highest.map_or(part, |highest| highest.max(part)));
            }
        }
    }
}

impl Shown {
    fn of(report: &ScopeReport) -> Self {
        let name = report.id.name().map(|name| shown(name));
        Self {
            class: report.id.class(),
            name: name.unwrap_or_default().into_owned(),
            used: report.stat,
            peak: Some(report.peak),
            limit: Some(report.limit),
        }
    }

    fn join(&mut self, other: &Self) {
        self.used = plus(&self.used, &other.used);
        self.peak = None;
        self.limit = None;
    }
}

/// The scopes of one class: at most `most` by name, and one entry for all others. No two entries
/// have the same name.
fn by_name(mut reports: Vec<ScopeReport>, most: usize) -> impl Iterator<Item = Shown> {
    let usage = |stat: &ScopeStat| (stat.streams().saturating_add(stat.conns()), stat.memory);
    // The name breaks ties, so that every reading shows the same scopes.
    reports.sort_by(|a, b| (Reverse(usage(&a.stat)), &a.id).cmp(&(Reverse(usage(&b.stat)), &b.id)));
    let mut named: BTreeMap<String, Shown> = BTreeMap::new();
    for (rank, report) in reports.iter().enumerate() {
        let scope = if rank < most {
            Shown::of(report)
        } else {
            Shown {
                class: report.id.class(),
                name: OTHER.to_owned(),
                used: report.stat,
                peak: None,
                limit: None,
            }
        };
        match named.get_mut(&scope.name) {
            Some(same) => same.join(&scope),
            None => drop(named.insert(scope.name.clone(), scope)),
        }
    }
    named.into_values()
}
