//! A proxy with its backend and clients, over real sockets. Each test is alone in the process, and
//! leaves no file descriptor open and nothing charged.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rcmgr_atomic::{Limits, Manager};
use rcmgr_core::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
use rcmgr_guard::{
    Counts, Listen, OnRefusal, Overflow, ProxyProtocol, Server, Settings, Timeouts, Workers,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;

/// How long a test waits for a condition before it fails.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// Long enough that a test ends before it.
pub const LONG: Duration = Duration::from_secs(600);

/// Runs a test alone, and checks that it leaves no file descriptor open.
pub fn run(test: impl AsyncFnOnce()) {
    static ALONE: Mutex<()> = Mutex::new(());
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // The first runtime of a process opens descriptors for signals, which stay open.
    drop(runtime());
    let before = descriptors();
    let runtime = runtime();
    runtime.block_on(test());
    drop(runtime);
    // A lookup of a name that the test has begun may go on for a while.
    let end = Instant::now() + DEADLINE;
    while descriptors() != before && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(descriptors(), before, "file descriptors");
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all().build().unwrap()
}

/// The open file descriptors with their targets, without the numbers that the kernel gave them.
fn descriptors() -> usize {
    // The folder itself is open while it is read.
    std::fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

/// Settings with one listener on a free port of 127.0.0.1.
pub fn settings(to: &[SocketAddr]) -> Settings {
    Settings {
        listeners: vec![listen(to)],
        workers: Workers {
            count: 1,
            own_descriptors: false,
        },
        overflow: Overflow::Keep,
        drain: Duration::from_secs(30),
    }
}

pub fn listen(to: &[SocketAddr]) -> Listen {
    Listen {
        on: localhost(0),
        to: to.iter().map(|to| to.to_string().into()).collect(),
        service: "echo".into(),
        proxy_protocol: ProxyProtocol::default(),
        queue: None,
        timeouts: Timeouts::default(),
        on_refusal: OnRefusal::Close,
        splice: false,
    }
}

pub fn localhost(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

/// A proxy with one listener, or several.
pub struct Proxy {
    pub server: Arc<Server>,
    pub manager: Manager,
    pub settings: Settings,
}

impl Proxy {
    /// A proxy in front of these backends, with other settings as `change` makes them.
    pub fn start(limits: Limits, to: &[SocketAddr], change: impl FnOnce(&mut Settings)) -> Self {
        let manager = Manager::new(limits).unwrap();
        let mut settings = settings(to);
        change(&mut settings);
        let server = Server::start(manager.clone(), settings.clone()).unwrap();
        Self {
            server: Arc::new(server),
            manager,
            settings,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.addresses()[0]
    }

    pub fn counts(&self) -> Counts {
        self.server.counts()[0]
    }

    /// Applies changed settings.
    pub fn apply(&mut self, change: impl FnOnce(&mut Settings)) -> io::Result<()> {
        let mut settings = self.settings.clone();
        change(&mut settings);
        self.server.apply(settings.clone())?;
        self.settings = settings;
        Ok(())
    }

    pub fn drain(&self, within: Duration) -> JoinHandle<rcmgr_guard::Drained> {
        let server = Arc::clone(&self.server);
        tokio::task::spawn_blocking(move || server.drain(within))
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address()).await.unwrap()
    }

    /// A client with an address of its own on this machine.
    pub async fn connect_from(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((IpAddr::from(from), 0).into()).unwrap();
        socket.connect(self.address()).await.unwrap()
    }

    /// Connects, and reads to the end or the error. A reset may come before the connect is over.
    pub async fn outcome(&self) -> Result<Vec<u8>, io::ErrorKind> {
        match TcpStream::connect(self.address()).await {
            Ok(mut client) => rest(&mut client).await,
            Err(error) => Err(error.kind()),
        }
    }

    /// A client that has got an answer from the echo backend.
    pub async fn served(&self) -> TcpStream {
        let mut client = self.connect().await;
        echo(&mut client, b"hello").await;
        client
    }

    /// Waits until so many sessions are open.
    pub async fn has_open(&self, open: u64) {
        eventually(&format!("{open} sessions"), || self.counts().open == open).await;
    }

    /// Waits until so many clients wait.
    pub async fn has_waiting(&self, waiting: u64) {
        let what = format!("{waiting} waiting clients");
        eventually(&what, || self.counts().waiting == waiting).await;
    }

    /// Waits until nothing is charged.
    pub async fn is_idle(&self) {
        let manager = &self.manager;
        eventually("an idle manager", || is_zero(manager)).await;
    }

    /// Ends the proxy. By then each session has ended, and nothing is charged.
    pub async fn end(self) {
        self.is_idle().await;
        let drained = self.drain(LONG).await.unwrap();
        assert_eq!((drained.closed_idle, drained.cut, drained.left), (0, 0, 0));
        assert!(is_zero(&self.manager));
    }
}

/// Whether no scope holds anything.
pub fn is_zero(manager: &Manager) -> bool {
    let scopes = manager.scopes();
    scopes.iter().all(|scope| scope.stat.is_zero())
}

/// A backend that sends all bytes back. It closes when its client does.
pub struct Echo {
    pub address: SocketAddr,
    served: Arc<AtomicUsize>,
}

impl Echo {
    pub async fn start() -> Self {
        Self::on(TcpListener::bind(localhost(0)).await.unwrap())
    }

    pub fn on(listener: TcpListener) -> Self {
        let address = listener.local_addr().unwrap();
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let (mut reader, mut writer) = socket.split();
                    // A failure is a client that has left.
                    let _ = tokio::io::copy(&mut reader, &mut writer).await;
                    let _ = writer.shutdown().await;
                });
            }
        });
        Self { address, served }
    }

    /// How many connections it has accepted.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}

