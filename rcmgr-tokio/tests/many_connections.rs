//! 10,000 connections that are held, a flood beside them, and a graceful end.
//!
//! The clients live in a child process, which is this program again: client and server have a file
//! descriptor each for every connection, and a process may have only so many.

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use libtest_mimic::{Arguments, Failed, Trial};
use rcmgr_atomic::{Limits, Manager, Priority, ScopeClass};
use rcmgr_tokio::{Graceful, Guarded, GuardedStream, Left, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// How many connections are held, if the process may have so many file descriptors.
const MOST: u64 = 10_000;
/// File descriptors for all else.
const OTHERS: u64 = 300;
/// How many clients are refused beside them, at least.
const FLOOD: u64 = 3_000;
/// How many clients of the flood connect at a time.
const AT_A_TIME: u64 = 32;
/// One in so many connections ignores the notice.
const DEAF: u64 = 100;
/// How long the connections may take to end.
const WITHIN: Duration = Duration::from_secs(2);
/// How much longer the end may take: the machine is busy with other tests.
const SLACK: Duration = Duration::from_secs(30);

/// The variables that make this program the clients of a server: its address, and how many.
const SERVER: &str = "MANY_CONNECTIONS_SERVER";
const COUNT: &str = "MANY_CONNECTIONS_COUNT";

fn main() {
    if let Ok(server) = std::env::var(SERVER) {
        let count = std::env::var(COUNT).unwrap().parse().unwrap();
        return runtime().block_on(be_clients(server.parse().unwrap(), count));
    }
    let name = "ten_thousand_connections_are_held_beside_a_flood_and_end_within_the_deadline";
    let trial = Trial::test(name, hold_and_end);
    libtest_mimic::run(&Arguments::from_args(), vec![trial]).exit();
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn hold_and_end() -> Result<(), Failed> {
    let allowed = raise_limit();
    let count = MOST.min(allowed.saturating_sub(OTHERS));
    if count < MOST {
        eprintln!("only {count} connections: {allowed} file descriptors are allowed");
    }
    // The first runtime of a process may open descriptors that stay: for signals, if that feature of
    // tokio is on.
    drop(runtime());
    let descriptors = open_descriptors();

    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = count.into();
    let manager = Manager::new(limits)?;
    let graceful = Graceful::new();
    let runtime = runtime();
    let address = runtime.block_on(serve(&manager, &graceful, count))?;

    let memory = resident_memory();
    let begin = Instant::now();
    let mut clients = Clients::start(address, count)?;
    assert_eq!(clients.line()?, "held");
    let opened = begin.elapsed();
    // The last one may not wait for its client yet.
    wait_until("idle connections hold no buffers", || {
        manager.stat().system.memory == 0
    });
    let each = (resident_memory().saturating_sub(memory)) / count;
    let stat = manager.stat();
    assert_eq!((stat.system.conns_inbound, stat.system.fd), (count, count));
    assert_eq!(stat.services["echo"].conns_inbound, count);

    let begin = Instant::now();
    assert_eq!(clients.line()?, "flooded");
    let flooded = begin.elapsed();
    let refused = manager.refusals(ScopeClass::System).conns_inbound;
    assert!(refused >= FLOOD, "{refused}");
    assert_eq!(clients.line()?, "echoed");
    assert_eq!(manager.stat().system.conns_inbound, count);

    // The flood goes on meanwhile.
    let begin = Instant::now();
    let left = runtime
        .block_on(graceful.end(&manager, WITHIN))
        .unwrap_err();
    let ended = begin.elapsed();
    let deaf = count.div_ceil(DEAF);
    check(&left, deaf);
    assert!(ended >= WITHIN && ended < WITHIN + SLACK, "{ended:?}");
    assert_eq!(
        clients.line()?,
        format!("ended: {} bye, {deaf} cut", count - deaf)
    );
    assert!(clients.child.wait()?.success());

    let stat = manager.stat();
    assert!(stat.system.is_zero() && stat.transient.is_zero(), "{stat}");
    assert!(stat.services.values().all(|service| service.is_zero()));
    assert!(stat.peers.is_empty(), "{stat:#}");
    assert_eq!(manager.conn_memory().counts.iter().sum::<u64>(), 0);
    assert!(manager.waiting().is_empty());
    drop((runtime, clients));
    assert_eq!(open_descriptors(), descriptors);
    eprintln!(
        "{count} connections: opened and echoed in {opened:.2?}, {each} bytes of memory each; \
         {refused} refused, the first {FLOOD} in {flooded:.2?}; ended in {ended:.2?}, {deaf} of \
         them cut"
    );
    Ok(())
}

fn check(left: &Left, deaf: u64) {
    assert_eq!(left.connections.len() as u64, deaf);
    assert_eq!((left.tasks as u64, left.hanging_tasks), (deaf, 0));
    assert!(left.hanging.is_empty());
    assert!(left.stat.system.is_zero(), "{left}");
}

/// Starts an echo server, and returns its address.
async fn serve(manager: &Manager, graceful: &Graceful, count: u64) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let listener = Guarded::new(listener, manager.clone())
        .service("echo")
        .on_refusal(Refusal::Reset)
        .first_byte_within(Duration::from_secs(60));
    let graceful = graceful.clone();
    // The end does not wait for this task, which ends with the notice.
    tokio::spawn(async move {
        let mut number = 0;
        // Clients of the flood may get in when the first connections have ended.
        while let Some(mut stream) = graceful.accept(&listener).await {
            let is_deaf = number < count && number % DEAF == 0;
            number += 1;
            let notice = graceful.notice().child_token();
            graceful.spawn(async move {
                if is_deaf {
                    return echo(&mut stream).await;
                }
                if notice
                    .run_until_cancelled(echo(&mut stream))
                    .await
                    .is_none()
                {
                    stream.write_all(b"bye").await?;
                }
                io::Result::Ok(())
            });
        }
    });
    Ok(address)
}

/// Echoes until the client ends.
async fn echo(stream: &mut GuardedStream<TcpStream>) -> io::Result<()> {
    if let Some(peer) = stream.peer().peer() {
        stream.scope().set_peer(&peer)?;
    }
    let mut buffer = stream.buffer(Priority::Medium);
    while buffer.fill_from(stream).await? > 0 {
        stream.write_all_buf(&mut buffer).await?;
    }
    Ok(())
}

/// The child process. It is killed if the test ends early.
struct Clients {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Clients {
    fn start(server: SocketAddr, count: u64) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .env(SERVER, server.to_string())
            .env(COUNT, count.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let lines = BufReader::new(child.stdout.take().unwrap());
        Ok(Self { child, lines })
    }

    /// The next line that the clients print; an empty one if they failed.
    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // Both fail if it has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The main function of the child process.
async fn be_clients(server: SocketAddr, count: u64) {
    raise_limit();
    let say = |line: &str| {
        println!("{line}");
        io::stdout().flush().unwrap();
    };
    let mut held = Vec::new();
    let mut opening = JoinSet::new();
    for number in 0..count {
        opening.spawn(async move {
            let mut client = TcpStream::connect(server).await.unwrap();
            ask(&mut client, number).await;
            client
        });
        if opening.len() as u64 == AT_A_TIME {
            held.push(opening.join_next().await.unwrap().unwrap());
        }
    }
    held.extend(opening.join_all().await);
    say("held");

    let refused = Arc::new(AtomicU64::new(0));
    let mut flood = JoinSet::new();
    for _ in 0..AT_A_TIME {
        flood.spawn(flood_until_it_ends(server, refused.clone()));
    }
    while refused.load(Ordering::Relaxed) < FLOOD {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    say("flooded");
    for client in held.iter_mut().step_by(20) {
        ask(client, 7).await;
    }
    say("echoed");

    let mut ending = JoinSet::new();
    for mut client in held {
        ending.spawn(async move {
            let mut said = Vec::new();
            // A connection that is cut may be reset.
            let _ = client.read_to_end(&mut said).await;
            said == b"bye"
        });
    }
    let ended = ending.join_all().await;
    flood.join_all().await;
    let bye = ended.iter().filter(|&&bye| bye).count();
    say(&format!("ended: {bye} bye, {} cut", ended.len() - bye));
}

/// Sends a number, and expects it back.
async fn ask(client: &mut TcpStream, number: u64) {
    client.write_u64(number).await.unwrap();
    assert_eq!(client.read_u64().await.unwrap(), number);
}

/// Connects again and again, until the server listens no longer. Each connection must be refused while the
/// others are held.
async fn flood_until_it_ends(server: SocketAddr, refused: Arc<AtomicU64>) {
    let mut was_left_alone = false;
    loop {
        let socket = TcpSocket::new_v4().unwrap();
        // From another address, so that the ports of the held clients are not used up.
        socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
        let mut client = match socket.connect(server).await {
            Ok(client) => client,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return,
            // The reset may come before the connect returns.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => continue,
            Err(error) => panic!("{error}"),
        };
        assert!(
            !was_left_alone,
            "a client without an answer while the server listens"
        );
        let mut said = Vec::new();
        let answer = tokio::time::timeout(SLACK, client.read_to_end(&mut said)).await;
        let Ok(answer) = answer else {
            // The kernel of the server forgets a connection without a reset if the listener is closed
            // while the connection is being set up.
            was_left_alone = true;
            continue;
        };
        if answer.is_ok() && !said.is_empty() {
            // The server ends, so there was room for a moment.
            assert_eq!(said, b"bye");
            continue;
        }
        refused.fetch_add(1, Ordering::Relaxed);
    }
}

/// Raises the limit of file descriptors as far as this process may, and returns it.
fn raise_limit() -> u64 {
    rlimit::increase_nofile_limit(MOST + OTHERS).unwrap()
}

/// Waits until a condition holds.
fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < SLACK, "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// How many file descriptors this process has open; 0 where the system does not say it.
fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

/// The resident memory of this process, in bytes; 0 where the system does not say it.
fn resident_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.map_or(0, |kib| kib.trim().parse::<u64>().unwrap() * 1024)
}
