//! An echo server that limits its connections, their memory, and clients that never speak. It ends
//! without cutting off its clients.
//!
//! Without an argument it talks to itself with a few clients, prints what happens, and ends. With an
//! address it serves until Ctrl-C: `cargo run -p rcmgr --example echo -- 127.0.0.1:7000`. In another
//! terminal, `nc 127.0.0.1 7000` is a client.

use std::env;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rcmgr::prelude::*;
use rcmgr::tokio::{Graceful, Guarded, GuardedStream, Refusal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let manager = Manager::new(limits())?;
    let argument = env::args().nth(1);
    let address = argument.as_deref().unwrap_or("127.0.0.1:0");
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    println!("listening on {address}");

    let end = Graceful::new();
    tokio::spawn(serve(listener, manager.clone(), end.clone()));
    if argument.is_some() {
        tokio::signal::ctrl_c().await?;
    } else {
        show(address, &manager, &end).await?;
    }
    // No new connections. Open ones have ten seconds, and are cut then.
    if let Err(left) = end.end(&manager, Duration::from_secs(10)).await {
        println!("{left}");
    }
    assert!(manager.stat().system.is_zero());
    Ok(())
}

/// Two connections at a time, and 64 KiB of memory for each.
fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.conns_inbound = 2.into();
    limits.conn.memory = (64 * KIB).into();
    limits
}

/// Serves until `end` has begun.
async fn serve(listener: TcpListener, manager: Manager, end: Graceful) {
    let listener = Guarded::new(listener, manager)
        .service("echo")
        .on_refusal(Refusal::Reply(b"busy\n"))
        .first_byte_within(Duration::from_secs(10))
        .descriptors_in_reserve(32);
    while let Some(stream) = end.accept(&listener).await {
        end.spawn(async move {
            let peer = stream.peer();
            if let Err(error) = echo(stream).await {
                println!("{peer}: {error}");
            }
        });
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

/// Talks to the server with a few clients.
async fn show(server: SocketAddr, manager: &Manager, end: &Graceful) -> Result<(), Box<dyn Error>> {
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

    // When the end begins, open connections go on until their clients leave.
    let (manager, end) = (manager.clone(), end.clone());
    let ended =
        tokio::spawn(async move { end.end(&manager, Duration::from_secs(10)).await.is_ok() });
    first.write_all(b"still there?").await?;
    first.shutdown().await?;
    answer.clear();
    first.read_to_string(&mut answer).await?;
    println!("the first client asks: {answer}");
    assert_eq!(answer, "still there?");
    drop(second);
    assert!(ended.await?, "all clients have left in time");
    println!("all clients have left");
    Ok(())
}
