//! Tests of the relay over real sockets.

mod cuts;
mod ends;
mod memory;
#[cfg(target_os = "linux")]
mod splice;
mod transfers;

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use rcmgr_atomic::{Connection, Direction, Endpoint, Limits, Manager, UsesFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Activity, Ended, relay};

/// How long a test waits for a condition before it fails.
const DEADLINE: Duration = Duration::from_secs(60);

/// A manager without limits.
fn unlimited() -> Manager {
    Manager::new(Limits::unlimited()).unwrap()
}

/// A manager that limits only the memory of the system.
fn with_memory(bytes: u64) -> Manager {
    let mut limits = Limits::unlimited();
    limits.system.memory = bytes.into();
    Manager::new(limits).unwrap()
}

fn memory(manager: &Manager) -> u64 {
    manager.stat().system.memory
}

/// Both ends of a connection over the loopback device.
async fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (outer, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    (outer.unwrap(), accepted.unwrap().0)
}

/// What the relay works on.
struct Inside {
    client: TcpStream,
    backend: TcpStream,
    scope: Connection,
    activity: Arc<Activity>,
}

impl Inside {
    /// Also returns the client's own socket and the backend's own socket.
    async fn new(manager: &Manager) -> (TcpStream, TcpStream, Self) {
        let (client, inner_client) = connection().await;
        let (backend, inner_backend) = connection().await;
        let scope = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
        let inside = Self {
            client: inner_client,
            backend: inner_backend,
            scope: scope.unwrap(),
            activity: Arc::new(Activity::new()),
        };
        (client, backend, inside)
    }

    async fn run(self, first: Bytes, splice: bool) -> Ended {
        let Self {
            client,
            backend,
            scope,
            activity,
        } = self;
        relay(&client, &backend, first, &scope, &activity, splice).await
    }
}

/// A running session, and the sockets of its two sides.
struct Session {
    client: TcpStream,
    backend: TcpStream,
    activity: Arc<Activity>,
    relay: JoinHandle<Ended>,
}

impl Session {
    async fn start(manager: &Manager, first: &'static [u8], splice: bool) -> Self {
        let (client, backend, inside) = Inside::new(manager).await;
        let activity = Arc::clone(&inside.activity);
        let relay = tokio::spawn(inside.run(Bytes::from_static(first), splice));
        Self {
            client,
            backend,
            activity,
            relay,
        }
    }

    async fn ended(self) -> Ended {
        in_time("the end of the relay", self.relay).await.unwrap()
    }
}

async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Waits until `holds` is true.
async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(what, wait).await;
}

async fn send(socket: &mut TcpStream, bytes: &[u8]) {
    in_time("a write", socket.write_all(bytes)).await.unwrap();
}

/// Reads exactly these bytes.
async fn expect(socket: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    in_time("a read", socket.read_exact(&mut got))
        .await
        .unwrap();
    assert_eq!(got, bytes);
}

/// Reads the end.
async fn expect_end(socket: &mut TcpStream) {
    assert_eq!(in_time("the end", socket.read(&mut [0])).await.unwrap(), 0);
}

/// Reads to the reset.
async fn expect_reset(socket: &mut TcpStream) {
    let mut rest = Vec::new();
    let error = in_time("the reset", socket.read_to_end(&mut rest)).await;
    assert_eq!(error.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
}

fn reset(socket: TcpStream) {
    socket.set_zero_linger().unwrap();
    drop(socket);
}

/// Writes as much as the sockets on the way take. Returns how many bytes that were.
async fn stuff(socket: &TcpStream) -> usize {
    let chunk = vec![7; 1 << 20];
    let mut sent = 0;
    // Nothing moves once no byte was taken for a while.
    while let Ok(ready) = tokio::time::timeout(Duration::from_millis(300), socket.writable()).await
    {
        ready.unwrap();
        match socket.try_write(&chunk) {
            Ok(bytes) => sent += bytes,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }
    sent
}

/// Polls a future at most `polls` times, each time after it was woken, and then drops it.
async fn poll_at_most<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}
