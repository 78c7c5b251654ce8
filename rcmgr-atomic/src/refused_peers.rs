//! The peers that refused streams last, in a lane for each of several threads.
//!
//! To look a peer up by its id takes its shard's lock, where threads meet that are all refused by one
//! peer, as when that attacks on many connections. So a lane remembers a peer that refused twice in a
//! row, and whoever comes again asks it straight away. A peer that was taken out of the map since has
//! no user: then what it says counts no more, and it is forgotten.

use std::sync::Arc;

use rcmgr_core::{Error, PeerId, ScopeId};

use crate::node::Node;
use crate::sync::{AtomicBool, AtomicU64, Guarded, LANES, Ordering, lane};

/// The peers that refused last.
pub struct RefusedPeers([Lane; LANES]);

/// x86-64 fetches cache lines in pairs, so it takes two.
#[repr(align(128))]
struct Lane {
    /// Where the peer is that refused last: only to be told from others.
    last: AtomicU64,
    /// Whether there is one to be asked.
    known: AtomicBool,
    peer: Guarded<Option<Arc<Node>>>,
}

impl RefusedPeers {
    pub fn new() -> Self {
        Self(std::array::from_fn(|_| Lane {
            last: AtomicU64::new(0),
            known: AtomicBool::new(false),
            peer: Guarded::new(None),
        }))
    }

    /// A peer has refused.
    pub fn note(&self, peer: &Arc<Node>) {
        let lane = &self.0[lane()];
        let this = Arc::as_ptr(peer) as u64;
        // Relaxed, here and below: it is only to be likely.
        if lane.last.load(Ordering::Relaxed) != this {
            return lane.last.store(this, Ordering::Relaxed);
        }
        let before = lane.peer.with(|known| known.replace(Arc::clone(peer)));
        lane.known.store(true, Ordering::Relaxed);
        drop(before);
    }

    /// What `ask` makes of this peer, if it refused last: its refusal, if it refuses still.
    #[inline(always)]
    pub fn ask_again(
        &self,
        id: &PeerId,
        ask: impl FnOnce(&Node) -> Option<Error>,
    ) -> Option<Error> {
        let lane = &self.0[lane()];
        if !lane.known.load(Ordering::Relaxed) {
            return None;
        }
        lane.peer.with(|known| {
            let peer = known.as_ref()?;
            if !matches!(peer.id(), ScopeId::Peer(found) if found == id) {
                return None;
            }
            let refused = ask(peer);
            if refused.is_none() {
                *known = None;
                lane.known.store(false, Ordering::Relaxed);
            }
            refused
        })
    }
}
