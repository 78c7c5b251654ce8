//! The bounds on sockets that wait until a reply has arrived, and the order in which a refused
//! connection ends. Time is tokio's, and paused.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rcmgr_atomic::Manager;
use rcmgr_core::{Endpoint, Limit, Limits};
use rcmgr_tokio::{Accept, Guarded, Refusal};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex,
};
use tokio::time::{Instant, sleep, timeout};

const REPLY: &[u8] = b"busy\r\n";
/// The most sockets of a listener that wait at a time.
const MOST_SOCKETS: usize = 64;

/// Accepts the sockets that were pushed.
#[derive(Clone, Default)]
struct Pushed(Arc<Mutex<VecDeque<Socket>>>);

impl Accept for Pushed {
    type Io = Socket;

    fn poll_accept(&self, _: &mut Context<'_>) -> Poll<io::Result<(Socket, Endpoint)>> {
        match self.0.lock().unwrap().pop_front() {
            Some(socket) => Poll::Ready(Ok((socket, Endpoint::None))),
            None => Poll::Pending,
        }
    }
}

/// A socket in memory that looks around when it is closed.
struct Socket {
    io: DuplexStream,
    on_close: Box<dyn Fn() + Send>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        (self.on_close)();
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// A listener that refuses each client with a reply.
struct Refusing {
    pushed: Pushed,
    open: Arc<AtomicUsize>,
    listener: Guarded<Pushed>,
}

impl Refusing {
    fn new() -> Self {
        let mut limits = Limits::unlimited();
        limits.system.conns_inbound = 0.into();
        let pushed = Pushed::default();
        let listener = Guarded::new(pushed.clone(), Manager::new(limits).unwrap());
        Self {
            listener: listener.on_refusal(Refusal::Reply(REPLY)),
            open: Arc::default(),
            pushed,
        }
    }

    /// The side of the client of a connection that arrives.
    fn client(&self) -> DuplexStream {
        let (client, io) = duplex(1024);
        self.open.fetch_add(1, Ordering::SeqCst);
        let open = self.open.clone();
        let on_close = Box::new(move || {
            open.fetch_sub(1, Ordering::SeqCst);
        });
        let socket = Socket { io, on_close };
        self.pushed.0.lock().unwrap().push_back(socket);
        client
    }

    fn open(&self) -> usize {
        self.open.load(Ordering::SeqCst)
    }

    /// Refuses the connections that have arrived.
    async fn refuse(&self) {
        let accepted = timeout(Duration::from_millis(1), self.listener.accept()).await;
        assert!(accepted.is_err(), "each one is refused");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_close_is_closed_after_a_second() {
    let refusing = Refusing::new();
    let mut client = refusing.client();
    let start = Instant::now();
    refusing.refuse().await;
    let mut answer = [0; REPLY.len()];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, REPLY);
    assert_eq!(client.read(&mut answer).await.unwrap(), 0);
    sleep(Duration::from_millis(900)).await;
    assert_eq!(refusing.open(), 1, "it still waits for the client");
    while refusing.open() > 0 {
        sleep(Duration::from_millis(1)).await;
    }
    let waited = start.elapsed().as_millis();
    assert!((1000..1010).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_closes_is_closed_at_once() {
    let refusing = Refusing::new();
    let mut client = refusing.client();
    let start = Instant::now();
    refusing.refuse().await;
    client.shutdown().await.unwrap();
    while refusing.open() > 0 {
        tokio::task::yield_now().await;
    }
    assert!(start.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_and_sends_for_ever_is_closed_after_64_kib() {
    let refusing = Refusing::new();
    let mut client = refusing.client();
    refusing.refuse().await;
    let mut sent = 0;
    while client.write_all(&[0; 1000]).await.is_ok() {
        sent += 1000;
    }
    // Whole writes, with those that the buffer in between holds.
    assert!((64_000..=68_000).contains(&sent), "{sent}");
    assert_eq!(refusing.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_clients_that_do_not_close_holds_64_sockets() {
    let refusing = Refusing::new();
    let mut clients: Vec<_> = (0..1000).map(|_| refusing.client()).collect();
    refusing.refuse().await;
    assert_eq!(refusing.open(), MOST_SOCKETS);
    // The others got the reply and a close.
    for client in &mut clients {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, REPLY);
    }
    sleep(Duration::from_secs(2)).await;
    assert_eq!(refusing.open(), 0);
    // And there is room for others.
    let _client = refusing.client();
    refusing.refuse().await;
    assert_eq!(refusing.open(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_socket_of_a_refused_connection_is_closed_before_its_count_goes_down() {
    for refusal in [Refusal::Close, Refusal::Reset, Refusal::Reply(REPLY)] {
        // The service refuses after the system scope has counted the connection.
        let mut limits = Limits::unlimited();
        limits.service.insert("web".into(), Limit::BLOCK_ALL);
        let manager = Manager::new(limits).unwrap();
        let pushed = Pushed::default();
        let listener = Guarded::new(pushed.clone(), manager.clone())
            .service("web")
            .on_refusal(refusal);
        let (_client, io) = duplex(1024);
        let at_close = Arc::new(Mutex::new(None));
        let (seen, system) = (at_close.clone(), manager.view_system());
        let on_close = Box::new(move || *seen.lock().unwrap() = Some(system.stat().fd));
        pushed.0.lock().unwrap().push_back(Socket { io, on_close });
        let accepted = timeout(Duration::from_secs(5), listener.accept()).await;
        assert!(accepted.is_err());
        assert_eq!(*at_close.lock().unwrap(), Some(1));
        assert!(manager.stat().system.is_zero());
        assert_eq!(manager.view_service("web").refusals().total(), 1);
    }
}
