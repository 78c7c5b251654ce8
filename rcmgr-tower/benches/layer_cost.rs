//! The cost of the guarded listener and of the request layer: the server's CPU time per request,
//! with and without them.
//!
//! The server is an axum server on one thread, in a process of its own: this program again. The
//! client counts only on the server's clock of CPU time, which includes the kernel's work for it.
//! In each round every server serves the same requests, in turns, because the speed of a machine
//! varies. The output is the median of the rounds, and the median, smallest and largest
//! ratio to the plain server in the same round.
//!
//! - `small`: 16 connections, each sends the next GET when it has its answer of 13 bytes.
//! - `length`: uploads of 100 MiB with a `Content-Length`, one after the other.
//! - `chunked`: the same in chunks of 64 KiB.
//!
//! Arguments name loads and servers, by default all:
//! `cargo bench -p rcmgr-tower --features axum --bench layer_cost -- small routes`.
//! `RCMGR_LAYER_COST_ROUNDS` sets the number of rounds, by default 7. With
//! `RCMGR_LAYER_COST_INSTRUCTIONS` set, the servers run under Valgrind instead, and the output is
//! the number of instructions per small request in user space, which does not depend on the load of
//! the machine.

mod child;

use std::env;
use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{get, post};
use child::{Child, median};
use http_body_util::BodyExt;
use rcmgr_atomic::{GIB, Limit, Limits, Manager};
use rcmgr_tokio::Guarded;
use rcmgr_tower::axum::with_connections;
use rcmgr_tower::{BodyBudget, ConnInfo, RequestScopes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tower_layer::Identity;

/// The number of connections that send small requests.
const CONNECTIONS: usize = 16;
/// In how many turns a server serves the requests of a round.
const TURNS: usize = 10;
/// The size of an upload.
const UPLOAD: usize = 100 << 20;
/// The size of a chunk, and of a write of the client.
const CHUNK: usize = 64 << 10;

/// A server that is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    /// Without rcmgr.
    Plain,
    /// With the guarded listener.
    Listener,
    /// With the guarded listener, and the request layer around the app. It has a budget for bodies.
    App,
    /// The same with the address of the client in each request.
    AppAddress,
    /// With the guarded listener, and the request layer on the routes.
    Routes,
    /// The same with the address of the client in each request.
    RoutesAddress,
    /// The same with axum's own way to add the connection to each request.
    RoutesConnectInfo,
    /// Without rcmgr, with a layer on the routes that does nothing.
    Nothing,
    /// The same with the address of the client in each request.
    NothingAddress,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Plain,
        Self::Listener,
        Self::App,
        Self::AppAddress,
        Self::Routes,
        Self::RoutesAddress,
        Self::RoutesConnectInfo,
        Self::Nothing,
        Self::NothingAddress,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Listener => "listener",
            Self::App => "app",
            Self::AppAddress => "app+address",
            Self::Routes => "routes",
            Self::RoutesAddress => "routes+address",
            Self::RoutesConnectInfo => "routes+info",
            Self::Nothing => "nothing",
            Self::NothingAddress => "nothing+address",
        }
    }
}

/// The requests of a round.
#[derive(Clone, Copy, Debug)]
enum Load {
    Small,
    Length,
    Chunked,
}

impl Load {
    const ALL: [Self; 3] = [Self::Small, Self::Length, Self::Chunked];

    fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Length => "length",
            Self::Chunked => "chunked",
        }
    }
}

/// Serves until the process ends.
async fn serve(kind: Kind) -> io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    child::obey(listener.local_addr()?);
    let app = Router::new()
        .route("/small", get(async || "Hello, world!"))
        .route("/upload", post(upload));
    match kind {
        Kind::Plain => return axum::serve(listener, app).await,
        Kind::Nothing => return axum::serve(listener, app.layer(Identity::new())).await,
        Kind::NothingAddress => {
            let app = app.layer(Identity::new());
            let app = app.into_make_service_with_connect_info::<SocketAddr>();
            return axum::serve(listener, app).await;
        }
        _ => {}
    }
    let manager = manager().map_err(io::Error::other)?;
    let listener = Guarded::new(listener, manager.clone()).service("web");
    let listener = rcmgr_tower::axum::Listener::new(listener);
    if kind == Kind::Listener {
        return axum::serve(listener, app).await;
    }
    let layer = RequestScopes::new(&manager).body(BodyBudget::per_request(GIB).streamed());
    if kind == Kind::App {
        return axum::serve(listener, layer.into_make_service(app)).await;
    }
    if kind == Kind::AppAddress {
        let app = layer.into_make_service_with_connect_info(app);
        return axum::serve(listener, app).await;
    }
    if kind == Kind::Routes {
        let app = app.layer(layer.on_routes());
        return axum::serve(listener, with_connections(app)).await;
    }
    if kind == Kind::RoutesAddress {
        let app = with_connections(app.layer(layer.on_routes())).with_connect_info();
        return axum::serve(listener, app).await;
    }
    let app = app.layer(layer);
    let app = app.into_make_service_with_connect_info::<ConnInfo>();
    axum::serve(listener, app).await
}

