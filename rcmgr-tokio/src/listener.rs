//! The guarded listener: it admits connections, and refuses the others.

mod acceptors;
mod pauses;

use std::fmt;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rcmgr_atomic::{Connection, Manager};
use rcmgr_core::{Direction, Endpoint, Error};
use tokio::task::yield_now;

use crate::accept::{Accept, AcceptError};
use crate::conn_scope::ConnScope;
use crate::descriptors::Reserve;
use crate::graceful::Graceful;
use crate::refusal::{Answer, Refusal, Refused, Replies};
use crate::stream::GuardedStream;

use acceptors::Acceptors;
use pauses::{IsFirst, Pauses};

/// How many connections are taken from the listener, refused ones and errors included, until other
/// tasks of the runtime get their turn.
const MOST_IN_A_ROW: u32 = 16;

/// A listener whose connections are admitted by a manager.
///
/// It opens each connection in the manager: inbound, with a file descriptor if the listener uses
/// them, and with the remote endpoint. An IPv4 address in an IPv6 socket (`::ffff:192.0.2.7`)
/// counts as the IPv4 address. A connection that is refused never reaches the program: see
/// [`on_refusal`](Self::on_refusal).
///
/// Dropping it stops accepting. Its connections go on.
///
/// ```
/// use std::time::Duration;
///
/// use rcmgr_atomic::{Limits, Manager};
/// use rcmgr_tokio::{Guarded, Refusal};
/// use tokio::net::TcpListener;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut limits = Limits::unlimited();
/// limits.system.conns_inbound = 1000.into();
/// let manager = Manager::new(limits)?;
///
/// let listener = TcpListener::bind("127.0.0.1:0").await?;
/// let address = listener.local_addr()?;
/// let listener = Guarded::new(listener, manager.clone())
///     .service("echo")
///     .on_refusal(Refusal::Reset)
///     .first_byte_within(Duration::from_secs(10))
///     .descriptors_in_reserve(32);
///
/// let client = tokio::net::TcpStream::connect(address).await?;
/// let stream = listener.accept().await;
/// assert_eq!(manager.stat().services["echo"].conns_inbound, 1);
/// drop(stream);
/// assert!(manager.stat().system.is_zero());
/// # drop(client);
/// # Ok(())
/// # }
/// ```
pub struct Guarded<L> {
    listener: L,
    manager: Manager,
    service: Option<Arc<str>>,
    refusal: Refusal,
    first_byte_within: Option<Duration>,
    graceful: Option<Graceful>,
    reserve: Option<Reserve>,
    replies: Replies,
    pauses: Pauses,
    acceptors: Acceptors,
    /// How many connections were taken since other tasks had their turn.
    in_a_row: AtomicU32,
}

impl<L: Accept> Guarded<L> {
    /// Guards a listener.
    pub fn new(listener: L, manager: Manager) -> Self {
        Self {
            listener,
            manager,
            service: None,
            refusal: Refusal::Close,
            first_byte_within: None,
            graceful: None,
            reserve: None,
            replies: Replies::new(),
            pauses: Pauses::default(),
            acceptors: Acceptors::default(),
            in_a_row: AtomicU32::new(0),
        }
    }

    /// Attaches each connection to a service at once. A connection that the service refuses is refused
    /// like any other.
    ///
    /// Without a service, connections are charged on the transient scope until their peer is set.
    #[must_use]
    pub fn service(mut self, name: impl Into<Arc<str>>) -> Self {
        self.service = Some(name.into());
        self
    }

    /// Sets the answer to a refused client. By default its connection is closed.
    #[must_use]
    pub fn on_refusal(mut self, refusal: Refusal) -> Self {
        self.refusal = refusal;
        self
    }

    /// How long a client may take to send its first byte, from the moment that its connection is
    /// accepted: see [`GuardedStream::first_byte_within`]. By default there is no such limit.
    #[must_use]
    pub fn first_byte_within(mut self, limit: Duration) -> Self {
        self.first_byte_within = Some(limit);
        self
    }

    /// Makes each connection a part of a graceful end: it is counted there until its socket is closed,
    /// and cut at the deadline. [`Graceful::accept`] does that by itself.
    #[must_use]
    pub fn ended_by(mut self, graceful: &Graceful) -> Self {
        self.graceful = Some(graceful.clone());
        self
    }

    /// Keeps `count` file descriptors free, for files, the log and connections to backends.
    ///
    /// At the first accept, the limit of file descriptors of the system scope is compared with
    /// `RLIMIT_NOFILE` less the descriptors that are open for other purposes, less `count`. If it is
    /// higher it is lowered, and a warning has the numbers. So a connection that would take a
    /// descriptor of the reserve is refused by the system scope. When all limits of the manager are
    /// changed, the new one is lowered in the same way. If refused clients may get a
    /// [reply](Refusal::Reply), 64 descriptors more stay free for that.
    ///
    /// Connections on the allowlist have their own limit, which stays. Without this call, or where the
    /// operating system has no such limit, nothing is limited.
    #[must_use]
    pub fn descriptors_in_reserve(mut self, count: u64) -> Self {
        self.reserve = Some(Reserve::new(count, &self.manager));
        self
    }

