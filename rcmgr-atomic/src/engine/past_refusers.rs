//! The collected scopes that refused the most, so that a report can name them.

use std::cmp::Reverse;

use rcmgr_core::{Refusals, ScopeClass, ScopeId};

use crate::sync::Guarded;

/// The number of scopes that are reported for each class.
const KEPT: usize = 16;

/// The number of places for each class. One-time peers take turns on the last one.
const PLACES: usize = KEPT + 1;

/// The longest name that is kept, in bytes: remotes choose names, and a kept name keeps its memory.
const LONGEST_NAME: usize = 1024;

/// A collected scope, with its refusals.
struct Refuser {
    id: ScopeId,
    refusals: Refusals,
    /// The sum of its refusals, so that the scope with the fewest is found fast.
    total: u64,
}

/// For each class, the collected scopes that refused the most. A peer or protocol that may have
/// nothing refuses, and is collected at once: it is in no list of live scopes.
///
/// If there are too many scopes, the one with the fewest refusals is dropped, and counts from zero
/// if it comes back.
///
/// A flood of one-time peers adds a scope with each refusal, from many threads. No thread may wait
/// for another there, so a thread that finds the list locked adds nothing: a count may be too low,
/// never too high.
pub struct PastRefusers([Guarded<Vec<Refuser>>; ScopeClass::ALL.len()]);

impl PastRefusers {
    pub fn new() -> Self {
        // The room is reserved beforehand, because a refusal allocates nothing.
        Self(std::array::from_fn(|_| {
            Guarded::new(Vec::with_capacity(PLACES))
        }))
    }

    /// Adds the refusals of a scope that was collected, unless another thread has the list.
    pub fn add(&self, id: &ScopeId, refusals: Refusals) {
        let name_length = id.name().map_or(0, |name| name.len());
        let total = refusals.total();
        if total == 0 || name_length > LONGEST_NAME {
            return;
        }
        let dropped = self.0[id.class() as usize].try_with(|refusers| {
            if let Some(known) = refusers.iter_mut().find(|known| known.id == *id) {
                known.refusals += refusals;
                known.total += total;
                return None;
            }
            let refuser = Refuser {
                id: id.clone(),
                refusals,
                total,
            };
            if refusers.len() < PLACES {
                refusers.push(refuser);
                return None;
            }
            let fewest = refusers.iter_mut().min_by_key(|known| known.total)?;
            Some(std::mem::replace(fewest, refuser))
        });
        // Its name is freed without the lock.
        drop(dropped);
    }

    /// The scopes of a class with the most refusals, in any order.
    pub fn of(&self, class: ScopeClass) -> Vec<(ScopeId, Refusals)> {
        let copy = |known: &Refuser| (known.id.clone(), known.refusals);
        let mut copies: Vec<_> =
            self.0[class as usize].with(|refusers| refusers.iter().map(copy).collect());
        copies.sort_by_key(|(_, refusals)| Reverse(refusals.total()));
        copies.truncate(KEPT);
        copies
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protocol(name: &str) -> ScopeId {
        ScopeId::Protocol(name.into())
    }

    fn refusals(streams_inbound: u64) -> Refusals {
        Refusals {
            streams_inbound,
            ..Refusals::default()
        }
    }

    #[test]
    fn the_scopes_with_the_most_refusals_are_kept() {
        let past = PastRefusers::new();
        past.add(&protocol("/often"), refusals(5));
        for number in 0..10_000 {
            past.add(&protocol(&format!("/once/{number}")), refusals(1));
            past.add(&protocol("/often"), refusals(1));
        }
        let kept = past.of(ScopeClass::Protocol);
        assert_eq!(kept.len(), KEPT);
        assert!(kept.contains(&(protocol("/often"), refusals(10_005))));
        assert_eq!(past.of(ScopeClass::Peer), []);
    }

    #[test]
    fn scopes_that_refused_once_do_not_push_out_those_that_refused_more() {
        let past = PastRefusers::new();
        let often = |number: usize| protocol(&format!("/often/{number}"));
        for number in 0..KEPT {
            past.add(&often(number), refusals(100));
        }
        for number in 0..1_000 {
            past.add(&protocol(&format!("/once/{number}")), refusals(1));
        }
        let kept = past.of(ScopeClass::Protocol);
        assert_eq!(kept.len(), KEPT);
        for number in 0..KEPT {
            assert!(kept.contains(&(often(number), refusals(100))), "{number}");
        }
    }

    #[test]
    fn a_thread_that_finds_the_list_locked_does_not_wait() {
        let past = PastRefusers::new();
        let id = protocol("/x");
        past.add(&id, refusals(1));
        past.0[ScopeClass::Protocol as usize].with(|_| {
            past.add(&id, refusals(1));
            // The lists of other classes are free.
            past.add(&ScopeId::Service("dht".into()), refusals(1));
        });
        assert_eq!(past.of(ScopeClass::Protocol), [(id.clone(), refusals(1))]);
        assert_eq!(past.of(ScopeClass::Service).len(), 1);
        past.add(&id, refusals(1));
        assert_eq!(past.of(ScopeClass::Protocol), [(id, refusals(2))]);
    }

    #[test]
    fn scopes_without_refusals_and_with_very_long_names_are_not_kept() {
        let past = PastRefusers::new();
        past.add(&protocol("/x"), refusals(0));
        past.add(&protocol(&"x".repeat(LONGEST_NAME + 1)), refusals(1));
        assert_eq!(past.of(ScopeClass::Protocol), []);
    }
}
