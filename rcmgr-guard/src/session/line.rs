//! The line of clients that wait for room at one listener: first come, first served.
//!
//! The head of the line tries to get in whenever a session has ended, and after a short while in any
//! case: limits may have been raised. The others wait for their turn. A client that waits holds nothing
//! in the shared scopes, so no two lines block each other.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rcmgr_atomic::Scope;
use rcmgr_core::{Limit, PeerId};
use tokio::sync::Mutex as FairMutex;

use crate::counts::Counter;

/// How long the head of a line waits until it looks again without having been woken.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// The line of one listener, on all workers.
#[derive(Debug, Default)]
pub(super) struct Line {
    /// The head of the line has it. It is fair: first come, first served.
    pub(super) turn: FairMutex<()>,
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    taken: usize,
    /// How many clients of each peer wait.
    of_peers: HashMap<PeerId, u64>,
}

/// Why a client cannot wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoPlace {
    /// As many clients wait as may.
    Full,
    /// With its clients that wait already, its peer would be over its limit.
    OverPeer,
}

impl Line {
    /// Takes a place among at most `most`. The clients of a peer that wait count against the limit
    /// of their peer, so that no peer fills the line with clients that would be refused in the end.
    pub(super) fn enter<'a>(
        &'a self,
        most: usize,
        peer: Option<(PeerId, Scope)>,
        waiting: &'a Counter,
    ) -> Result<Place<'a>, NoPlace> {
        let mut places = self.lock();
        if places.taken >= most {
            return Err(NoPlace::Full);
        }
        let peer = match peer {
            Some((peer, scope)) => {
                let of_peer = places.of_peers.get(&peer).copied().unwrap_or_default();
                if !has_room_for(&scope.remaining(), of_peer + 1) {
                    return Err(NoPlace::OverPeer);
                }
                places.of_peers.insert(peer, of_peer + 1);
                Some(peer)
            }
            None => None,
        };
        places.taken += 1;
        waiting.add(1);
        Ok(Place {
            line: self,
            peer,
            waiting,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether `count` more connections of a peer fit into what is left. Those to backends have no peer.
fn has_room_for(left: &Limit, count: u64) -> bool {
    let all = [left.conns_inbound, left.conns, left.fd];
    all.iter().all(|left| left.allows(count))
}

/// The place of a client in a line, until it is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    line: &'a Line,
    peer: Option<PeerId>,
    waiting: &'a Counter,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut places = self.line.lock();
        places.taken -= 1;
        if let Some(peer) = self.peer
            && let Some(count) = places.of_peers.get_mut(&peer)
        {
            *count -= 1;
            if *count == 0 {
                places.of_peers.remove(&peer);
            }
        }
        self.waiting.leave();
    }
}

#[cfg(test)]
mod tests {
    use rcmgr_atomic::{Limits, Manager};

    use super::*;

    #[test]
    fn clients_that_wait_count_against_the_limit_of_their_peer() {
        let mut limits = Limits::unlimited();
        limits.peer_default.conns_inbound = 2.into();
        let manager = Manager::new(limits).unwrap();
        let (line, waiting) = (Line::default(), Counter::default());
        let peer = |name: &str| {
            let peer: PeerId = name.parse().unwrap();
            Some((peer, manager.view_peer(&peer)))
        };
        let first = line.enter(3, peer("a"), &waiting).unwrap();
        let _second = line.enter(3, peer("a"), &waiting).unwrap();
        let third = line.enter(3, peer("a"), &waiting);
        assert_eq!(third.unwrap_err(), NoPlace::OverPeer);
        let _other = line.enter(3, peer("b"), &waiting).unwrap();
        let fourth = line.enter(3, peer("c"), &waiting);
        assert_eq!(fourth.unwrap_err(), NoPlace::Full);
        assert_eq!(waiting.get(), 3);
        drop(first);
        let _third = line.enter(3, peer("a"), &waiting).unwrap();
    }
}
