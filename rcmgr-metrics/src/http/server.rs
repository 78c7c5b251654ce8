//! What the view shows of the server as a whole.

use rcmgr_atomic::Manager;
use rcmgr_atomic::address::{AddressStat, RefusedNetwork};
use rcmgr_core::ScopeClass;
use serde::Serialize;

use super::counters::Counters;
use super::program::Program;
use crate::label::shown;
use crate::observer::Observer;

/// The state of the server, apart from its scopes.
#[derive(Debug, Serialize)]
pub(super) struct Server {
    name: String,
    uptime_seconds: f64,
    /// Releases of more than was held, by all scopes.
    over_releases: u64,
    /// `None` if no file is followed.
    reload: Option<Reload>,
    addresses: Addresses,
    /// `None` if there are no limits that are only evaluated.
    dry_run: Option<DryRun>,
    /// `None` if the program has no counters.
    program: Option<Program>,
}

/// What the limits that are only evaluated would have refused.
#[derive(Debug, Serialize)]
struct DryRun {
    refusals: Counters,
    addresses: Option<Addresses>,
}

#[derive(Debug, Serialize)]
struct Reload {
    file: String,
    reloads: u64,
    failures: u64,
    /// Why the file is not in force; `None` while it is.
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Addresses {
    refused_by_rate: u64,
    refused_by_subnet: u64,
    verifications_asked: u64,
    permits: u64,
    tracked_subnets: u64,
    tracked_buckets: u64,
    /// The networks that were refused most often; not known in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    most_refused: Option<Vec<Network>>,
}

#[derive(Debug, Serialize)]
struct Network {
    network: String,
    by_subnet: u64,
    by_rate: u64,
}

/// The number of networks that are named.
const NETWORKS: usize = 10;

impl Server {
    pub fn of(observer: &Observer) -> Self {
        let manager = &observer.manager;
        Self {
            name: shown(&observer.name).into_owned(),
            uptime_seconds: observer.since.elapsed().as_secs_f64(),
            over_releases: over_releases(manager),
            reload: observer.watcher.as_ref().map(|watcher| {
                let stats = watcher.stats();
                Reload {
                    file: watcher.path().display().to_string(),
                    reloads: stats.reloads,
                    failures: stats.failures,
                    error: stats.error.map(|error| error.to_string()),
                }
            }),
            addresses: Addresses {
                most_refused: Some(most_refused(manager)),
                ..addresses(&manager.addresses().stat())
            },
            dry_run: manager.limits().dry_run.as_ref().map(|_| DryRun {
                refusals: Counters::of_refusals(&manager.dry_run_refusals().into_iter().sum()),
                addresses: manager.dry_run_addresses().as_ref().map(addresses),
            }),
            program: Program::of(observer),
        }
    }
}

fn over_releases(manager: &Manager) -> u64 {
    let of_classes = ScopeClass::ALL.map(|class| manager.over_releases(class));
    of_classes.iter().sum()
}

const fn addresses(stat: &AddressStat) -> Addresses {
    Addresses {
        refused_by_rate: stat.refused_by_rate,
        refused_by_subnet: stat.refused_by_subnet,
        verifications_asked: stat.verifications_asked,
        permits: stat.permits,
        tracked_subnets: stat.tracked_subnets,
        tracked_buckets: stat.tracked_buckets,
        most_refused: None,
    }
}

fn most_refused(manager: &Manager) -> Vec<Network> {
    let refused = manager.addresses().most_refused(NETWORKS).into_iter();
    let network = |refused: RefusedNetwork| Network {
        network: refused.network.to_string(),
        by_subnet: refused.by_subnet,
        by_rate: refused.by_rate,
    };
    refused.map(network).collect()
}
