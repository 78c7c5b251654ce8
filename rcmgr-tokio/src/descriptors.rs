//! File descriptors: how many are open, and the wait for a free one.
//!
//! Each socket of this crate that is closed wakes the listeners that wait for a descriptor. File
//! descriptors belong to the process, so the list of waiting listeners does too: a socket of any
//! listener, or of none, frees a descriptor for each of them.

mod count;
mod reserve;

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

pub(crate) use count::{allowed, open};
pub(crate) use reserve::Reserve;

/// Notified of each closed socket, as long as a listener waits.
static FREED: Notify = Notify::const_new();
/// How many listeners wait.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// Wakes the listeners that wait for a file descriptor, when it is dropped.
///
/// A [`GuardedStream`](crate::GuardedStream) has one. A program that keeps sockets in types of its own
/// puts one behind each socket: fields are dropped in their order, so the descriptor is free by then.
///
/// ```
/// use rcmgr_atomic::Connection;
/// use rcmgr_tokio::WakeAcceptors;
/// use tokio::net::TcpStream;
///
/// struct Client {
///     socket: TcpStream,
///     wake: WakeAcceptors,
///     connection: Connection,
/// }
/// ```
#[derive(Debug, Default)]
pub struct WakeAcceptors;

impl Drop for WakeAcceptors {
    fn drop(&mut self) {
        // SeqCst: pairs with the store in `FreeDescriptor::new`. Either the waiting listener is seen
        // here, or its next attempt comes after the close of the socket.
        if WAITING.load(Ordering::SeqCst) > 0 {
            FREED.notify_waiters();
        }
    }
}

/// The wait for a free file descriptor. It is ready once a socket of this crate was closed after it
/// was made. So make it, try once more to accept, and only then poll it.
pub(crate) struct FreeDescriptor {
    freed: Pin<Box<Notified<'static>>>,
}

impl FreeDescriptor {
    pub(crate) fn new() -> Self {
        // SeqCst: pairs with the load in `WakeAcceptors`.
        WAITING.fetch_add(1, Ordering::SeqCst);
        Self {
            freed: Box::pin(FREED.notified()),
        }
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.freed.as_mut().poll(cx)
    }
}

impl Drop for FreeDescriptor {
    fn drop(&mut self) {
        // SeqCst: as the increment. A count that is too high for a moment only costs a wake-up.
        WAITING.fetch_sub(1, Ordering::SeqCst);
    }
}
