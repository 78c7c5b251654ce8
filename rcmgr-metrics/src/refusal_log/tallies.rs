//! The refusals of one mode that were logged, and the lines about those that were not.

use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::{Limits, Resource, ScopeClass};

use super::asked::{ASKED, LIMITERS, by_asked, by_limiter};
use super::line::Line;
use super::mode::Mode;
use super::scopes::{Due, Known};
use super::tally::{New, Tally};

#[derive(Debug)]
pub(super) struct Tallies {
    mode: Mode,
    /// By class and by resource, in the order of [`ScopeClass::ALL`] and [`ASKED`].
    of_scopes: [[Tally; ASKED.len()]; ScopeClass::ALL.len()],
    of_limiters: [Tally; LIMITERS.len()],
    pub known: Known,
}

impl Tallies {
    /// Treats all refusals so far as logged.
    pub fn new(mode: Mode, manager: &Manager) -> Self {
        let mut known = Known::new(mode);
        known.note_all(manager);
        let before = |refused| Tally::before(refused, Duration::ZERO);
        let of_scopes = mode.all_refusals(manager);
        let of_limiters = by_limiter(&mode.addresses(manager).unwrap_or_default());
        Self {
            mode,
            of_scopes: of_scopes.map(|refusals| by_asked(&refusals).map(before)),
            of_limiters: of_limiters.map(before),
            known,
        }
    }

    /// All refusals that are not logged yet are later than this.
    pub fn set_since(&mut self, now: Duration) {
        let of_scopes = self.of_scopes.as_flattened_mut().iter_mut();
        for tally in of_scopes.chain(&mut self.of_limiters) {
            tally.since = now;
        }
    }

    /// The lines that are due.
    pub fn lines(&mut self, manager: &Manager, now: Duration, interval: Duration) -> Vec<Line> {
        let mut due = Due::new();
        let refusals = self.mode.all_refusals(manager);
        for ((class, refused), tallies) in
            (ScopeClass::ALL.into_iter().zip(&refusals)).zip(&mut self.of_scopes)
        {
            let refused = ASKED.into_iter().zip(by_asked(refused));
            for ((asked, refused), tally) in refused.zip(tallies) {
                if let Some(new) = tally.due(refused, now, interval) {
                    due.insert((class, asked), new);
                }
            }
        }
        let mut lines = self.lines_of_scopes(manager, &due);
        // The counters of a dry run are gone when it ends.
        let Some(addresses) = self.mode.addresses(manager) else {
            return lines;
        };
        let refused = by_limiter(&addresses);
        for ((limiter, refused), tally) in
            LIMITERS.into_iter().zip(refused).zip(&mut self.of_limiters)
        {
            let new = tally.due(refused, now, interval);
            lines.extend(new.map(|new| Line::of_limiter(self.mode, limiter, new)));
        }
        lines
    }

    fn lines_of_scopes(&mut self, manager: &Manager, due: &Due) -> Vec<Line> {
        if due.is_empty() {
            return Vec::new();
        }
        let mut found = self.known.find(manager, due);
        let enforced: Arc<Limits> = manager.limits();
        let limits = self.mode.limits(&enforced);
        let (mode, of_scopes) = (self.mode, &mut self.of_scopes);
        let line = |(&(class, asked), &new): (&(ScopeClass, Resource), &New)| match class {
            ScopeClass::Connection => Line::of_each(mode, class, asked, new, limits.conn),
            ScopeClass::Stream => Line::of_each(mode, class, asked, new, limits.stream),
            ScopeClass::Span => Line::of_spans(mode, asked, new),
            _ => match found.remove(&(class, asked)) {
                Some(found) => {
                    // The scopes may have refused more since the sum was taken. Report these now,
                    // too.
                    let count = new.count.max(found.refused);
                    let of_class = ASKED.iter().zip(&mut of_scopes[class as usize]);
                    for (_, tally) in of_class.filter(|&(&of, _)| of == asked) {
                        tally.logged += count - new.count;
                    }
                    Line::of_scope(mode, found, asked, New { count, ..new }, &enforced)
                }
                None => Line::of_destroyed(mode, class, asked, new, &limits),
            },
        };
        due.iter().map(line).collect()
    }
}
