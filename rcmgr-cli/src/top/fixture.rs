//! Pages for tests.

use rcmgr_atomic::{Limit, ScopeStat};

use super::page::{Page, Scope};

/// A scope that uses nothing and has no limits.
pub fn scope(name: &str) -> Scope {
    Scope {
        name: name.to_owned(),
        used: ScopeStat::ZERO,
        peak: ScopeStat::ZERO,
        limit: Limit::UNLIMITED,
        refusals: ScopeStat::ZERO,
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
    }
}
