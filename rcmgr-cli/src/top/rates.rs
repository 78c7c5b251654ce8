//! The rates of refusals.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::page::{Page, Scope};

/// Refusals per second between two updates.
#[derive(Debug)]
pub struct Rates {
    /// The shortest time between two updates for a new rate. A search causes updates that are too
    /// close.
    soonest: Duration,
    /// `None` for a name that several scopes have because it was cut.
    scopes: HashMap<String, Option<Seen>>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    at: Instant,
    refused: u64,
    /// The rate since the update before, per second.
    rate: Option<f64>,
}

impl Rates {
    /// Rates for updates with this interval.
    pub fn new(interval: Duration) -> Self {
        Self {
            soonest: interval / 2,
            scopes: HashMap::new(),
        }
    }

    /// Takes an update.
    pub fn look(&mut self, page: &Page, now: Instant) {
        let mut scopes = HashMap::new();
        for scope in &page.scopes {
            let seen = scopes.entry(scope.name.clone());
            seen.and_modify(|seen| *seen = None)
                .or_insert_with(|| Some(self.seen(scope, now)));
        }
        for scope in [&page.system, &page.transient].into_iter().flatten() {
            scopes.insert(scope.name.clone(), Some(self.seen(scope, now)));
        }
        self.scopes = scopes;
    }

    fn seen(&self, scope: &Scope, now: Instant) -> Seen {
        let refused = scope.all_refused();
        let before = self.scopes.get(&scope.name).copied().flatten();
        let rate = match before {
            Some(before) if now.saturating_duration_since(before.at) < self.soonest => {
                return before;
            }
            Some(before) => {
                // The counter is lower if the scope or the server was created again: it then counts
                // from zero.
                let since = refused.checked_sub(before.refused).unwrap_or(refused);
                Some(since as f64 / now.saturating_duration_since(before.at).as_secs_f64())
            }
            None => None,
        };
        Seen {
            at: now,
            refused,
            rate,
        }
    }

    /// Refusals per second; `None` for a scope that was not in the update before.
    pub fn of(&self, scope: &Scope) -> Option<f64> {
        self.scopes.get(&scope.name).copied().flatten()?.rate
    }
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
