//! An echo server that limits its connections, their memory, and clients that never speak. It ends
//! without cutting off its clients.
//!
//! Without arguments it serves a few clients of its own and ends. With an address it serves until
//! Ctrl-C: `cargo run --example echo -- 127.0.0.1:7000`, and in another terminal `nc 127.0.0.1 7000`.

use std::env;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rcmgr::prelude::*;
use rcmgr::tokio::{Guarded, GuardedStream, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let manager = Manager::new(limits())?;
    if let Some(address) = env::args().nth(1) {
        let listener = TcpListener::bind(address).await?;
        println!("echoes on {} until Ctrl-C", listener.local_addr()?);
        let stop = async { drop(tokio::signal::ctrl_c().await) };
        serve(listener, &manager, stop).await;
    } else {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (stop, stopped) = oneshot::channel::<()>();
        let clients = tokio::spawn(clients(listener.local_addr()?, manager.clone(), stop));
        serve(listener, &manager, async { drop(stopped.await) }).await;
        clients.await?.map_err(|error| error.to_string())?;
        assert!(manager.stat().system.is_zero());
    }
    Ok(())
}

/// Two connections at a time, and 64 KiB of memory for each.
fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 2.into();
    limits.conn.memory = (64 * KIB).into();
    limits
}

/// Serves until `stop` is ready. Then it waits ten seconds for the open connections.
async fn serve(listener: TcpListener, manager: &Manager, stop: impl Future<Output = ()>) {
    let listener = Guarded::new(listener, manager.clone())
        .service("echo")
        .on_refusal(Refusal::Reply(b"busy\n"))
        .first_byte_within(Duration::from_secs(10))
        .descriptors_in_reserve(32);
    let connections = TaskTracker::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            stream = listener.accept() => {
                connections.spawn(async move {
                    let peer = stream.peer();
                    if let Err(error) = echo(stream).await {
                        println!("{peer}: {error}");
                    }
                });
            }
            () = &mut stop => break,
        }
    }
    // Nothing new is accepted.
    drop(listener);
    connections.close();
    if timeout(Duration::from_secs(10), connections.wait())
        .await
        .is_err()
    {
        println!("still open after 10 s: {}", manager.stat().system);
    }
}

/// Echoes until the client leaves.
async fn echo(mut stream: GuardedStream<TcpStream>) -> io::Result<()> {
    // It reserves memory before it grows, and holds none while it is empty.
    let mut buffer = stream.buffer(Priority::Medium);
    while buffer.fill_from(&mut stream).await? > 0 {
        stream.write_all_buf(&mut buffer).await?;
    }
    Ok(())
}

/// Clients of this example.
async fn clients(
    server: SocketAddr,
    manager: Manager,
    stop: oneshot::Sender<()>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut first = TcpStream::connect(server).await?;
    let mut second = TcpStream::connect(server).await?;
    for client in [&mut first, &mut second] {
        let mut answer = [0; 5];
        client.write_all(b"hello").await?;
        client.read_exact(&mut answer).await?;
        assert_eq!(&answer, b"hello");
    }
    println!("two clients: {}", manager.stat().system);

    let mut answer = String::new();
    let mut third = TcpStream::connect(server).await?;
    third.read_to_string(&mut answer).await?;
    println!("the third client was refused: {}", answer.trim());
    assert_eq!(answer, "busy\n");

    // The server stops. Open connections go on until their clients leave.
    drop(stop);
    first.write_all(b"still there?").await?;
    first.shutdown().await?;
    answer.clear();
    first.read_to_string(&mut answer).await?;
    assert_eq!(answer, "still there?");
    Ok(())
}
