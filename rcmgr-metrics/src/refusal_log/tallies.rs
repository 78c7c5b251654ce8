//! The refusals of one mode that were logged, and the lines about those that were not.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_atomic::address::ipnet::IpNet;
use rcmgr_core::{Limits, Resource, ScopeClass};

use super::asked::{ASKED, LIMITERS, by_asked, by_limiter};
use super::line::Line;
use super::mode::Mode;
use super::queued::Queues;
use super::scopes::{Due, Known};
use super::tally::{New, Tally};

/// The number of networks that are looked at.
const NETWORKS: usize = 100;

/// The networks that were refused most often, with their refusals by limiter.
fn networks(
    mode: Mode,
    manager: &Manager,
) -> impl Iterator<Item = (IpNet, [u64; LIMITERS.len()])> + use<> {
    let refused = mode.most_refused(manager, NETWORKS).into_iter();
    refused.map(|refused| (refused.network, [refused.by_rate, refused.by_subnet]))
}

#[derive(Debug)]
pub(super) struct Tallies {
    mode: Mode,
    /// By class and by resource, in the order of [`ScopeClass::ALL`] and [`ASKED`].
    of_scopes: [[Tally; ASKED.len()]; ScopeClass::ALL.len()],
    of_limiters: [Tally; LIMITERS.len()],
    /// For the networks that were refused most often: the refusals that were logged, by limiter.
    networks: HashMap<IpNet, [u64; LIMITERS.len()]>,
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
            networks: networks(mode, manager).collect(),
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
        // The counters of a dry run are gone when it ends. Those of the next one begin at zero.
        let Some(addresses) = self.mode.addresses(manager) else {
            self.of_limiters = Default::default();
            self.of_limiters
                .iter_mut()
                .for_each(|tally| tally.since = now);
            return lines;
        };
        for (at, refused) in by_limiter(&addresses).into_iter().enumerate() {
            // A lower count means that another dry run began since the last look. If it has as many
            // already, those up to the old count are not logged.
            if refused < self.of_limiters[at].logged {
                self.of_limiters[at].logged = 0;
            }
            if let Some(new) = self.of_limiters[at].due(refused, now, interval) {
                let most = self.most_refused(manager, at);
                let key = self.mode.addresses_key(manager, LIMITERS[at]);
                lines.push(Line::of_limiter(self.mode, LIMITERS[at], key, new, most));
            }
        }
        lines
    }

    /// The network that a limiter refused most often since its last line, and how often.
    fn most_refused(&mut self, manager: &Manager, limiter: usize) -> Option<(IpNet, u64)> {
        let before = std::mem::take(&mut self.networks);
        let mut most = None;
        for (network, refused) in networks(self.mode, manager) {
            let mut logged = before.get(&network).copied().unwrap_or_default();
            let new = refused[limiter].saturating_sub(logged[limiter]);
            if new > most.map_or(0, |(_, most)| most) {
                most = Some((network, new));
            }
            logged[limiter] = refused[limiter];
            self.networks.insert(network, logged);
        }
        most
    }

    fn lines_of_scopes(&mut self, manager: &Manager, due: &Due) -> Vec<Line> {
        if due.is_empty() {
            return Vec::new();
        }
        let mut found = self.known.find(manager, due);
        let enforced: Arc<Limits> = manager.limits();
        let limits = self.mode.limits(&enforced);
        let (mode, of_scopes) = (self.mode, &mut self.of_scopes);
        let queues = Queues::of(manager, mode);
        let of_class = |class, asked| queues.at(class, None, asked);
        let line = |(&(class, asked), &new): (&(ScopeClass, Resource), &New)| match class {
            ScopeClass::Connection => Line::of_each(mode, class, asked, new, limits.conn)
                .with_waiting(of_class(class, asked)),
            ScopeClass::Stream => Line::of_each(mode, class, asked, new, limits.stream)
                .with_waiting(of_class(class, asked)),
            ScopeClass::Span => {
                Line::of_spans(mode, asked, new).with_waiting(of_class(class, asked))
            }
            _ => match found.remove(&(class, asked)) {
                Some(found) => {
                    // The scopes may have refused more since the sum was taken. Report these now,
                    // too.
                    let count = new.count.max(found.refused);
                    let of_class = ASKED.iter().zip(&mut of_scopes[class as usize]);
                    for (_, tally) in of_class.filter(|&(&of, _)| of == asked) {
                        tally.logged += count - new.count;
                    }
                    let waiting = queues.at(class, Some(found.most.id()), asked);
                    Line::of_scope(mode, found, asked, New { count, ..new }, &enforced)
                        .with_waiting(waiting)
                }
                None => Line::of_destroyed(mode, class, asked, new, &limits),
            },
        };
        due.iter().map(line).collect()
    }
}