pub async fn in_time<F: Future>(what: &str, future: F) -> F::Output {
    let result = tokio::time::timeout(DEADLINE, future).await;
    result.unwrap_or_else(|_| panic!("{what}: not within {DEADLINE:?}"))
}

/// Waits until `holds` is true.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    in_time(what, wait).await;
}

/// Waits until nothing listens there. It makes no connection: that would be a session.
pub async fn nothing_listens(address: SocketAddr) {
    eventually("nothing listens", || {
        std::net::TcpListener::bind(address).is_ok()
    })
    .await;
}

/// Sends bytes, and reads them back.
pub async fn echo(client: &mut TcpStream, bytes: &[u8]) {
    client.write_all(bytes).await.unwrap();
    expect(client, bytes).await;
}

/// Reads exactly these bytes.
pub async fn expect(socket: &mut TcpStream, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    in_time("a read", socket.read_exact(&mut got))
        .await
        .unwrap();
    assert_eq!(got, bytes);
}

/// Reads to the end or the error.
pub async fn rest(socket: &mut TcpStream) -> Result<Vec<u8>, io::ErrorKind> {
    let mut rest = Vec::new();
    let read = in_time("the end", socket.read_to_end(&mut rest)).await;
    read.map(|_| rest).map_err(|error| error.kind())
}

/// Reads the end, with nothing before it.
pub async fn expect_end(socket: &mut TcpStream) {
    assert_eq!(rest(socket).await, Ok(Vec::new()));
}

/// Reads the reset.
pub async fn expect_reset(socket: &mut TcpStream) {
    assert_eq!(rest(socket).await, Err(io::ErrorKind::ConnectionReset));
}

/// Resets a connection.
pub fn reset(socket: TcpStream) {
    socket.set_zero_linger().unwrap();
    drop(socket);
}

/// Limits that allow one connection of each address, those of this machine included.
pub fn one_of_each_address() -> Limits {
    let subnets = SubnetLimits {
        v4: vec![SubnetLimit {
            prefix_len: 32,
            conns: 1,
        }],
        ..SubnetLimits::none()
    };
    let config = AddressConfig {
        trust_loopback: false,
        subnets,
        ..AddressConfig::none()
    };
    let mut limits = Limits::unlimited();
    limits.addresses = AddressLimits::new(config).unwrap();
    limits
}

/// Limits that allow so many sessions.
pub fn with_sessions(sessions: u64) -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = sessions.into();
    limits
}
