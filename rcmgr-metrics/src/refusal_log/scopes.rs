//! Finds the scopes that refused, and the one that refused the most.

use std::collections::{BTreeMap, HashMap};

use rcmgr_atomic::{Manager, ScopeReport};
use rcmgr_core::{Resource, ScopeClass, ScopeId};

use super::asked::{ASKED, by_asked};
use super::tally::New;

/// The refusals that are due, by class and resource.
pub(super) type Due = BTreeMap<(ScopeClass, Resource), New>;

/// The live scopes of a class that refused a resource.
#[derive(Debug)]
pub(super) struct Found {
    /// The number of scopes.
    pub scopes: u64,
    /// The number of their refusals.
    pub refused: u64,
    /// The scope with the most refusals.
    pub most: ScopeReport,
    /// The number of refusals by this scope.
    pub refused_most: u64,
}

/// For each live scope: the number of refusals that were logged.
///
/// Only scopes that have refused are in the map, so it is smaller than the engine's own tables.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<ScopeId, [u64; ASKED.len()], ahash::RandomState>);

impl Known {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Treats all refusals so far as logged.
    pub fn note_all(&mut self, manager: &Manager) {
        manager.for_each_scope(|report| {
            let refused = by_asked(&report.refusals);
            if report.refusals.total() > 0 {
                self.0.insert(report.id, refused);
            }
        });
    }

    /// Finds the scopes that refused what is due, and treats these refusals as logged.
    pub fn find(
        &mut self,
        manager: &Manager,
        due: &Due,
    ) -> BTreeMap<(ScopeClass, Resource), Found> {
        let mut found = BTreeMap::<_, Found>::new();
        let mut seen = Vec::new();
        let is_due = |class| due.keys().any(|&(of, _)| of == class);
        manager.for_each_scope(|report| {
            let class = report.id.class();
            let refused = by_asked(&report.refusals);
            if !is_due(class) || report.refusals.total() == 0 {
                return;
            }
            let mut logged = self.0.remove(&report.id).unwrap_or_default();
            for ((asked, refused), logged) in ASKED.into_iter().zip(refused).zip(&mut logged) {
                if !due.contains_key(&(class, asked)) {
                    continue;
                }
                // A scope that was collected and created again counts from zero.
                let new = refused.checked_sub(*logged).unwrap_or(refused);
                *logged = refused;
                if new > 0 {
                    let found = found.entry((class, asked));
                    let found = found.or_insert_with(|| Found::first(&report));
                    found.add(&report, new);
                }
            }
            seen.push((report.id, logged));
        });
        // The remaining entries of these classes belong to scopes that no longer exist.
        self.0.retain(|id, _| !is_due(id.class()));
        self.0.extend(seen);
        found
    }
}

impl Found {
    fn first(report: &ScopeReport) -> Self {
        Self {
            scopes: 0,
            refused: 0,
            most: report.clone(),
            refused_most: 0,
        }
    }

    fn add(&mut self, report: &ScopeReport, refused: u64) {
        self.scopes += 1;
        self.refused += refused;
        // The name breaks ties, so that every line names the same scope.
        if refused > self.refused_most || refused == self.refused_most && report.id < self.most.id {
            self.most = report.clone();
            self.refused_most = refused;
        }
    }
}