/// A manager with finite limits that are checked and never reached.
fn manager() -> rcmgr_atomic::Result<Manager> {
    let limit = Limit::all((1 << 40).into());
    Manager::new(Limits {
        system: limit,
        transient: limit,
        service_default: Some(limit),
        conn: limit,
        ..Limits::unlimited()
    })
}

/// Reads a body as it arrives, and answers with its size.
async fn upload(mut body: Body) -> Result<String, StatusCode> {
    let mut size = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| StatusCode::BAD_REQUEST)?;
        size += frame.data_ref().map_or(0, |data| data.len());
    }
    Ok(size.to_string())
}

/// A connection that is kept alive.
struct Client {
    socket: TcpStream,
    answer: Vec<u8>,
}

impl Client {
    async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(address).await?;
        socket.set_nodelay(true)?;
        let answer = Vec::with_capacity(4096);
        Ok(Self { socket, answer })
    }

    /// Sends a small request, and reads its answer.
    async fn get(&mut self) -> io::Result<()> {
        let request = b"GET /small HTTP/1.1\r\nHost: a\r\n\r\n";
        self.socket.write_all(request).await?;
        assert_eq!(self.answer().await?, "Hello, world!");
        Ok(())
    }

    /// Reads an answer with status 200 and a `Content-Length`, and returns its body.
    async fn answer(&mut self) -> io::Result<String> {
        self.answer.clear();
        loop {
            if let Some(body) = body_of(&self.answer)? {
                return Ok(body.to_owned());
            }
            if self.socket.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// Uploads [`UPLOAD`] bytes.
    async fn upload(&mut self, chunked: bool) -> io::Result<()> {
        let (framing, chunk) = if chunked {
            let mut chunk = format!("{CHUNK:x}\r\n").into_bytes();
            chunk.resize(chunk.len() + CHUNK, 7);
            chunk.extend_from_slice(b"\r\n");
            ("Transfer-Encoding: chunked".to_owned(), chunk)
        } else {
            (format!("Content-Length: {UPLOAD}"), vec![7; CHUNK])
        };
        let head = format!("POST /upload HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n");
        self.socket.write_all(head.as_bytes()).await?;
        for _ in 0..UPLOAD / CHUNK {
            self.socket.write_all(&chunk).await?;
        }
        if chunked {
            self.socket.write_all(b"0\r\n\r\n").await?;
        }
        let size = self.answer().await?;
        assert_eq!(size, UPLOAD.to_string());
        Ok(())
    }
}

/// The body of an answer that is there in full.
fn body_of(answer: &[u8]) -> io::Result<Option<&str>> {
    let answer = str::from_utf8(answer).map_err(io::Error::other)?;
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return Ok(None);
    };
    if !head.starts_with("HTTP/1.1 200 ") {
        return Err(io::Error::other(format!("not a success: {head}")));
    }
    let mut fields = head.lines().filter_map(|line| line.split_once(": "));
    let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let length: Option<usize> = length.and_then(|(_, length)| length.parse().ok());
    let length = length.ok_or_else(|| io::Error::other(format!("no length: {head}")))?;
    Ok((body.len() == length).then_some(body))
}

/// The connections to a server that the requests of a load are sent on.
async fn connect(address: SocketAddr, load: Load) -> io::Result<Vec<Client>> {
    let number = match load {
        Load::Small => CONNECTIONS,
        Load::Length | Load::Chunked => 1,
    };
    let mut clients = Vec::new();
    for _ in 0..number {
        clients.push(Client::connect(address).await?);
    }
    Ok(clients)
}

/// Sends `requests` requests, which the clients share.
async fn send(clients: &mut Vec<Client>, load: Load, requests: usize) -> io::Result<()> {
    let share = requests / clients.len();
    let mut sending = JoinSet::new();
    for mut client in clients.drain(..) {
        sending.spawn(async move {
            for _ in 0..share {
                match load {
                    Load::Small => client.get().await?,
                    Load::Length => client.upload(false).await?,
                    Load::Chunked => client.upload(true).await?,
                }
            }
            io::Result::Ok(client)
        });
    }
    while let Some(ended) = sending.join_next().await {
        clients.push(ended.expect("no client panics")?);
    }
    Ok(())
}

/// A server, and the connections to it.
struct Measured {
    server: Child,
    clients: Vec<Client>,
}

impl Measured {
    fn start(runtime: &Runtime, kind: Kind, load: Load) -> io::Result<Self> {
        let server = Child::start(kind.name())?;
        let clients = runtime.block_on(connect(server.address, load))?;
        Ok(Self { server, clients })
    }

