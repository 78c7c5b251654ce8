//! Rates of refusals, and the last minute of each scope.

mod counted;
mod minute;

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use rcmgr_atomic::{Refusals, Resource};

use super::page::{Addresses, DryRun, Name, Network, Page, Scope};
use counted::Counted;
pub use minute::{MOMENTS, Minute, Moment};

/// The number of resources whose refusals are counted.
const COUNTED: usize = Resource::COUNTED.len();

/// Refusals per second between two updates, of all that the server counts.
#[derive(Debug)]
pub struct Rates {
    /// The shortest time between two updates for a new rate. A search causes updates that are too
    /// close.
    soonest: Duration,
    /// `None` for a name that several scopes have because it was cut.
    scopes: HashMap<Name, Option<Seen>>,
    addresses: Option<Counted<3>>,
    networks: HashMap<String, Counted<2>>,
    /// What the limits of the dry run would have refused.
    dry_run: Option<Counted<8>>,
    /// The ends of waits for room.
    waits: Option<Counted<3>>,
}

#[derive(Debug, Clone)]
struct Seen {
    /// `None` after a failure: a rate over a gap is not the rate now.
    refused: Option<Counted<COUNTED>>,
    /// What the limits of the dry run would have refused.
    dry_run: Option<Counted<COUNTED>>,
    minute: Minute,
}

impl Rates {
    /// Rates for updates with this interval.
    pub fn new(interval: Duration) -> Self {
        Self {
            soonest: interval / 2,
            scopes: HashMap::new(),
            addresses: None,
            networks: HashMap::new(),
            dry_run: None,
            waits: None,
        }
    }

    /// Takes an update of all scopes of a page.
    pub fn look(&mut self, page: &Page, now: Instant) {
        self.scopes = self.seen_in(&[page.pinned(), page.scopes.iter().collect()], now);
        self.look_at_totals(page, now);
    }

    /// Takes an update of one scope. The other scopes of the page were not read.
    pub fn look_at(&mut self, scope: Option<&Scope>, page: &Page, now: Instant) {
        let seen = self.seen_in(&[page.pinned(), scope.into_iter().collect()], now);
        self.scopes.extend(seen);
        self.look_at_totals(page, now);
    }

    fn seen_in(&self, lists: &[Vec<&Scope>], now: Instant) -> HashMap<Name, Option<Seen>> {
        let mut scopes = HashMap::new();
        // A scope may be in several lists. Two in one list are two scopes with one name.
        for list in lists {
            let mut names = HashSet::new();
            for scope in list {
                let is_first = names.insert(&scope.name);
                match scopes.entry(scope.name.clone()) {
                    Entry::Vacant(free) => drop(free.insert(Some(self.seen(scope, now)))),
                    Entry::Occupied(mut taken) if !is_first => drop(taken.insert(None)),
                    Entry::Occupied(_) => {}
                }
            }
        }
        scopes
    }

    fn look_at_totals(&mut self, page: &Page, now: Instant) {
        let soonest = self.soonest;
        let addresses = page.addresses.as_ref();
        let counts = addresses.map(Addresses::counts);
        self.addresses = counts.map(|counts| Counted::next(self.addresses, counts, now, soonest));
        let networks = addresses.into_iter().flat_map(|of| &of.most_refused);
        let networks = networks.map(|network| {
            let before = self.networks.get(&network.network).copied();
            let counts = [network.by_rate, network.by_subnet];
            let counted = Counted::next(before, counts, now, soonest);
            (network.network.clone(), counted)
        });
        self.networks = networks.collect();
        let dry_run = page.dry_run.as_ref().map(DryRun::counts);
        self.dry_run = dry_run.map(|counts| Counted::next(self.dry_run, counts, now, soonest));
        let ended = page.wait_totals.map(|totals| totals.ended());
        self.waits = ended.map(|counts| Counted::next(self.waits, counts, now, soonest));
    }

    fn seen(&self, scope: &Scope, now: Instant) -> Seen {
        let before = self.scopes.get(&scope.name).and_then(Option::as_ref);
        let next = |before, refusals: &Refusals| {
            Counted::next(before, counts(refusals), now, self.soonest)
        };
        let refused = next(before.and_then(|seen| seen.refused), &scope.refusals);
        let dry_run = next(
            before.and_then(|seen| seen.dry_run),
            &scope.dry_run_refusals,
        );
        let mut minute = match before {
            Some(seen) => seen.minute.clone(),
            None => Minute::new(now),
        };
        minute.add(
            now,
            Moment {
                part: scope.fullest(&Resource::ALL).map(|(_, part)| part),
                refused: refused.rates().is_some_and(|rates| sum(rates) > 0.0),
            },
        );
        Seen {
            refused: Some(refused),
            dry_run: Some(dry_run),
            minute,
        }
    }