    /// The next connection that is admitted.
    ///
    /// It never fails. It deals with connections that are refused and with errors of the listener:
    /// see [`Accept::poll_accept`]. A shortage of file descriptors or memory is logged once when it
    /// begins, and once when it is over. It reads nothing from a client, so no client can delay
    /// others.
    ///
    /// Several tasks may wait at a time. Dropping the future before it is ready loses no connection.
    ///
    /// # Panics
    ///
    /// Like the listeners of tokio, outside of a runtime, or in one without time.
    pub async fn accept(&self) -> GuardedStream<L::Io> {
        self.wait(|cx| self.poll_next(cx)).await
    }

    /// The next socket, with its remote endpoint. The manager has not admitted it.
    ///
    /// This is for a server that admits by itself, such as a proxy that must read a header to know the
    /// client. It deals with errors of the listener as [`accept`](Self::accept) does, and keeps the
    /// [reserve](Self::descriptors_in_reserve). The service, [`first_byte_within`](Self::first_byte_within)
    /// and [`ended_by`](Self::ended_by) do not apply. An IPv4 address in an IPv6 socket is returned as
    /// the IPv4 address.
    ///
    /// The server opens a connection in the manager. If that is refused, it calls
    /// [`refuse`](Self::refuse). It keeps a [`WakeAcceptors`](crate::WakeAcceptors) behind each socket, and the connection
    /// behind both.
    ///
    /// ```
    /// use rcmgr_atomic::{Direction, Limits, Manager, UsesFd};
    /// use rcmgr_tokio::{Guarded, Refusal, WakeAcceptors};
    /// use tokio::io::AsyncReadExt;
    /// use tokio::net::{TcpListener, TcpStream};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut limits = Limits::unlimited();
    /// limits.system.conns_inbound = 1.into();
    /// let manager = Manager::new(limits)?;
    /// let listener = TcpListener::bind("127.0.0.1:0").await?;
    /// let address = listener.local_addr()?;
    /// let listener = Guarded::new(listener, manager.clone()).on_refusal(Refusal::Reply(b"busy"));
    ///
    /// let _first = TcpStream::connect(address).await?;
    /// let mut second = TcpStream::connect(address).await?;
    /// let mut admitted = Vec::new();
    /// for _ in 0..2 {
    ///     let (socket, peer) = listener.accept_socket().await;
    ///     match manager.open_connection(Direction::Inbound, UsesFd::Yes, peer) {
    ///         Ok(connection) => admitted.push((socket, WakeAcceptors, connection)),
    ///         Err(error) => listener.refuse(socket, peer, &error),
    ///     }
    /// }
    /// assert_eq!(admitted.len(), 1);
    /// let mut reply = String::new();
    /// second.read_to_string(&mut reply).await?;
    /// assert_eq!(reply, "busy");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Several tasks may wait at a time. Dropping the future before it is ready loses no socket.
    ///
    /// # Panics
    ///
    /// As [`accept`](Self::accept).
    pub async fn accept_socket(&self) -> (L::Io, Endpoint) {
        let (io, peer) = self.wait(|cx| self.poll_socket(cx)).await;
        self.keep_reserve();
        (io, canonical(peer))
    }

    /// Gives a client that the manager refused its answer, and closes the socket: see
    /// [`on_refusal`](Self::on_refusal).
    ///
    /// It does not block. If a reply is sent, the socket may stay open for a second.
    pub fn refuse(&self, io: L::Io, peer: Endpoint, error: &Error) {
        self.answer(Refused::new(io, None), peer, error);
    }

