//! A page of scopes that is far from the first one, in bounded memory.
//!
//! All scopes are visited several times. Each visit takes a sample of the scopes that may be on the
//! page, and the next one only considers the part of the order where the page must be.

use std::cmp::Ordering;

use rcmgr_atomic::{Manager, ScopeReport};
use rcmgr_core::ScopeId;

use super::order::{Place, place};
use super::query::Query;

/// The largest number of places in a sample.
const MOST: usize = 8192;

/// The number of visits, in case that scopes come and go so fast that the page is missed.
const VISITS: usize = 12;

/// A part of the order: the places between two others.
#[derive(Debug, Default)]
struct Part {
    after: Option<Place>,
    before: Option<Place>,
}

impl Part {
    /// Whether the place is in front of this part, in it, or behind it.
    fn side(&self, place: (u64, &ScopeId)) -> Ordering {
        if self
            .after
            .as_ref()
            .is_some_and(|after| after.cmp_to(place).is_ge())
        {
            Ordering::Less
        } else if self
            .before
            .as_ref()
            .is_some_and(|before| before.cmp_to(place).is_le())
        {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    }
}

/// Every n-th of the places that were seen.
#[derive(Debug)]
struct Sample {
    places: Vec<Place>,
    step: usize,
    seen: usize,
}

impl Sample {
    const fn new() -> Self {
        Self {
            places: Vec::new(),
            step: 1,
            seen: 0,
        }
    }

    fn add(&mut self, place: impl FnOnce() -> Place) {
        if self.seen.is_multiple_of(self.step) {
            if self.places.len() == MOST {
                let mut is_kept = false;
                self.places.retain(|_| {
                    is_kept = !is_kept;
                    is_kept
                });
                self.step *= 2;
            }
            self.places.push(place());
        }
        self.seen += 1;
    }
}

/// The scopes of the page, in order.
pub(super) fn page(manager: &Manager, query: &Query) -> Vec<ScopeReport> {
    let mut part = Part::default();
    // The page is searched in the sample within this share of its length on both sides.
    let mut margin = 32;
    let end = query.offset.saturating_add(query.limit);
    for _ in 0..VISITS {
        let (mut in_front, mut sample) = (0, Sample::new());
        visit(manager, query, |report| {
            let place = place(report, query.sort);
            match part.side(place) {
                Ordering::Less => in_front += 1,
                Ordering::Equal => sample.add(|| Place::new(place)),
                Ordering::Greater => {}
            }
        });
        let seen_to = in_front + sample.seen;
        if query.offset < in_front || (seen_to < end && part.before.is_some()) {
            // The page is not in this part: start again, with more space around it.
            part = Part::default();
            margin = (margin / 2).max(2);
            continue;
        }
        sample.places.sort();
        let count = sample.places.len();
        let [from, to] = [query.offset, end.min(seen_to)].map(|rank| rank - in_front);
        if sample.step == 1 {
            return match sample.places.get(from..to) {
                Some([first, .., last]) => between(manager, query, first, last),
                Some([only]) => between(manager, query, only, only),
                _ => Vec::new(),
            };
        }
        let at = |rank: usize| (rank as u128 * count as u128 / sample.seen as u128) as usize;
        let first = at(from).checked_sub(count / margin);
        let last = at(to) + count / margin;
        let after = first.and_then(|first| sample.places.get(first).cloned());
        let before = sample.places.get(last).cloned();
        part = Part {
            after: after.or(part.after),
            before: before.or(part.before),
        };
    }
    Vec::new()
}

/// The scopes from `first` to `last`, as many as the query asks for.
fn between(manager: &Manager, query: &Query, first: &Place, last: &Place) -> Vec<ScopeReport> {
    let mut found = Vec::new();
    visit(manager, query, |report| {
        let place = place(report, query.sort);
        let is_between = first.cmp_to(place).is_le() && last.cmp_to(place).is_ge();
        if is_between && found.len() < query.limit {
            found.push(report.clone());
        }
    });
    found
}

fn visit(manager: &Manager, query: &Query, mut f: impl FnMut(&ScopeReport)) {
    manager.for_each_scope(|report| {
        if query.finds(&report.id) {
            f(&report);
        }
    });
}
