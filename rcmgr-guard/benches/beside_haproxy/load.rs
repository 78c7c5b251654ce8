//! The load: what the clients do. Each workload returns how many operations it made.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

/// How many clients are active at a time.
const AT_A_TIME: usize = 32;
const CHURN: usize = 8_000;
const REFUSALS: usize = 8_000;
/// Connections of the round trips.
const ROUND_TRIP_CLIENTS: usize = 16;
const ROUND_TRIPS: usize = 60_000;
const MESSAGE: usize = 64;
/// Connections of a transfer.
const BULK_CLIENTS: usize = 4;
/// Bytes of each of them.
const BULK: usize = 256 << 20;
const CHUNK: usize = 64 << 10;

/// The addresses of the clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sources {
    /// Sixteen addresses in turn.
    Shared,
    /// Each client has one of its own.
    Different,
    /// All have the same one.
    One,
}

impl Sources {
    /// The address of a client by its number.
    pub fn of(self, number: usize) -> Ipv4Addr {
        match self {
            Self::Shared => Ipv4Addr::new(127, 1, 0, 1 + (number % 16) as u8),
            Self::Different => {
                let [_, a, b, c] = (number as u32).to_be_bytes();
                Ipv4Addr::new(127, 2 + a, b, c)
            }
            Self::One => Ipv4Addr::new(127, 0, 0, 66),
        }
    }
}

/// A connection from an address of this machine.
pub async fn connect(from: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((from, 0).into())?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Runs a number of operations, [`AT_A_TIME`] at a time. Each gets its number.
async fn in_parallel<F>(
    count: usize,
    operation: impl Fn(usize) -> F + Clone + Send + 'static,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + Send,
{
    let next = Arc::new(AtomicUsize::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..AT_A_TIME.min(count) {
        let (next, operation) = (Arc::clone(&next), operation.clone());
        clients.spawn(async move {
            loop {
                // Relaxed: only a number.
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return Ok(());
                }
                operation(number).await?;
            }
        });
    }
    all(clients).await
}

async fn all(mut clients: JoinSet<io::Result<()>>) -> io::Result<()> {
    while let Some(client) = clients.join_next().await {
        client.map_err(io::Error::other)??;
    }
    Ok(())
}

/// One echo of so many bytes.
pub async fn echo(client: &mut TcpStream, size: usize) -> io::Result<()> {
    let mut bytes = [7; MESSAGE];
    client.write_all(&bytes[..size]).await?;
    client.read_exact(&mut bytes[..size]).await?;
    Ok(())
}

/// Connects, gets an echo of 16 bytes, and closes orderly.
pub async fn churn(to: SocketAddr, sources: Sources) -> io::Result<f64> {
    in_parallel(CHURN, move |number| async move {
        let mut client = connect(sources.of(number), to).await?;
        echo(&mut client, 16).await?;
        client.shutdown().await?;
        match client.read(&mut [0]).await? {
            0 => Ok(()),
            _ => Err(io::Error::other("more bytes than the echo has")),
        }
    })
    .await?;
    Ok(CHURN as f64)
}

/// Each of the clients sends a message and waits for it, again and again.
pub async fn round_trips(to: SocketAddr) -> io::Result<f64> {
    let mut clients = JoinSet::new();
    for number in 0..ROUND_TRIP_CLIENTS {
        let mut client = connect(Sources::Shared.of(number), to).await?;
        clients.spawn(async move {
            for _ in 0..ROUND_TRIPS / ROUND_TRIP_CLIENTS {
                echo(&mut client, MESSAGE).await?;
            }
            Ok(())
        });
    }
    all(clients).await?;
    Ok(ROUND_TRIPS as f64)
}

/// The operations of a transfer are gigabytes.
const BULK_GIGABYTES: f64 = (BULK_CLIENTS * BULK) as f64 / 1e9;

/// Bytes from the server to the clients.
pub async fn download(to: SocketAddr) -> io::Result<f64> {
    let mut clients = JoinSet::new();
    for number in 0..BULK_CLIENTS {
        clients.spawn(async move {
            let mut client = connect(Sources::Shared.of(number), to).await?;
            client.write_u64(BULK as u64).await?;
            let mut chunk = vec![0; CHUNK];
            let mut got = 0;
            loop {
                match client.read(&mut chunk).await? {
                    0 if got == BULK => return Ok(()),
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    read => got += read,
                }
            }
        });
    }
    all(clients).await?;
    Ok(BULK_GIGABYTES)
}

/// Bytes from the clients to the server, which answers after the end.
pub async fn upload(to: SocketAddr) -> io::Result<f64> {
    let mut clients = JoinSet::new();
    for number in 0..BULK_CLIENTS {
        clients.spawn(async move {
            let mut client = connect(Sources::Shared.of(number), to).await?;
            let chunk = vec![7; CHUNK];
            for _ in 0..BULK / CHUNK {
                client.write_all(&chunk).await?;
            }
            client.shutdown().await?;
            match client.read_u64().await? as usize {
                BULK => Ok(()),
                _ => Err(io::Error::other("the server did not get all bytes")),
            }
        });
    }
    all(clients).await?;
    Ok(BULK_GIGABYTES)
}

/// Connections of a source that is over its limit: each is reset.
pub async fn refusals(to: SocketAddr) -> io::Result<f64> {
    in_parallel(REFUSALS, move |_| refusal(to)).await?;
    Ok(REFUSALS as f64)
}

/// One such connection. Another end than a reset is an error.
pub async fn refusal(to: SocketAddr) -> io::Result<()> {
    let until_end = async {
        // The reset may come before the end of the connect.
        let mut client = connect(Sources::One.of(0), to).await?;
        client.read(&mut [0]).await
    };
    match until_end.await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("a client over the limit is not reset")),
    }
}

/// Opens connections that have had an echo, and returns them. The numbers count from `first`.
pub async fn hold(
    to: SocketAddr,
    sources: Sources,
    first: usize,
    count: usize,
) -> io::Result<Vec<TcpStream>> {
    let mut clients = JoinSet::new();
    let mut held = Vec::with_capacity(count);
    for number in first..first + count {
        if clients.len() >= AT_A_TIME
            && let Some(client) = clients.join_next().await
        {
            held.push(client.map_err(io::Error::other)??);
        }
        clients.spawn(async move {
            let mut client = connect(sources.of(number), to).await?;
            echo(&mut client, 16).await?;
            io::Result::Ok(client)
        });
    }
    while let Some(client) = clients.join_next().await {
        held.push(client.map_err(io::Error::other)??);
    }
    Ok(held)
}
