//! Finds the scopes that refused, and the one that refused the most.

use std::collections::{BTreeMap, HashMap};

use rcmgr_atomic::{Manager, ScopeReport};
use rcmgr_core::{Refusals, Resource, ScopeClass, ScopeId};

use super::asked::{ASKED, by_asked};
use super::mode::Mode;
use super::tally::New;

/// The refusals that are due, by class and resource.
pub(super) type Due = BTreeMap<(ScopeClass, Resource), New>;

/// A scope that refused.
#[derive(Debug)]
pub(super) enum Refuser {
    Live(Box<ScopeReport>),
    Destroyed(ScopeId),
}

impl Refuser {
    pub const fn id(&self) -> &ScopeId {
        match self {
            Self::Live(report) => &report.id,
            Self::Destroyed(id) => id,
        }
    }
}

/// The scopes of a class that are known to have refused a resource.
#[derive(Debug)]
pub(super) struct Found {
    /// The number of scopes.
    pub scopes: u64,
    /// The number of their refusals.
    pub refused: u64,
    /// The scope with the most refusals.
    pub most: Refuser,
    /// The number of refusals by this scope.
    pub refused_most: u64,
}

type FoundScopes = BTreeMap<(ScopeClass, Resource), Found>;

type Counts = [u64; ASKED.len()];

/// For each scope: the number of refusals that were logged.
#[derive(Debug)]
pub(super) struct Known {
    mode: Mode,
    /// Live scopes that have refused. So the map is smaller than the engine's own tables.
    live: HashMap<ScopeId, Counts, ahash::RandomState>,
    /// The destroyed scopes that the engine still knows by name. These are few.
    destroyed: BTreeMap<ScopeId, Counts>,
}

impl Known {
    pub fn new(mode: Mode) -> Self {
        Self {
            mode,
            live: HashMap::default(),
            destroyed: BTreeMap::new(),
        }
    }

    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }

    /// Treats all refusals so far as logged.
    pub fn note_all(&mut self, manager: &Manager) {
        for class in ScopeClass::ALL {
            let past = self.mode.past_refusers(manager, class).into_iter();
            let past = past.map(|(id, refusals)| (id, by_asked(&refusals)));
            self.destroyed.extend(past);
        }
        manager.for_each_scope(|report| {
            let refusals = self.mode.refusals(&report);
            let refused = by_asked(&refusals);
            if refusals.total() > 0 {
                self.live.insert(report.id, refused);
            }
        });
    }

    /// Finds the scopes that refused the requests that are due, and treats these refusals as
    /// logged.
    pub fn find(&mut self, manager: &Manager, due: &Due) -> FoundScopes {
        let mut found = FoundScopes::new();
        let is_due = |class| due.keys().any(|&(of, _)| of == class);
        // Destroyed scopes are read first: a scope that is destroyed meanwhile counts once.
        let classes = ScopeClass::ALL.into_iter().filter(|&class| is_due(class));
        let past: Vec<_> = classes
            .flat_map(|class| self.mode.past_refusers(manager, class))
            .collect();
        let mut seen = Vec::new();
        manager.for_each_scope(|report| {
            let class = report.id.class();
            let refusals = self.mode.refusals(&report);
            let refused = by_asked(&refusals);
            if !is_due(class) || refusals.total() == 0 {
                return;
            }
            let mut logged = self.live.remove(&report.id).unwrap_or_default();
            if logged
                .iter()
                .zip(refused)
                .any(|(&logged, refused)| logged > refused)
            {
                // The scope was destroyed and created again, so it counts from zero.
                add(&mut self.destroyed, &report.id, logged);
                logged = Counts::default();
            }
            for ((asked, refused), logged) in ASKED.into_iter().zip(refused).zip(&mut logged) {
                let new = refused - *logged;
                if due.contains_key(&(class, asked)) {
                    *logged = refused;
                    let refuser = || Refuser::Live(Box::new(report.clone()));
                    note(&mut found, asked, &report.id, new, refuser);
                }
            }
            seen.push((report.id, logged));
        });
        // The remaining entries of these classes belong to scopes that no longer exist.
        let gone = self.live.extract_if(|id, _| is_due(id.class()));
        gone.for_each(|(id, logged)| add(&mut self.destroyed, &id, logged));
        self.live.extend(seen);
        self.find_destroyed(&past, due, &mut found);
        found
    }

    /// Finds the destroyed scopes that refused the requests that are due.
    fn find_destroyed(&mut self, past: &[(ScopeId, Refusals)], due: &Due, found: &mut FoundScopes) {
        let is_due = |class| due.keys().any(|&(of, _)| of == class);
        let mut before = std::mem::take(&mut self.destroyed);
        for (id, refusals) in past {
            let mut logged = before.remove(id).unwrap_or_default();
            for ((asked, refused), logged) in
                ASKED.into_iter().zip(by_asked(refusals)).zip(&mut logged)
            {
                let key = (id.class(), asked);
                let Some(due) = due.get(&key) else {
                    continue;
                };
                // The engine forgets scopes, which then count from zero. So their numbers are only
                // trusted as far as other scopes have not refused.
                let of_others = found.get(&key).map_or(0, |found| found.refused);
                let new = refused.saturating_sub(*logged);
                let new = new.min(due.count.saturating_sub(of_others));
                *logged = refused;
                note(found, asked, id, new, || Refuser::Destroyed(id.clone()));
            }
            self.destroyed.insert(id.clone(), logged);
        }
        // Forget the scopes that the engine has forgotten.
        before.retain(|id, _| !is_due(id.class()));
        self.destroyed.append(&mut before);
    }
}

fn add(to: &mut BTreeMap<ScopeId, Counts>, id: &ScopeId, counts: Counts) {
    let sums = to.entry(id.clone()).or_default();
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

/// Adds a scope that refused `refused` requests.
fn note(
    found: &mut FoundScopes,
    asked: Resource,
    id: &ScopeId,
    refused: u64,
    refuser: impl Fn() -> Refuser,
) {
    if refused == 0 {
        return;
    }
    let found = found.entry((id.class(), asked)).or_insert_with(|| Found {
        scopes: 0,
        refused: 0,
        most: refuser(),
        refused_most: 0,
    });
    found.scopes += 1;
    found.refused += refused;
    // The name breaks ties, so that every line names the same scope.
    let is_first = refused == found.refused_most && id < found.most.id();
    if refused > found.refused_most || is_first {
        found.most = refuser();
        found.refused_most = refused;
    }
}
