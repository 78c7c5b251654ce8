//! The order of scopes in an answer.

use std::cmp::Ordering;

use rcmgr_atomic::ScopeReport;
use rcmgr_core::{Resource, ScopeId};

use super::query::Sort;
use crate::usage::utilisation;

/// The place of a scope in the order. The highest value comes first; the name breaks ties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    value: u64,
    id: ScopeId,
}

impl Place {
    pub fn new((value, id): (u64, &ScopeId)) -> Self {
        let id = id.clone();
        Self { value, id }
    }

    /// Compares it with the place of another scope.
    pub fn cmp_to(&self, (value, id): (u64, &ScopeId)) -> Ordering {
        value.cmp(&self.value).then_with(|| self.id.cmp(id))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.cmp_to((other.value, &other.id))
    }
}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The place of a scope, without a copy of its name.
pub(super) fn place(report: &ScopeReport, sort: Sort) -> (u64, &ScopeId) {
    let value = match sort {
        // Scopes with a limit come before scopes without one. Utilisation is never negative, so the
        // bits of the float sort as the number does.
        Sort::Utilisation => fullest(report).map_or(0, |(_, part)| part.to_bits() + 1),
        Sort::Memory => report.stat.memory,
        Sort::Streams => report.stat.streams(),
        Sort::Conns => report.stat.conns(),
        Sort::Refusals => report.refusals.total(),
        Sort::Name => 0,
    };
    (value, &report.id)
}

/// Compares the places of two scopes.
pub(super) fn order(a: &ScopeReport, b: &ScopeReport, sort: Sort) -> Ordering {
    let ((a, a_id), (b, b_id)) = (place(a, sort), place(b, sort));
    b.cmp(&a).then_with(|| a_id.cmp(b_id))
}

/// The fullest limit and its utilisation.
pub(super) fn fullest(report: &ScopeReport) -> Option<(Resource, f64)> {
    let parts = Resource::ALL.into_iter().filter_map(|resource| {
        let part = utilisation(&report.stat, &report.limit, resource)?;
        Some((resource, part))
    });
    // Of equally full limits the first one.
    parts.reduce(|fullest, next| if next.1 > fullest.1 { next } else { fullest })
}
