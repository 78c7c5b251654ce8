//! How many connections of each peer the wrappers hold, so that the behaviour notices a connection
//! that they do not hold.
//!
//! A connection has no identity that both the wrappers and the behaviour know. So connections are
//! counted for each peer: a wrapper adds one before the swarm sees it, and the behaviour takes one
//! for each that the swarm establishes. If there is none to take, a connection came past the
//! wrappers.
//!
//! A connection may end before the behaviour sees it, and is then not taken. So the number of
//! connections to take is an upper bound, cut to the number that is held. It is never too low: a
//! connection that is held always finds one to take. It may be too high while other connections of
//! the peer are held: then a connection that came past the wrappers goes unnoticed.

use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rcmgr_core::PeerId;

/// The connections that the wrappers hold.
#[derive(Debug, Default)]
pub(crate) struct Arrivals {
    hasher: RandomState,
    /// By the hash of the peer, because each connection pays for the key twice. Peers with the same
    /// hash are counted together.
    counts: Mutex<HashMap<u64, Count>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Count {
    /// How many are held.
    held: u32,
    /// How many of them the behaviour has not taken: an upper bound.
    to_take: u32,
}

/// A connection that a wrapper holds, until this is dropped.
#[derive(Debug)]
pub(crate) struct Arrival {
    key: u64,
    arrivals: Arc<Arrivals>,
}

impl Arrivals {
    /// A wrapper has a connection with `peer`.
    pub(crate) fn add(self: &Arc<Self>, peer: &PeerId) -> Arrival {
        let key = self.hasher.hash_one(peer);
        let mut counts = self.lock();
        let count = counts.entry(key).or_default();
        count.held += 1;
        count.to_take += 1;
        let arrivals = self.clone();
        Arrival { key, arrivals }
    }

    /// The swarm has established a connection with `peer`. Whether a wrapper holds it, as far as can
    /// be known.
    pub(crate) fn take(&self, peer: &PeerId) -> bool {
        let key = self.hasher.hash_one(peer);
        match self.lock().get_mut(&key) {
            Some(count) if count.to_take > 0 => {
                count.to_take -= 1;
                true
            }
            _ => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Count>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut counts = self.arrivals.lock();
        let Entry::Occupied(mut entry) = counts.entry(self.key) else {
            return;
        };
        let count = entry.get_mut();
        count.held -= 1;
        count.to_take = count.to_take.min(count.held);
        if count.held == 0 {
            entry.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn peer(name: &str) -> PeerId {
        name.parse().unwrap()
    }

    #[test]
    fn a_connection_is_taken_once_and_only_for_its_peer() {
        let arrivals = Arc::new(Arrivals::default());
        let [alice, bob] = ["alice", "bob"].map(peer);
        let _held = arrivals.add(&alice);
        assert!(!arrivals.take(&bob));
        assert!(arrivals.take(&alice));
        assert!(!arrivals.take(&alice));
    }

    #[test]
    fn a_connection_that_ended_before_it_was_seen_is_not_taken_for_another_one() {
        let arrivals = Arc::new(Arrivals::default());
        let alice = peer("alice");
        drop(arrivals.add(&alice));
        assert!(!arrivals.take(&alice));
    }

    #[test]
    fn of_two_connections_that_were_not_seen_one_is_to_take_when_the_other_has_ended() {
        let arrivals = Arc::new(Arrivals::default());
        let alice = peer("alice");
        let (first, _second) = (arrivals.add(&alice), arrivals.add(&alice));
        drop(first);
        assert!(arrivals.take(&alice));
        assert!(!arrivals.take(&alice));
    }

    #[test]
    fn a_connection_that_ends_leaves_the_next_one_to_take() {
        let arrivals = Arc::new(Arrivals::default());
        let alice = peer("alice");
        let first = arrivals.add(&alice);
        assert!(arrivals.take(&alice));
        // The swarm has not seen the end of the first when it sees the second.
        let _second = arrivals.add(&alice);
        drop(first);
        assert!(arrivals.take(&alice));
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// A wrapper makes a connection.
        Make,
        /// The swarm establishes one of those made.
        Establish,
        /// One of those made ends before the swarm has established it.
        Fail(usize),
        /// An established one ends.
        End(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        prop::collection::vec(
            prop_oneof![
                3 => Just(Step::Make),
                2 => Just(Step::Establish),
                1 => any::<usize>().prop_map(Step::Fail),
                2 => any::<usize>().prop_map(Step::End),
            ],
            1..64,
        )
    }

    proptest! {
        #[test]
        fn a_connection_that_is_held_always_finds_one_to_take(steps in steps()) {
            let arrivals = Arc::new(Arrivals::default());
            let alice = peer("alice");
            let (mut made, mut established) = (Vec::new(), Vec::new());
            for step in steps {
                match step {
                    Step::Make => made.push(arrivals.add(&alice)),
                    // In the reverse order, which is the worst one for the count.
                    Step::Establish => if let Some(connection) = made.pop() {
                        prop_assert!(arrivals.take(&alice));
                        established.push(connection);
                    },
                    Step::Fail(at) if !made.is_empty() => {
                        made.swap_remove(at % made.len());
                    }
                    Step::End(at) if !established.is_empty() => {
                        established.swap_remove(at % established.len());
                    }
                    Step::Fail(_) | Step::End(_) => {}
                }
                if made.is_empty() && established.is_empty() {
                    prop_assert!(arrivals.lock().is_empty());
                    prop_assert!(!arrivals.take(&alice));
                }
            }
        }
    }
}
