//! The same echo server without the manager, for comparison.
//!
//! It serves everyone until its machine has nothing left. When all file descriptors are in use, it
//! can accept no further connection. When the memory is exhausted, the system ends the process: all
//! connections are lost, and the server is started again. Both are simulated, because server and
//! clients share a process here: the server counts what it uses, and a crash closes all
//! connections. The machine has as much as the manager's system scope.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_atomic::{Limit, LimitValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::plan::most_connections;
use super::server::{ACCEPT_AGAIN, HELLO_WITHIN, READ_AHEAD};
use super::stage::{Stage, reached};
use super::tally::Tally;
use super::wire;

/// The time from a crash until the server accepts connections again. Real servers need longer.
const RESTART: Duration = Duration::from_millis(500);

/// The server.
#[derive(Debug)]
pub struct Unguarded {
    tally: Arc<Tally>,
    /// A permit for each connection that the machine can hold.
    places: Arc<Semaphore>,
    /// The memory of the machine, in bytes.
    memory: LimitValue,
    used: AtomicU64,
    exhausted: Notify,
}

/// Memory in use, until it is dropped.
struct Allocated<'a>(&'a Unguarded, u64);

impl Unguarded {
    /// A server on a machine that has what the limit allows.
    pub fn new(machine: &Limit, tally: Arc<Tally>) -> Self {
        let places = match most_connections(machine) {
            LimitValue::Limited(most) => usize::try_from(most).unwrap_or(usize::MAX),
            LimitValue::Unlimited => usize::MAX,
        };
        Self {
            tally,
            places: Arc::new(Semaphore::new(places.min(Semaphore::MAX_PERMITS))),
            memory: machine.memory,
            used: AtomicU64::new(0),
            exhausted: Notify::new(),
        }
    }

    /// Accepts clients until the stage [`Stage::Closing`], then serves the connected ones until
    /// they leave. Returns the number of connections that ended in a panic.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        mut stage: watch::Receiver<Stage>,
    ) -> u64 {
        let mut guests = JoinSet::new();
        let mut panics = 0;
        let mut down_until = Instant::now();
        let closing = reached(&mut stage, Stage::Closing);
        tokio::pin!(closing);
        loop {
            tokio::select! {
                () = &mut closing => break,
                () = self.exhausted.notified() => {
                    self.tally.server.crashes.one();
                    guests.shutdown().await;
                    // Several connections may have found the memory exhausted: it is one crash.
                    let _ = timeout(Duration::ZERO, self.exhausted.notified()).await;
                    down_until = Instant::now() + RESTART;
                }
                Some(ended) = guests.join_next() => panics += u64::from(ended.is_err()),
                accepted = listener.accept() => match accepted {
                    Ok((socket, _)) => {
                        self.tally.server.accepted.one();
                        let is_up = Instant::now() >= down_until;
                        match self.places.clone().try_acquire_owned() {
                            Ok(place) if is_up => {
                                guests.spawn(self.clone().attend(socket, place));
                            }
                            _ => {
                                self.tally.server.refused.one();
                                // Fails if the client has already reset the connection.
                                let _ = socket.set_zero_linger();
                            }
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
        loop {
            tokio::select! {
                ended = guests.join_next() => match ended {
                    Some(ended) => panics += u64::from(ended.is_err()),
                    None => break panics,
                },
                // A request of a client that has left may still exhaust the memory. Its connection
                // waits for the crash.
                () = self.exhausted.notified() => {
                    self.tally.server.crashes.one();
                    guests.shutdown().await;
                }
            }
        }
    }

    /// Serves a connection from its hello to its end.
    async fn attend(self: Arc<Self>, socket: TcpStream, _place: OwnedSemaphorePermit) {
        let mut socket = BufReader::with_capacity(READ_AHEAD, socket);
        let hello = timeout(HELLO_WITHIN, wire::read_hello(&mut socket)).await;
        if !matches!(hello, Ok(Ok(_))) {
            self.tally.server.without_hello.one();
            return;
        }
        let _admitted = self.tally.server.admitted.enter();
        // The loop ends when the client disconnects.
        if socket.write_u8(wire::WELCOME).await.is_ok() {
            while self.answer(&mut socket).await.is_ok() {}
        }
    }

    /// Answers one request.
    async fn answer(&self, socket: &mut BufReader<TcpStream>) -> io::Result<()> {
        let length = socket.read_u32().await?;
        let size = wire::HEADER as u64 + u64::from(length);
        let Some(_allocated) = self.allocate(size) else {
            // The crash ends this connection, too.
            self.exhausted.notify_one();
            return pending().await;
        };
        let frame = wire::read_frame(socket, length).await?;
        socket.write_all(&frame).await
    }

    /// Takes memory of the machine; `None` if it has too little left.
    fn allocate(&self, size: u64) -> Option<Allocated<'_>> {
        // Relaxed: the counter publishes nothing.
        let before = self.used.fetch_add(size, Ordering::Relaxed);
        let allocated = Allocated(self, size);
        self.memory.allows(before + size).then_some(allocated)
    }
}

impl Drop for Allocated<'_> {
    fn drop(&mut self) {
        self.0.used.fetch_sub(self.1, Ordering::Relaxed);
    }
}
