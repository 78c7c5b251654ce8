//! Which scopes refused, and which of them the most.

use std::collections::{BTreeMap, HashMap};

use rcmgr_atomic::{Manager, ScopeReport};
use rcmgr_core::{Resource, ScopeClass, ScopeId};

use super::line::New;
use super::{ASKED, by_asked};

/// What is to be told: of which class, and asked for what.
pub(super) type Due = BTreeMap<(ScopeClass, Resource), New>;

/// Scopes of a class that refused what they were asked for, and are still there.
#[derive(Debug)]
pub(super) struct Found {
    /// How many.
    pub scopes: u64,
    /// How often they refused, all together.
    pub refused: u64,
    /// The one that refused most.
    pub most: ScopeReport,
    /// How often that was.
    pub refused_most: u64,
}

/// What each live scope had refused when that was told last.
///
/// It has only those that ever refused, so it is not larger than what the engine has of them.
#[derive(Debug, Default)]
pub(super) struct Known(HashMap<ScopeId, [u64; ASKED.len()], ahash::RandomState>);

impl Known {
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Everything counts as told.
    pub fn take_stock(&mut self, manager: &Manager) {
        manager.for_each_scope(|report| {
            let refused = by_asked(&report.refusals);
            if report.refusals.total() > 0 {
                self.0.insert(report.id, refused);
            }
        });
    }

    /// Looks for those that refused what is due. It counts as told then.
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
            let mut told = self.0.remove(&report.id).unwrap_or_default();
            for ((asked, refused), told) in ASKED.into_iter().zip(refused).zip(&mut told) {
                if !due.contains_key(&(class, asked)) {
                    continue;
                }
                // One that went and came again begins anew.
                let new = refused.checked_sub(*told).unwrap_or(refused);
                *told = refused;
                if new > 0 {
                    let found = found.entry((class, asked));
                    let found = found.or_insert_with(|| Found::first(&report));
                    found.add(&report, new);
                }
            }
            seen.push((report.id, told));
        });
        // What is left of these classes is gone.
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
        // Names decide where it is the same, so that the same one is named each time.
        if refused > self.refused_most || refused == self.refused_most && report.id < self.most.id {
            self.most = report.clone();
            self.refused_most = refused;
        }
    }
}
