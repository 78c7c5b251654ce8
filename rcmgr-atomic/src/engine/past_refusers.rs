//! The collected scopes that refused the most, so that a report can name them.

use rcmgr_core::{Refusals, ScopeClass, ScopeId};

use crate::sync::Guarded;

/// The number of scopes that are kept for each class.
const KEPT: usize = 16;

/// The longest name that is kept, in bytes: remotes choose names, and a kept name keeps its memory.
const LONGEST_NAME: usize = 1024;

type Refusers = Vec<(ScopeId, Refusals)>;

/// For each class, the collected scopes that refused the most. A peer or protocol that may have
/// nothing refuses, and is collected at once: it is in no list of live scopes.
///
/// If there are too many scopes, the one with the fewest refusals is dropped, and counts from zero
/// if it comes back.
pub struct PastRefusers([Guarded<Refusers>; ScopeClass::ALL.len()]);

impl PastRefusers {
    pub fn new() -> Self {
        // The room is reserved beforehand, because a refusal allocates nothing.
        Self(std::array::from_fn(|_| {
            Guarded::new(Vec::with_capacity(KEPT))
        }))
    }

    /// Adds the refusals of a scope that was collected.
    pub fn add(&self, id: &ScopeId, refusals: Refusals) {
        let name_length = id.name().map_or(0, |name| name.len());
        if refusals.total() == 0 || name_length > LONGEST_NAME {
            return;
        }
        let dropped = self.0[id.class() as usize].with(|refusers| {
            if let Some((_, known)) = refusers.iter_mut().find(|(known, _)| known == id) {
                *known += refusals;
                return None;
            }
            if refusers.len() < KEPT {
                refusers.push((id.clone(), refusals));
                return None;
            }
            let fewest = refusers
                .iter_mut()
                .min_by_key(|(_, refusals)| refusals.total())?;
            Some(std::mem::replace(fewest, (id.clone(), refusals)))
        });
        // Its name is freed without the lock.
        drop(dropped);
    }

    /// The scopes of a class, in any order.
    pub fn of(&self, class: ScopeClass) -> Refusers {
        self.0[class as usize].with(|refusers| refusers.clone())
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
    fn scopes_without_refusals_and_with_very_long_names_are_not_kept() {
        let past = PastRefusers::new();
        past.add(&protocol("/x"), refusals(0));
        past.add(&protocol(&"x".repeat(LONGEST_NAME + 1)), refusals(1));
        assert_eq!(past.of(ScopeClass::Protocol), []);
    }
}
