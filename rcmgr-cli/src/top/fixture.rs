//! Pages for tests.

use rcmgr_atomic::{Limit, Refusals, ScopeStat};

use super::page::{Page, Scope};

/// A scope that uses nothing and has no limits.
pub fn scope(name: &str) -> Scope {
    Scope {
        name: name.to_owned().into(),
        class: name.split(':').next().unwrap_or_default().to_owned(),
        used: ScopeStat::ZERO,
        peak: ScopeStat::ZERO,
        limit: Limit::UNLIMITED,
        refusals: Refusals::default(),
        dry_run_refusals: Refusals::default(),
    }
}

/// A page with these scopes.
pub fn page(scopes: impl IntoIterator<Item = Scope>) -> Page {
    let scopes: Vec<_> = scopes.into_iter().collect();
    Page {
        total: scopes.len() as u64 + 2,
        matched: scopes.len() as u64,
        offset: 0,
        system: Some(scope("system")),
        transient: Some(scope("transient")),
        scopes,
        reachable: None,
        scope: None,
        refusing: None,
        name: None,
        uptime_seconds: None,
        over_releases: None,
        reload: None,
        addresses: None,
        dry_run: None,
        waiting: Vec::new(),
        waiting_queues: 0,
        waiting_requests: 0,
        wait_totals: None,
    }
}
