//! A session that is connected on both sides.

use std::sync::Arc;

use bytes::Bytes;
use rcmgr_atomic::Connection;
use rcmgr_atomic::address::Permit;
use rcmgr_tokio::WakeAcceptors;
use tokio::net::TcpStream;

use super::client::Client;
use super::front::Route;
use super::shared::Open;
use super::table::{Entry, Place, Table};
use crate::relay::{Activity, Cut, Ended, relay};

/// A socket. When it is closed, listeners that wait for a file descriptor try again.
#[derive(Debug)]
pub(super) struct Socket {
    pub(super) io: TcpStream,
    _wake: WakeAcceptors,
}

impl Socket {
    pub(super) const fn new(io: TcpStream) -> Self {
        Self {
            io,
            _wake: WakeAcceptors,
        }
    }
}

/// A side of a session: its socket, and its connection in the manager.
#[derive(Debug)]
pub(super) struct Side {
    // The order matters: the socket is closed first.
    pub(super) socket: Socket,
    pub(super) scope: Connection,
}

/// A session that is connected on both sides.
#[derive(Debug)]
pub(super) struct Running {
    // The order matters: the sockets and scopes go first, then the place in the table, and last the
    // count that the end of the server waits for.
    client: Side,
    backend: Side,
    _permit: Option<Box<Permit>>,
    first: Bytes,
    activity: Arc<Activity>,
    splice: bool,
    place: Place,
    _open: Open,
}

impl Running {
    pub(super) fn new(
        table: &Arc<Table>,
        route: &Arc<Route>,
        client: Client,
        first: Bytes,
        [client_side, backend_side]: [Side; 2],
        permit: Option<Box<Permit>>,
        open: Open,
    ) -> Self {
        let activity = Arc::new(Activity::new());
        let place = table.add(Entry {
            activity: Arc::clone(&activity),
            route: Arc::clone(route),
            client,
        });
        table.front.counters.connected.add(1);
        Self {
            client: client_side,
            backend: backend_side,
            _permit: permit,
            first,
            activity,
            splice: route.listen.splice,
            place,
            _open: open,
        }
    }

    /// Passes bytes on until the session ends.
    pub(super) fn relay(&mut self) -> impl Future<Output = Ended> + Send {
        let first = std::mem::take(&mut self.first);
        let (client, backend) = (&self.client.socket.io, &self.backend.socket.io);
        let scope = &self.client.scope;
        relay(client, backend, first, scope, &self.activity, self.splice)
    }

    /// Counts how it ended.
    pub(super) fn count(&self, ended: &Ended) {
        let counters = &self.place.front().counters;
        let how = match ended {
            Ended::Both => &counters.ended,
            Ended::ClientFailed(_) => &counters.client_failed,
            Ended::BackendFailed(_) => &counters.backend_failed,
            Ended::Cut(Cut::FirstByte) => &counters.cut_first_byte,
            Ended::Cut(Cut::Idle) => &counters.cut_idle,
            Ended::Cut(Cut::HalfClosed) => &counters.cut_half_closed,
            Ended::Cut(Cut::NoMemory) => &counters.cut_no_memory,
            Ended::Cut(Cut::Shed) => &counters.shed,
            Ended::Cut(Cut::Drained) => &counters.drained,
            Ended::Cut(Cut::Stopped) => &counters.stopped,
        };
        how.add(1);
        counters.bytes_to_backend.add(self.activity.to_backend());
        counters.bytes_to_client.add(self.activity.to_client());
        let failure = match ended {
            Ended::ClientFailed(error) => Some(("client", error)),
            Ended::BackendFailed(error) => Some(("backend", error)),
            Ended::Both | Ended::Cut(_) => None,
        };
        if let Some((side, error)) = failure {
            tracing::debug!("session ended: the connection of the {side} failed: {error}");
        }
    }
}
