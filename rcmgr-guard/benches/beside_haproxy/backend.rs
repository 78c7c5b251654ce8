//! The servers behind the proxies. They run in a thread of the benchmark, whose time does not count.

use std::io;
use std::net::SocketAddr;
use std::thread;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::proxy::listen;

const CHUNK: usize = 64 << 10;

/// What a server does with each connection.
#[derive(Debug, Clone, Copy)]
pub enum Service {
    /// Sends all bytes back.
    Echo,
    /// Sends as many bytes as the client asks for with its first eight bytes.
    Source,
    /// Reads to the end, and sends the number of bytes that it got.
    Sink,
}

/// The address of each server.
#[derive(Debug, Clone, Copy)]
pub struct Backends {
    echo: SocketAddr,
    source: SocketAddr,
    sink: SocketAddr,
}

impl Backends {
    /// Starts the servers. They run as long as the process.
    pub fn start() -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build()?;
        let start = |service| {
            let _in_runtime = runtime.enter();
            let listener = listen()?;
            let address = listener.local_addr();
            runtime.spawn(accept(listener, service));
            address
        };
        let backends = Self {
            echo: start(Service::Echo)?,
            source: start(Service::Source)?,
            sink: start(Service::Sink)?,
        };
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        Ok(backends)
    }

    pub const fn address(&self, service: Service) -> SocketAddr {
        match service {
            Service::Echo => self.echo,
            Service::Source => self.source,
            Service::Sink => self.sink,
        }
    }
}

async fn accept(listener: TcpListener, service: Service) {
    loop {
        match listener.accept().await {
            Ok((socket, _)) => drop(tokio::spawn(serve(socket, service))),
            Err(error) => eprintln!("a server of the benchmark cannot accept: {error}"),
        }
    }
}

async fn serve(mut socket: TcpStream, service: Service) -> io::Result<()> {
    socket.set_nodelay(true)?;
    match service {
        Service::Echo => echo(&socket).await,
        Service::Source => {
            let mut left = socket.read_u64().await? as usize;
            let chunk = vec![7; CHUNK];
            while left > 0 {
                let size = left.min(CHUNK);
                socket.write_all(&chunk[..size]).await?;
                left -= size;
            }
            Ok(())
        }
        Service::Sink => {
            let mut chunk = vec![0; CHUNK];
            let mut count = 0;
            loop {
                match socket.read(&mut chunk).await? {
                    0 => return socket.write_u64(count).await,
                    read => count += read as u64,
                }
            }
        }
    }
}

/// Without memory while nothing comes, so that one process can hold many connections.
async fn echo(socket: &TcpStream) -> io::Result<()> {
    loop {
        socket.readable().await?;
        let mut bytes = [0; 256];
        let read = match socket.try_read(&mut bytes) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(error),
        };
        // So few bytes always fit into the buffer of the socket.
        if socket.try_write(&bytes[..read])? < read {
            return Err(io::ErrorKind::WriteZero.into());
        }
    }
}
