//! A listener on one worker: its socket, and the sessions that began there.

use std::net::SocketAddr;
use std::sync::Arc;

use rcmgr_core::Error;
use rcmgr_tokio::Guarded;

use super::admission::RefusedBy;
use super::front::Front;
use super::listening::{Accepted, Listening};
use super::table::Table;

/// A listener on one worker.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) guarded: Guarded<Listening>,
    pub(crate) table: Arc<Table>,
}

impl Door {
    pub(crate) fn front(&self) -> &Arc<Front> {
        &self.table.front
    }

    /// Counts a refused client, and gives it the answer of the listener.
    pub(super) fn refuse(&self, socket: Accepted, sender: SocketAddr, error: &Error) {
        let by = RefusedBy::of(error);
        by.counter(&self.front().counters).add(1);
        self.guarded.refuse(socket, sender.into(), error);
    }
}
