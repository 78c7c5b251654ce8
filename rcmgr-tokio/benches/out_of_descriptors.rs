//! A server that is out of file descriptors: the CPU time that its accept loop takes, and how soon a
//! client is answered when a descriptor is free.
//!
//! Run it with `cargo bench -p rcmgr-tokio --bench out_of_descriptors`.

use std::fs::File;
use std::net::Ipv4Addr;
use std::time::Duration;

use cpu_time::ThreadTime;
use rcmgr_atomic::Manager;
use rcmgr_core::Limits;
use rcmgr_tokio::{Guarded, GuardedStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

/// How many descriptors the process may open once its clients are connected.
const ALLOWED: u64 = 40;
const ROUNDS: usize = 200;
const IDLE: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(()); // `cargo test --benches` only builds it
    }
    let (soft, hard) = rlimit::Resource::NOFILE.get()?;
    let socket = TcpSocket::new_v4()?;
    socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
    let listener = socket.listen(1024)?;
    let address = listener.local_addr()?;
    // All clients connect now, and the operating system keeps them for the listener. They stay open,
    // so that their descriptors are never free.
    let mut clients = Vec::new();
    for _ in 0..ALLOWED as usize + 2 * ROUNDS {
        clients.push(TcpStream::connect(address).await?);
    }
    let mut waiting = clients.iter_mut();
    let open = File::open("/dev/null").map(|file| std::os::fd::AsRawFd::as_raw_fd(&file))?;
    let mut allowed = open as u64 + ALLOWED;
    rlimit::Resource::NOFILE.set(allowed, hard)?;

    let manager = Manager::new(Limits::unlimited()).map_err(std::io::Error::from)?;
    let mut served = serve(Guarded::new(listener, manager));
    let mut streams = Vec::new();
    for client in waiting.by_ref().take(ALLOWED as usize) {
        client.read_u8().await?;
        streams.extend(served.recv().await);
    }

    let (cpu, start) = (ThreadTime::now(), Instant::now());
    sleep(IDLE).await;
    let share = cpu.elapsed().as_secs_f64() / start.elapsed().as_secs_f64();
    println!(
        "out of descriptors for {IDLE:?}: {:.3} % of a core",
        100.0 * share
    );

    // The server closes a connection of its own.
    let mut waits = Vec::new();
    for client in waiting.by_ref().take(ROUNDS) {
        let start = Instant::now();
        streams.pop();
        client.read_u8().await?;
        waits.push(start.elapsed());
        streams.extend(served.recv().await);
    }
    print("after a close of one of our connections", waits);

    // A descriptor becomes free that the listener knows nothing of, at any moment of its pause.
    let mut waits = Vec::new();
    for (round, client) in waiting.take(ROUNDS / 4).enumerate() {
        sleep(Duration::from_millis(300 + 7 * round as u64 % 100)).await;
        let start = Instant::now();
        allowed += 1;
        rlimit::Resource::NOFILE.set(allowed, hard)?;
        client.read_u8().await?;
        waits.push(start.elapsed());
        streams.extend(served.recv().await);
    }
    print("after a close of something else", waits);
    rlimit::Resource::NOFILE.set(soft, hard)
}

/// Greets each connection and hands it over.
fn serve(listener: Guarded<TcpListener>) -> mpsc::UnboundedReceiver<GuardedStream<TcpStream>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let mut stream = listener.accept().await;
            if stream.write_u8(7).await.is_ok() && sender.send(stream).is_err() {
                break;
            }
        }
    });
    receiver
}

fn print(what: &str, mut waits: Vec<Duration>) {
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    println!(
        "a client is answered {what}: median {:?}, 95 % {:?}, longest {:?}",
        at(50),
        at(95),
        at(100)
    );
}
