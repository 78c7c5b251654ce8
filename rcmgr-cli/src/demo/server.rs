//! The guarded echo server. It asks the manager before it uses resources for a client.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rcmgr_atomic::{Connection, Direction, Endpoint, Manager, PeerId, Priority, UsesFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, copy_buf, sink};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use super::dial::Naming;
use super::latency::timed;
use super::limit_watch::LimitWatch;
use super::stage::{Stage, reached};
use super::tally::Tally;
use super::wire;

/// The service name of the server.
pub const SERVICE: &str = "echo";

/// The time limit for the hello of a client.
pub const HELLO_WITHIN: Duration = Duration::from_millis(500);
/// The delay before the next accept when the machine has no file descriptor left.
pub const ACCEPT_AGAIN: Duration = Duration::from_millis(5);
/// The length of the accept queue. The machine may have a lower limit.
const BACKLOG: u32 = 4096;
/// The size of the read buffer of a connection, in bytes: enough for a hello. Requests are read
/// into memory that is reserved for them.
pub const READ_AHEAD: usize = 64;

/// The echo server.
pub struct Server {
    /// The manager.
    pub manager: Manager,
    /// The server's own counters.
    pub tally: Arc<Tally>,
    /// Checks the limits of connections.
    pub watch: Arc<LimitWatch>,
    /// The way to identify clients.
    pub naming: Naming,
}

/// A connection that is served. The fields are dropped in this order: the socket is closed before
/// its charges are released.
struct Guest {
    socket: BufReader<TcpStream>,
    connection: Connection,
}

/// A listener on a port that the system chooses.
pub fn listen() -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Accepts clients until the stage [`Stage::Closing`], then serves the connected ones until
    /// they leave. Returns the number of connections that ended in a panic.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        mut stage: watch::Receiver<Stage>,
    ) -> u64 {
        let mut guests = JoinSet::new();
        let mut panics = 0;
        let mut note = |ended: Result<(), JoinError>| panics += u64::from(ended.is_err());
        let closing = reached(&mut stage, Stage::Closing);
        tokio::pin!(closing);
        loop {
            tokio::select! {
                () = &mut closing => break,
                Some(ended) = guests.join_next() => note(ended),
                accepted = listener.accept() => match accepted {
                    Ok((socket, remote)) => {
                        self.tally.server.accepted.one();
                        if let Some((guest, took)) = self.open(socket, remote) {
                            guests.spawn(self.clone().attend(guest, remote.ip(), took));
                        }
                    }
                    Err(error) => {
                        self.tally.failures.note("accept", &error);
                        sleep(ACCEPT_AGAIN).await;
                    }
                },
            }
        }
        drop(listener);
        while let Some(ended) = guests.join_next().await {
            note(ended);
        }
        panics
    }

    /// Opens a connection for the socket, or closes the socket if the manager refuses.
    fn open(&self, socket: TcpStream, remote: SocketAddr) -> Option<(Guest, Duration)> {
        let endpoint = Endpoint::from(remote);
        let (opened, took) = timed(|| {
            self.manager
                .open_connection(Direction::Inbound, UsesFd::Yes, endpoint)
        });
        let Ok(connection) = opened else {
            self.turn_away(&socket, took);
            return None;
        };
        self.tally.server.opened.one();
        // The read buffer is reserved as long as the connection is open.
        let (reserved, took_more) =
            timed(|| connection.reserve_memory(READ_AHEAD as u64, Priority::Always));
        if reserved.is_err() {
            self.turn_away(&socket, took_more);
            return None;
        }
        let socket = BufReader::with_capacity(READ_AHEAD, socket);
        Some((Guest { socket, connection }, took))
    }

    /// Counts a refusal and its time. The socket will be closed with a reset, so that the machine
    /// keeps no state of a refused connection.
    fn turn_away(&self, socket: &TcpStream, took: Duration) {
        self.tally.server.refusal.record(took);
        self.tally.server.refused.one();
        // Fails if the client has already reset the connection.
        let _ = socket.set_zero_linger();
    }

    /// Serves a connection from its hello to its end.
    async fn attend(self: Arc<Self>, mut guest: Guest, remote: IpAddr, opened_in: Duration) {
        let hello = timeout(HELLO_WITHIN, wire::read_hello(&mut guest.socket)).await;
        let Ok(Ok(named)) = hello else {
            self.tally.server.without_hello.one();
            return;
        };
        let peer = PeerId::from(match self.naming {
            Naming::BySource => remote,
            Naming::ByHello => named,
        });
        let Some(attached_in) = self.attach(&guest, &peer) else {
            return;
        };
        self.tally.server.admission.record(opened_in + attached_in);
        let _admitted = self.tally.server.admitted.enter();

        // The loop ends when the client disconnects.
        if guest.socket.write_u8(wire::WELCOME).await.is_ok() {
            while self.answer(&mut guest).await.is_ok() {}
        }
    }

    /// Sets peer and service. Returns the time that the manager took, or `None` if it refused.
    fn attach(&self, guest: &Guest, peer: &PeerId) -> Option<Duration> {
        let connection = &guest.connection;
        let (peer_set, peer_took) = timed(|| connection.set_peer(peer));
        if peer_set.is_err() {
            self.turn_away(guest.socket.get_ref(), peer_took);
            return None;
        }
        let (service_set, service_took) = timed(|| connection.set_service(SERVICE));
        if service_set.is_err() {
            self.turn_away(guest.socket.get_ref(), service_took);
            return None;
        }
        Some(peer_took + service_took)
    }

    /// Answers one request. Its memory is reserved while the server holds it.
    async fn answer(&self, guest: &mut Guest) -> io::Result<()> {
        let length = guest.socket.read_u32().await?;
        let size = wire::HEADER as u64 + u64::from(length);
        match guest.connection.reserve(size, Priority::Medium) {
            Ok(_held) => {
                self.look_at(&guest.connection);
                let frame = wire::read_frame(&mut guest.socket, length).await?;
                guest.socket.write_all(&frame).await
            }
            Err(_) => {
                self.tally.server.busy.one();
                guest.socket.write_u32(wire::BUSY).await?;
                let mut request = (&mut guest.socket).take(length.into());
                copy_buf(&mut request, &mut sink()).await?;
                Ok(())
            }
        }
    }

    /// Checks the limit of a connection and records its usage. Only the server can do this, because
    /// a connection has no view.
    fn look_at(&self, connection: &Connection) {
        self.watch.check(connection);
        let largest = &self.tally.server.largest_connection;
        largest.fetch_max(connection.stat().memory, Ordering::Relaxed);
    }
}
