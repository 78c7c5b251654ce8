//! The part of a session before its relay: the header, the admission, the connection to a backend.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use rcmgr_atomic::{Direction, UsesFd};
use rcmgr_core::Endpoint;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::Door;
use super::admission::Scopes;
use super::client::Client;
use super::front::{Front, Route};
use super::listening::Accepted;
use super::running::{Running, Side, Socket};
use super::shared::Open;
use super::waiting::NotAdmitted;
use crate::backends::NoBackend;
use crate::proxy_protocol::{header, read_header};
use crate::settings::Listen;

/// How a session starts.
#[derive(Debug)]
pub(super) enum Start {
    /// With a header of the PROXY protocol.
    Header,
    /// The client waits for room.
    Waiting(Client),
    Admitted(Client, Scopes),
}

/// A client that is admitted.
struct Admitted {
    client: Client,
    socket: Socket,
    /// The bytes that it has sent behind a header.
    first: Bytes,
    scopes: Scopes,
}

/// Brings a session to its relay. `None`: it is over, and everything was given back.
pub(super) async fn setup(
    door: Arc<Door>,
    route: Arc<Route>,
    socket: TcpStream,
    sender: SocketAddr,
    start: Start,
    open: Open,
) -> Option<Running> {
    let cut = door.front().shared.cut.clone();
    let socket = Socket::new(socket);
    // Pinned here, because a future that is passed by value takes its memory twice.
    let running = pin!(async {
        let admitted = admitted(&door, &route, socket, sender, start).await?;
        connected(&door, &route, admitted, open).await
    });
    cut.run_until_cancelled(running).await?
}

/// The session once its client is admitted. A client that is refused gets its answer.
async fn admitted(
    door: &Door,
    route: &Route,
    socket: Socket,
    sender: SocketAddr,
    start: Start,
) -> Option<Admitted> {
    let front = door.front();
    let (client, socket, first, at_once) = match start {
        Start::Admitted(client, scopes) => (client, socket, Bytes::new(), Ok(Some(scopes))),
        Start::Waiting(client) => (client, socket, Bytes::new(), Ok(None)),
        Start::Header => {
            // In a box, as all that most sessions have no use for: it would make each session larger.
            let read = Box::pin(with_header(door, route, socket, sender));
            let (client, first, sender_side) = read.await?;
            let Side { socket, scope } = sender_side;
            // One step: nothing is awaited before the connection is opened for the client.
            drop(scope);
            (client, socket, first, front.admit_at_once(route, client))
        }
    };
    let scopes = match (at_once, route.listen.queue) {
        (Ok(Some(scopes)), _) => Ok(scopes),
        (Ok(None), Some(queue)) => {
            let has_sent = !first.is_empty();
            let waited = front.admit_in_turn(route, queue, client, &socket.io, has_sent);
            Box::pin(waited).await
        }
        // It waits only where there is a queue.
        (Ok(None), None) => Err(NotAdmitted::Left),
        (Err(error), _) => Err(error.into()),
    };
    match scopes {
        Ok(scopes) => Some(Admitted {
            client,
            socket,
            first,
            scopes,
        }),
        Err(NotAdmitted::Refused(error)) => {
            door.refuse(Accepted::Registered(socket.io), sender, &error);
            None
        }
        Err(NotAdmitted::Left) => None,
    }
}

/// Reads the header of a trusted sender. Its connection is charged on the transient scope meanwhile,
/// without its address.
async fn with_header(
    door: &Door,
    route: &Route,
    socket: Socket,
    sender: SocketAddr,
) -> Option<(Client, Bytes, Side)> {
    let front = door.front();
    let opened =
        (front.shared.manager).open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let scope = match opened {
        Ok(scope) => scope,
        Err(error) => {
            door.refuse(Accepted::Registered(socket.io), sender, &error);
            return None;
        }
    };
    let side = Side { socket, scope };
    let bad = |reason: &dyn std::fmt::Display| {
        front.counters.bad_headers.add(1);
        tracing::debug!("connection from {sender} closed: {reason}");
    };
    let Some(_pending) = front.pending.enter(sender.ip()) else {
        bad(&"too many connections of this sender wait for their PROXY header");
        return None;
    };
    let within = route.listen.timeouts.header;
    match timeout(within, read_header(&side.socket.io)).await {
        Ok(Ok((Some(client), first))) => {
            let client = Client::at(client, &front.shared.manager);
            Some((client, first, side))
        }
        Ok(Ok((None, first))) => Some((Client::Sender(sender), first, side)),
        Ok(Err(error)) => {
            bad(&error);
            None
        }
        Err(_) => {
            bad(&format_args!("no PROXY header within {within:?}"));
            None
        }
    }
}

/// The session once it is connected to a backend.
async fn connected(
    door: &Door,
    route: &Arc<Route>,
    admitted: Admitted,
    open: Open,
) -> Option<Running> {
    let front = door.front();
    let Admitted {
        client,
        socket,
        first,
        scopes,
    } = admitted;
    let Scopes {
        inbound,
        outbound,
        permit,
    } = scopes;
    // From here on, each socket is closed before its connection is given back.
    let client_side = Side {
        socket,
        scope: inbound,
    };
    match connect(front, route, client, &client_side.socket.io).await {
        Ok(backend) => {
            let backend_side = Side {
                socket: backend,
                scope: outbound,
            };
            Some(Running::new(
                &door.table,
                route,
                client,
                first,
                [client_side, backend_side],
                permit,
                open,
            ))
        }
        Err(NoBackend) => {
            front.counters.no_backend.add(1);
            // An orderly end would look like an empty answer of the backend.
            let _too_broken = client_side.socket.io.set_zero_linger();
            None
        }
    }
}

/// Connects to a backend, and sends the header of the PROXY protocol first if the backend wants one.
async fn connect(
    front: &Front,
    route: &Route,
    client: Client,
    client_socket: &TcpStream,
) -> Result<Socket, NoBackend> {
    let Listen {
        timeouts,
        proxy_protocol,
        ..
    } = &route.listen;
    let io = (route.backends)
        .connect(timeouts.connect, &front.counters)
        .await?;
    let mut backend = Socket::new(io);
    // Bytes that have arrived are passed on at once. A socket that is too broken for that fails later.
    let _ = backend.io.set_nodelay(true);
    let _ = client_socket.set_nodelay(true);
    if let Some(version) = proxy_protocol.send {
        // Without the header, the backend would take the first bytes of the client for one.
        let server = client_socket.local_addr().map_err(|error| {
            tracing::debug!("the connection of a client has no address: {error}");
            NoBackend
        })?;
        let header = header(version, client.address(), server);
        if let Err(error) = backend.io.write_all(&header).await {
            front.counters.backend_failures.add(1);
            tracing::debug!("a backend did not take the PROXY header: {error}");
            return Err(NoBackend);
        }
    }
    Ok(backend)
}
