//! Servers without file descriptors: how much CPU they take, and how soon they answer a new client
//! when there are descriptors again.
//!
//! Each server is a process that may have 40 file descriptors, with 80 clients that stay connected.
//! First the bench measures the server's CPU time for a while. Then all clients leave, and it
//! measures how long a new client waits for the first byte of an answer. The output is the median,
//! smallest and largest of the repetitions.
//!
//! - `continue`: an accept loop that goes on after an error.
//! - `axum`, `tonic`: their own loops.
//! - `guarded`: the loop of the guarded listener, alone, under axum and under tonic.

mod child;

use std::env;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream as Client};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use child::{Child, median};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_tokio::Guarded;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

/// The file descriptors that a server may have.
const DESCRIPTORS: u64 = 40;
const CLIENTS: usize = 80;
/// The time after which a new client gives up.
const DEADLINE: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug)]
enum Kind {
    Continue,
    Axum,
    Tonic,
    Guarded,
    GuardedAxum,
    GuardedTonic,
}

impl Kind {
    const ALL: [Self; 6] = [
        Self::Continue,
        Self::Axum,
        Self::Tonic,
        Self::Guarded,
        Self::GuardedAxum,
        Self::GuardedTonic,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Continue => "continue",
            Self::Axum => "axum",
            Self::Tonic => "tonic",
            Self::Guarded => "guarded",
            Self::GuardedAxum => "guarded axum",
            Self::GuardedTonic => "guarded tonic",
        }
    }

    /// What a client says first, for which there is an answer.
    fn greeting(self) -> &'static [u8] {
        match self {
            Self::Continue | Self::Guarded => b"x",
            Self::Axum | Self::GuardedAxum => b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            // The preface and empty settings, which the server answers with its own.
            Self::Tonic | Self::GuardedTonic => {
                b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"
            }
        }
    }
}

/// Serves until the process ends.
async fn serve(kind: Kind) -> io::Result<()> {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    if let Kind::Tonic = kind {
        let incoming = TcpIncoming::bind(local)?;
        obey(incoming.local_addr()?)?;
        let served = grpc().serve_with_incoming(incoming).await;
        return served.map_err(io::Error::other);
    }
    let listener = TcpListener::bind(local).await?;
    obey(listener.local_addr()?)?;
    let manager = Manager::new(Limits::unlimited()).map_err(io::Error::other)?;
    match kind {
        Kind::Continue => loop {
            let Ok((socket, _)) = listener.accept().await else {
                continue;
            };
            tokio::spawn(echo(socket));
        },
        Kind::Guarded => {
            let listener = Guarded::new(listener, manager);
            loop {
                tokio::spawn(echo(listener.accept().await));
            }
        }
        Kind::Axum => axum::serve(listener, app()).await,
        Kind::GuardedAxum => {
            let listener = Guarded::new(listener, manager);
            axum::serve(rcmgr_tower::axum::Listener::new(listener), app()).await
        }
        Kind::GuardedTonic => {
            let incoming = rcmgr_tower::tonic::incoming(Guarded::new(listener, manager));
            let served = grpc().serve_with_incoming(incoming).await;
            served.map_err(io::Error::other)
        }
        Kind::Tonic => unreachable!("it has returned"),
    }
}

/// What runs once the server has its own descriptors: the limit, and the parent's questions.
fn obey(address: SocketAddr) -> io::Result<()> {
    rlimit::setrlimit(rlimit::Resource::NOFILE, DESCRIPTORS, DESCRIPTORS)?;
    child::obey(address);
    Ok(())
}

fn grpc() -> tonic::transport::server::Router {
    Server::builder().add_routes(Routes::default())
}

fn app() -> Router {
    Router::new().route("/", get(async || "Hello, world!"))
}

async fn echo(mut socket: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    let mut buffer = [0; 64];
    loop {
        match socket.read(&mut buffer).await? {
            0 => return Ok(()),
            count => socket.write_all(&buffer[..count]).await?,
        }
    }
}

/// How a server does without descriptors.
struct Outcome {
    /// The CPU time while it has none, as a percentage of a core.
    cpu: f64,
    /// The milliseconds until a new client has an answer, once there are descriptors again.
    answered: f64,
}

fn measure(kind: Kind, length: Duration) -> io::Result<Outcome> {
    let mut server = Child::start(kind.name())?;
    let clients = (0..CLIENTS).map(|_| greet(server.address, kind));
    let clients: Vec<_> = clients.collect::<io::Result<_>>()?;
    // Until the server has taken all that it can take.
    thread::sleep(length / 4);

    let (before, began) = (server.cpu()?, Instant::now());
    thread::sleep(length);
    let took = server.cpu()? - before;
    let cpu = 100.0 * took.as_secs_f64() / began.elapsed().as_secs_f64();

    let left = Instant::now();
    drop(clients);
    let mut client = greet(server.address, kind)?;
    client.set_read_timeout(Some(DEADLINE))?;
    client.read_exact(&mut [0])?;
    let answered = 1000.0 * left.elapsed().as_secs_f64();
    server.end()?;
    Ok(Outcome { cpu, answered })
}

fn greet(address: SocketAddr, kind: Kind) -> io::Result<Client> {
    let mut client = Client::connect(address)?;
    client.write_all(kind.greeting())?;
    Ok(client)
}

fn show(values: &[f64]) -> String {
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(0.0, f64::max);
    format!("{:.1} ({smallest:.1} to {largest:.1})", median(values))
}

fn main() -> io::Result<()> {
    if let Some(name) = child::server_name() {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| io::Error::other("no such server"))?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        return runtime.block_on(serve(kind));
    }
    // `cargo test` runs benches too: then only check that they work.
    let (repetitions, length) = match env::args().any(|argument| argument == "--bench") {
        true => (5, Duration::from_secs(2)),
        false => (1, Duration::from_millis(200)),
    };
    println!("{DESCRIPTORS} descriptors, {CLIENTS} clients, {repetitions} repetitions");
    println!(
        "{:16} {:>24} {:>28}",
        "server", "% of a core", "ms until a new client"
    );
    for kind in Kind::ALL {
        let outcomes = (0..repetitions).map(|_| measure(kind, length));
        let outcomes = outcomes.collect::<io::Result<Vec<_>>>()?;
        let cpu: Vec<_> = outcomes.iter().map(|outcome| outcome.cpu).collect();
        let answered: Vec<_> = outcomes.iter().map(|outcome| outcome.answered).collect();
        println!(
            "{:16} {:>24} {:>28}",
            kind.name(),
            show(&cpu),
            show(&answered)
        );
    }
    Ok(())
}