    /// Forgets all rates, because the server does not answer. The last minutes stay.
    pub fn forget(&mut self) {
        for seen in self.scopes.values_mut().flatten() {
            (seen.refused, seen.dry_run) = (None, None);
        }
        self.addresses = None;
        self.networks.clear();
        self.dry_run = None;
        self.waits = None;
    }

    /// Whether there are rates: not before the second update, nor without an answer.
    pub fn are_known(&self) -> bool {
        let mut refused = self
            .scopes
            .values()
            .flatten()
            .filter_map(|seen| seen.refused);
        refused.any(|counted| counted.rates().is_some())
    }

    /// Refusals per second; `None` for a scope that was not in the update before.
    pub fn of(&self, scope: &Scope) -> Option<f64> {
        self.by_resource(scope).map(sum)
    }

    /// Refusals per second, in the order of [`Resource::COUNTED`].
    pub fn by_resource(&self, scope: &Scope) -> Option<[f64; COUNTED]> {
        self.seen_of(scope)?.refused?.rates()
    }

    /// The rates of [`DryRun::counts`]; `None` if there is no dry run.
    pub fn dry_run(&self) -> Option<[f64; 8]> {
        self.dry_run?.rates()
    }

    /// What the limits of the dry run would refuse per second in a scope, in the order of
    /// [`Resource::COUNTED`].
    pub fn dry_run_of(&self, scope: &Scope) -> Option<[f64; COUNTED]> {
        self.seen_of(scope)?.dry_run?.rates()
    }

    /// The last minute; `None` for a name that several scopes have.
    pub fn minute(&self, scope: &Scope) -> Option<&Minute> {
        self.seen_of(scope).map(|seen| &seen.minute)
    }

    /// The rates of [`Addresses::counts`].
    pub fn addresses(&self) -> Option<[f64; 3]> {
        self.addresses?.rates()
    }

    /// The rates of [`WaitTotals::ended`](super::page::WaitTotals::ended).
    pub fn waits(&self) -> Option<[f64; 3]> {
        self.waits?.rates()
    }

    /// Refusals of a network per second, by rate and by subnet.
    pub fn network(&self, network: &Network) -> Option<[f64; 2]> {
        self.networks.get(&network.network)?.rates()
    }

    fn seen_of(&self, scope: &Scope) -> Option<&Seen> {
        self.scopes.get(&scope.name)?.as_ref()
    }
}

fn counts(refusals: &Refusals) -> [u64; COUNTED] {
    Resource::COUNTED.map(|resource| refusals.get(resource))
}

fn sum<const N: usize>(rates: [f64; N]) -> f64 {
    rates.iter().sum()
}
#[cfg(test)]
mod tests {
    use super::super::fixture::{page, scope};
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn refused(name: &str, count: u64) -> Scope {
        let mut scope = scope(name);
        scope.refusals.memory = count;
        scope
    }

    #[test]
    fn a_rate_is_what_was_refused_since_the_last_look() {
        let mut rates = Rates::new(SECOND);
        let begin = Instant::now();
        let before = [("a", 10), ("b", 500), ("c", 7)].map(|(name, count)| refused(name, count));
        rates.look(&page(before), begin);
        assert_eq!(rates.of(&scope("a")), None, "there was one look only");
        let after = [("a", 15), ("b", 20), ("d", 9)].map(|(name, count)| refused(name, count));
        rates.look(&page(after), begin + 2 * SECOND);
        assert_eq!(rates.of(&scope("a")), Some(2.5));
        assert_eq!(rates.of(&scope("b")), Some(10.0), "it is another scope");
        assert_eq!(rates.of(&scope("c")), None, "it has gone");
        assert_eq!(rates.of(&scope("d")), None, "it was not there");
    }

    #[test]
    fn scopes_with_equal_names_have_no_rate() {
        let mut rates = Rates::new(SECOND);
        let begin = Instant::now();
        rates.look(&page([refused("x…", 1)]), begin);
        for look in 1..3 {
            let two = [refused("x…", 1), refused("x…", 900)];
            rates.look(&page(two), begin + look * SECOND);
            assert_eq!(rates.of(&scope("x…")), None);
        }
    }

    #[test]
    fn an_update_too_soon_after_another_changes_no_rate() {
        let mut rates = Rates::new(SECOND);
        let begin = Instant::now();
        rates.look(&page([refused("a", 0)]), begin);
        rates.look(&page([refused("a", 4)]), begin + SECOND);
        let soon = begin + SECOND + Duration::from_millis(1);
        rates.look(&page([refused("a", 5)]), soon);
        assert_eq!(rates.of(&scope("a")), Some(4.0));
        rates.look(&page([refused("a", 6)]), begin + 2 * SECOND);
        assert_eq!(
            rates.of(&scope("a")),
            Some(2.0),
            "the one in between counts"
        );
    }
}
