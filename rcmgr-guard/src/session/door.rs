//! A listener on one worker: its socket, and the sessions that began there.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use rcmgr_core::Error;
use rcmgr_tokio::{Accept, Guarded};
use tokio::net::TcpStream;

use super::admission::RefusedBy;
use super::front::Front;
use super::table::Table;

/// A listener on one worker.
pub(crate) struct Door<L> {
    pub(crate) guarded: Guarded<L>,
    pub(crate) table: Arc<Table>,
}

impl<L: Accept<Io = TcpStream>> Door<L> {
    pub(crate) fn front(&self) -> &Arc<Front> {
        &self.table.front
    }

    /// Counts a refused client, and gives it the answer of the listener.
    pub(super) fn refuse(&self, socket: TcpStream, sender: SocketAddr, error: &Error) {
        let by = RefusedBy::of(error);
        by.counter(&self.front().counters).add(1);
        self.guarded.refuse(socket, sender.into(), error);
    }
}

impl<L: fmt::Debug> fmt::Debug for Door<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guarded.fmt(f)
    }
}