    /// Polls until there is a result, which the caller then has: nothing is awaited in between.
    async fn wait<T>(&self, poll: impl Fn(&mut Context<'_>) -> Poll<T>) -> T {
        loop {
            // Before the attempt, so that no wake-up after it is lost.
            let mut woken = pin!(self.acceptors.woken());
            if let Poll::Ready(result) = poll(&mut self.acceptors.context()) {
                return result;
            }
            // A task that was woken while it tried lets others have their turn first.
            if woken.as_mut().enable() {
                yield_now().await;
            } else {
                woken.await;
            }
        }
    }

    /// The same for a task that has the listener alone.
    pub fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<GuardedStream<L::Io>> {
        self.poll_next(cx)
    }

    /// The listener.
    pub fn listener(&self) -> &L {
        &self.listener
    }

    /// The manager.
    pub fn manager(&self) -> &Manager {
        &self.manager
    }

    /// The next connection that is admitted. The waker is woken when another call may succeed.
    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<GuardedStream<L::Io>> {
        if let Some(reserve) = &self.reserve {
            reserve.begin(&self.manager, self.refusal.sockets());
        }
        loop {
            let (io, peer) = ready!(self.poll_socket(cx));
            if let Some(stream) = self.admit(io, canonical(peer)) {
                return Poll::Ready(stream);
            }
        }
    }

    /// The next socket of the listener.
    fn poll_socket(&self, cx: &mut Context<'_>) -> Poll<(L::Io, Endpoint)> {
        ready!(self.pauses.poll_ready(cx));
        loop {
            if self.is_turn_of_others() {
                return poll_yield(cx);
            }
            let Poll::Ready(accepted) = self.listener.poll_accept(cx) else {
                // Relaxed: a throttle, as all uses of this counter.
                self.in_a_row.store(0, Ordering::Relaxed);
                self.pauses.poll_quiet(cx);
                return Poll::Pending;
            };
            let error = match accepted {
                Ok(socket) => {
                    self.pauses.accepted(cx);
                    return Poll::Ready(socket);
                }
                Err(error) => error,
            };
            match AcceptError::of(&error) {
                AcceptError::OneConnection => {
                    tracing::debug!("a connection failed before it was accepted: {error}");
                    continue;
                }
                AcceptError::Shortage(shortage) => {
                    if self.pauses.shortage(shortage, &error) == IsFirst(true) {
                        continue; // It tries once more: see `Pauses::shortage`.
                    }
                }
                AcceptError::Unknown => self.pauses.unknown(&error),
            }
            ready!(self.pauses.poll_ready(cx));
        }
    }

    /// Lowers the limit of file descriptors again, if it was raised.
    fn keep_reserve(&self) {
        if let Some(reserve) = &self.reserve {
            reserve.keep(&self.manager, self.refusal.sockets());
        }
    }

    /// Counts one attempt. Returns whether other tasks should run first.
    fn is_turn_of_others(&self) -> bool {
        // Relaxed: a throttle. Tasks that count at the same time only share their turns.
        let is_over = self.in_a_row.fetch_add(1, Ordering::Relaxed) >= MOST_IN_A_ROW;
        if is_over {
            self.in_a_row.store(0, Ordering::Relaxed);
        }
        is_over
    }

    /// The guarded stream of a socket, or none if it was refused.
    fn admit(&self, io: L::Io, peer: Endpoint) -> Option<GuardedStream<L::Io>> {
        self.keep_reserve();
        let uses_fd = self.listener.uses_fd();
        let opened = self
            .manager
            .open_connection(Direction::Inbound, uses_fd, peer);
        let connection = match opened {
            Ok(connection) => connection,
            Err(error) => {
                self.answer(Refused::new(io, None), peer, &error);
                return None;
            }
        };
        if let Err(error) = self.set_service(&connection) {
            self.answer(Refused::new(io, Some(connection)), peer, &error);
            return None;
        }
        let stream = GuardedStream::new(io, ConnScope::new(connection), peer);
        let stream = match self.first_byte_within {
            Some(limit) => stream.first_byte_within(limit),
            None => stream,
        };
        Some(match &self.graceful {
            Some(graceful) => stream.ended_by(graceful),
            None => stream,
        })
    }

    fn set_service(&self, connection: &Connection) -> Result<(), Error> {
        match &self.service {
            Some(service) => connection.set_service(service),
            None => Ok(()),
        }
    }

    fn answer(&self, refused: Refused<L::Io>, peer: Endpoint, error: &Error) {
        match self.refusal.answer(error, peer) {
            Answer::Close => drop(refused),
            Answer::Reset => {
                if let Err(error) = self.listener.reset_on_close(&refused.io) {
                    tracing::debug!("a refused connection is closed, not reset: {error}");
                }
            }
            Answer::Reply(reply) => self.replies.send(refused, reply),
        }
    }
}

/// Lets the other tasks have their turn, those with new input or output included: a task that only
/// wakes itself is run again before the runtime looks for that.
fn poll_yield<T>(cx: &mut Context<'_>) -> Poll<T> {
    // The first poll arranges the wake-up.
    let _ = pin!(yield_now()).poll(cx);
    Poll::Pending
}

/// The endpoint, with an IPv4 address in an IPv6 one as the IPv4 address.
fn canonical(peer: Endpoint) -> Endpoint {
    match peer {
        Endpoint::Socket(SocketAddr::V6(socket)) => match socket.ip().to_ipv4_mapped() {
            Some(ip) => Endpoint::Socket((ip, socket.port()).into()),
            // With its zone.
            None => peer,
        },
        Endpoint::Ip(ip) => Endpoint::Ip(ip.to_canonical()),
        Endpoint::Socket(SocketAddr::V4(_)) | Endpoint::None => peer,
    }
}

impl<L: fmt::Debug> fmt::Debug for Guarded<L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guarded")
            .field("listener", &self.listener)
            .field("service", &self.service)
            .field("refusal", &self.refusal)
            .field("first_byte_within", &self.first_byte_within)
            .finish_non_exhaustive()
    }
}
