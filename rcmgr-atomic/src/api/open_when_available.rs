//! Connections and streams that are opened as soon as there is room.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rcmgr_core::{Direction, Endpoint, PeerId, Result, ScopeId, ScopeName, UsesFd};

use super::connection::Connection;
use super::manager::Manager;
use super::stream::Stream;
use crate::counters::Slot;
use crate::engine::{Engine, Operation, Path, Record, Request, Wait};
use crate::leaf::{ConnectionLeaf, charge_in_turn, check_new_alone};
use crate::lifetime::{Shared, Use};
use crate::limits::BarePermit;
use crate::path::PathKind;
use crate::waiting::{NodesOfScope, Ticket};

/// The future of [`Manager::open_connection_when_available`].
#[must_use = "a future does nothing until it is polled"]
pub struct OpenConnectionWhenAvailable {
    // The wait ends before the permit is given back.
    wait: Wait,
    request: ConnectionRequest,
}

/// A connection that is asked for.
struct ConnectionRequest {
    manager: Manager,
    slot: Slot,
    endpoint: Endpoint,
    /// Its permit in the subnet of its address, once it has one. It keeps the permit while it waits,
    /// so that one address cannot fill the queue.
    permit: Option<BarePermit>,
}

impl ConnectionRequest {
    /// The path of the scopes that this one is part of.
    fn paths(&self) -> impl Iterator<Item = &Use<Path>> {
        self.manager.paths_of(self.endpoint)
    }

    fn give_back(&mut self) {
        if let Some(mut permit) = self.permit.take() {
            let engine = self.manager.engine();
            engine.addresses().give_back_last(&mut permit);
        }
    }
}

impl Request for ConnectionRequest {
    type Granted = Connection;

    fn engine(&self) -> &Arc<Engine> {
        self.manager.engine()
    }

    fn attempt(&mut self, ticket: Ticket) -> Result<Connection> {
        let Self {
            manager,
            slot,
            endpoint,
            permit,
        } = self;
        let engine = manager.engine();
        engine.check_open()?;
        if permit.is_none() {
            *permit = Some(engine.addresses().admit_bare(*endpoint)?);
        }
        match manager.charge_connection(*endpoint, *slot, ticket)? {
            None => {
                let permit = permit.take().expect("it has one");
                Ok(manager.admitted(*endpoint, *slot, permit))
            }
            // The allowlisted scopes need no permit.
            Some(path) => {
                let connection = manager.allowlisted(*endpoint, *slot, path);
                self.give_back();
                Ok(connection)
            }
        }
    }

    fn check_alone(&self) -> Result<()> {
        // It may use any of its paths.
        let mut refused = Ok(());
        for path in self.paths() {
            match check_new_alone(path, self.slot) {
                Ok(()) => return Ok(()),
                why => refused = why,
            }
        }
        refused
    }

    fn nodes(&self, scope: &ScopeId) -> NodesOfScope {
        let nodes = self.paths().flat_map(|path| path.nodes_of(scope));
        nodes.cloned().collect()
    }

    fn asker(&self) -> Option<ScopeName> {
        None
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn level(&self) -> u8 {
        u8::MAX
    }

    fn amount(&self) -> u64 {
        1
    }

    fn slot(&self) -> Option<Slot> {
        Some(self.slot)
    }

    fn record(&self) -> Record {
        let path = self.paths().next().expect("there is the standard path");
        let number = path.home().leaf_class(self.slot).numbers.next();
        Record::of_leaf(Operation::Open, path, self.slot, number)
    }
}

impl Future for OpenConnectionWhenAvailable {
    type Output = Result<Connection>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, request } = &mut *self;
        let polled = wait.poll(request, cx);
        if polled.is_ready() {
            request.give_back();
        }
        polled
    }
}

impl Drop for ConnectionRequest {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for OpenConnectionWhenAvailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenConnectionWhenAvailable")
            .field("endpoint", &self.request.endpoint)
            .finish_non_exhaustive()
    }
}

/// The future of [`Manager::open_stream_when_available`] and of
/// [`Connection::open_stream_when_available`].
#[must_use = "a future does nothing until it is polled"]
pub struct OpenStreamWhenAvailable {
    wait: Wait,
    request: Result<StreamRequest>,
}

/// A stream that is asked for.
struct StreamRequest {
    path: Use<Path>,
    slot: Slot,
    /// The connection that it is opened through.
    connection: Option<Shared<ConnectionLeaf>>,
}