    /// The server's CPU time for these requests, in microseconds.
    fn serve(&mut self, runtime: &Runtime, load: Load, requests: usize) -> io::Result<f64> {
        let before = self.server.cpu()?;
        runtime.block_on(send(&mut self.clients, load, requests))?;
        let took = self.server.cpu()? - before;
        Ok(took.as_secs_f64() * 1e6)
    }
}

/// The instructions per small request, from two runs of a server with different numbers of
/// requests, so that its start and its end do not count.
fn instructions(runtime: &Runtime, kind: Kind, requests: usize) -> io::Result<f64> {
    let mut counts = [0.0; 2];
    for (count, requests) in counts.iter_mut().zip([requests, 2 * requests]) {
        let server = Child::start_counted(kind.name())?;
        runtime.block_on(async {
            let mut clients = connect(server.address, Load::Small).await?;
            send(&mut clients, Load::Small, requests).await
        })?;
        *count = server.end()?.ok_or_else(|| io::Error::other("no count"))?;
    }
    Ok((counts[1] - counts[0]) / requests as f64)
}

/// The servers that the arguments name, by default all. The plain one is always there, as the first.
fn servers() -> Vec<Kind> {
    let is_named = |kind: &Kind| env::args().skip(1).any(|name| name == kind.name());
    let (plain, others) = (Kind::ALL[0], &Kind::ALL[1..]);
    let named: Vec<_> = others.iter().copied().filter(is_named).collect();
    let others = if named.is_empty() { others } else { &named };
    [plain].into_iter().chain(others.iter().copied()).collect()
}

fn count_instructions(runtime: &Runtime) -> io::Result<()> {
    let mut plain = 0.0;
    for kind in servers() {
        let count = instructions(runtime, kind, 1600)?;
        if kind == Kind::Plain {
            plain = count;
        }
        let (more, percent) = (count - plain, 100.0 * (count / plain - 1.0));
        println!(
            "{:15} {count:7.0} instructions, {more:+6.0}, {percent:+6.2} %",
            kind.name()
        );
    }
    Ok(())
}

fn measure(runtime: &Runtime, rounds: usize, requests: [usize; 3]) -> io::Result<()> {
    println!("{rounds} rounds; microseconds of the server's CPU time per request");
    // Arguments name the loads to measure.
    let named: Vec<_> = env::args().skip(1).collect();
    let is_named = |load: Load| named.iter().any(|name| name == load.name());
    let some_are_named = Load::ALL.into_iter().any(is_named);
    let kinds = servers();
    for (load, requests) in Load::ALL.into_iter().zip(requests) {
        if some_are_named && !is_named(load) {
            continue;
        }
        let turns = requests.min(TURNS);
        let mut took = vec![Vec::new(); kinds.len()];
        for number in 0..rounds {
            // New processes in each round, because the layout of memory has an effect too.
            let servers: io::Result<Vec<_>> = kinds
                .iter()
                .map(|kind| Measured::start(runtime, *kind, load))
                .collect();
            let mut servers = servers?;
            for server in &mut servers {
                server.serve(runtime, load, requests.div_ceil(10))?;
            }
            // In turns, so that the servers see the same changes of the machine's speed.
            let mut of_round = vec![0.0; kinds.len()];
            for turn in 0..turns * kinds.len() {
                let which = (number + turn) % kinds.len();
                of_round[which] += servers[which].serve(runtime, load, requests / turns)?;
            }
            for (took, of_round) in took.iter_mut().zip(of_round) {
                took.push(of_round / requests as f64);
            }
            for server in servers {
                server.server.end()?;
            }
        }
        for (kind, times) in kinds.iter().zip(&took) {
            let ratios: Vec<_> = times
                .iter()
                .zip(&took[0])
                .map(|(time, plain)| time / plain)
                .collect();
            let smallest = ratios.iter().copied().fold(f64::INFINITY, f64::min);
            let largest = ratios.iter().copied().fold(0.0, f64::max);
            println!(
                "{:8} {:15} {:10.2} us, {:.3} of plain ({smallest:.3} to {largest:.3})",
                load.name(),
                kind.name(),
                median(times),
                median(&ratios)
            );
        }
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    if let Some(name) = child::server_name() {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        let kind = kind.ok_or_else(|| io::Error::other("no such server"))?;
        return runtime.block_on(serve(kind));
    }
    if env::var_os("RCMGR_LAYER_COST_INSTRUCTIONS").is_some() {
        return count_instructions(&runtime);
    }
    // `cargo test` runs benches too: then only check that they work.
    let (rounds, requests) = match env::args().any(|argument| argument == "--bench") {
        true => (7, [32_000, 10, 10]),
        false => (1, [160, 1, 1]),
    };
    let given = env::var("RCMGR_LAYER_COST_ROUNDS").ok();
    let rounds = given.and_then(|given| given.parse().ok()).unwrap_or(rounds);
    measure(&runtime, rounds.max(1), requests)
}
