//! What all sessions of a server share: the manager, the count of sessions, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rcmgr_atomic::{Manager, Scope};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio_util::sync::CancellationToken;

/// The state that all sessions of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) manager: Manager,
    pub(super) system: Scope,
    pub(super) transient: Scope,
    /// Cancelled when the server ends: nothing is accepted, and no client waits for room.
    pub(crate) ending: CancellationToken,
    /// Cancelled when everything is cut.
    pub(crate) cut: CancellationToken,
    is_cut: AtomicBool,
    open: AtomicUsize,
    pub(super) room: Room,
}

impl Shared {
    pub(crate) fn new(manager: Manager) -> Self {
        Self {
            system: manager.view_system(),
            transient: manager.view_transient(),
            manager,
            ending: CancellationToken::new(),
            cut: CancellationToken::new(),
            is_cut: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            room: Room::default(),
        }
    }

    /// Ends everything that is not a running relay. The relays are cut with their tables.
    pub(crate) fn cut(&self) {
        // Relaxed: a session that starts meanwhile sees it after the lock of its table, or its
        // table is cut after it was added.
        self.is_cut.store(true, Ordering::Relaxed);
        self.ending.cancel();
        self.cut.cancel();
    }

    pub(crate) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// How many sessions and accept loops there are.
    pub(crate) fn open(&self) -> usize {
        // Acquire: pairs with Release of the drop of `Open`. All that a session held is given back.
        self.open.load(Ordering::Acquire)
    }
}

/// Something that the end of the server waits for: a session or an accept loop. Put it last in a
/// struct: when it is dropped, the rest is given back, and clients that wait try again.
#[derive(Debug)]
pub(crate) struct Open(Arc<Shared>);

impl Open {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        // Relaxed: the creator is counted itself, or holds the server.
        shared.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(shared))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // Release: pairs with Acquire in `Shared::open`.
        self.0.open.fetch_sub(1, Ordering::Release);
        self.0.room.changed();
    }
}

/// Wakes the clients at the heads of the queues when there may be room.
#[derive(Debug, Default)]
pub(super) struct Room {
    changed: Notify,
    /// How many clients are at the head of a queue.
    heads: AtomicUsize,
}

impl Room {
    /// Notes that a session has given back what it held.
    fn changed(&self) {
        // SeqCst: pairs with the addition in `head`. Either the head is seen here, or it sees the
        // room that there is.
        if self.heads.load(Ordering::SeqCst) > 0 {
            self.changed.notify_waiters();
        }
    }

    /// Registers a client at the head of a queue.
    pub(super) fn head(&self) -> Head<'_> {
        // SeqCst: pairs with the load in `changed`.
        self.heads.fetch_add(1, Ordering::SeqCst);
        Head(self)
    }
}

/// A client at the head of a queue.
pub(super) struct Head<'a>(&'a Room);

impl Head<'_> {
    /// Ready after a change that comes after this call.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.0.changed.notified()
    }
}

impl Drop for Head<'_> {
    fn drop(&mut self) {
        // SeqCst: as the addition. A count that is too high for a moment costs a wake-up.
        self.0.heads.fetch_sub(1, Ordering::SeqCst);
    }
}