impl Request for StreamRequest {
    type Granted = Stream;

    fn engine(&self) -> &Arc<Engine> {
        self.path.shared_home()
    }

    fn attempt(&mut self, ticket: Ticket) -> Result<Stream> {
        self.engine().check_open()?;
        self.prepare()?;
        charge_in_turn(&self.path, self.slot, ticket)?;
        Ok(Stream::new(self.path.join(), self.slot))
    }

    fn check_alone(&self) -> Result<()> {
        check_new_alone(&self.path, self.slot)
    }

    fn nodes(&self, scope: &ScopeId) -> NodesOfScope {
        self.path.nodes_of(scope).cloned().collect()
    }

    fn asker(&self) -> Option<ScopeName> {
        self.connection.as_ref().map(|leaf| leaf.name())
    }

    fn prepare(&self) -> Result<()> {
        match &self.connection {
            Some(leaf) => leaf.prepare_for_spans(),
            None => Ok(()),
        }
    }

    fn level(&self) -> u8 {
        u8::MAX
    }

    fn amount(&self) -> u64 {
        1
    }

    fn slot(&self) -> Option<Slot> {
        Some(self.slot)
    }

    fn record(&self) -> Record {
        let number = self.engine().leaf_class(self.slot).numbers.next();
        Record::of_leaf(Operation::Open, &self.path, self.slot, number)
    }
}

impl Future for OpenStreamWhenAvailable {
    type Output = Result<Stream>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { wait, request } = &mut *self;
        match request {
            Ok(request) => wait.poll(request, cx),
            Err(refused) => Poll::Ready(Err(refused.clone())),
        }
    }
}

impl fmt::Debug for OpenStreamWhenAvailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStreamWhenAvailable")
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Opens a stream with the peer of the connection as soon as there is room. The wait ends with
    /// [`ScopeClosed`](crate::Error::ScopeClosed) when the connection is closed.
    ///
    /// The errors are those of [`ReserveWhenAvailable`](crate::ReserveWhenAvailable), and [`NoPeer`](crate::Error::NoPeer) before the
    /// peer is set.
    pub fn open_stream_when_available(&self, direction: Direction) -> OpenStreamWhenAvailable {
        let request = self.streams_path().map(|path| StreamRequest {
            path,
            slot: Slot::Stream(direction),
            connection: Some(self.shared_leaf()),
        });
        OpenStreamWhenAvailable {
            wait: Wait::new(),
            request,
        }
    }
}

impl Manager {
    /// Opens a connection as soon as there is room in the scopes.
    ///
    /// Limits by address do not wait: they refuse at once. A connection that waits keeps its permit
    /// there, so that one address cannot fill the queue. The other errors are those of
    /// [`ReserveWhenAvailable`](crate::ReserveWhenAvailable); after [`close`](Self::close) it is
    /// [`ScopeClosed`](crate::Error::ScopeClosed).
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, UsesFd};
    ///
    /// # async fn accept() -> Result<(), rcmgr_atomic::Error> {
    /// let mut limits = Limits::unlimited();
    /// limits.system.conns_inbound = 100.into();
    /// let manager = Manager::new(limits)?;
    /// let connection = manager
    ///     .open_connection_when_available(Direction::Inbound, UsesFd::Yes, Endpoint::None)
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open_connection_when_available(
        &self,
        direction: Direction,
        uses_fd: UsesFd,
        endpoint: impl Into<Endpoint>,
    ) -> OpenConnectionWhenAvailable {
        OpenConnectionWhenAvailable {
            wait: Wait::new(),
            request: ConnectionRequest {
                manager: self.clone(),
                slot: Slot::Connection(direction, uses_fd),
                endpoint: endpoint.into(),
                permit: None,
            },
        }
    }

    /// Opens a stream with a peer as soon as there is room. The errors are those of
    /// [`ReserveWhenAvailable`](crate::ReserveWhenAvailable).
    pub fn open_stream_when_available(
        &self,
        peer: &PeerId,
        direction: Direction,
    ) -> OpenStreamWhenAvailable {
        OpenStreamWhenAvailable {
            wait: Wait::new(),
            request: Ok(StreamRequest {
                path: self.engine().peer_path(PathKind::Stream, peer),
                slot: Slot::Stream(direction),
                connection: None,
            }),
        }
    }
}
