//! Protects the accept loop of a tokio server by remote address.
//!
//! The manager is asked before anything is read from a socket. Here one address may have two
//! connections, so the third one is closed at once.

use std::net::SocketAddr;

use rcmgr::address::{SubnetLimit, SubnetLimits};
use rcmgr::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let manager = Manager::builder()
        .limits(rcmgr::ScalingLimits::server().auto_scale())
        .addresses(AddressConfig {
            // By default loopback is trusted. The clients of this example are on loopback.
            trust_loopback: false,
            subnets: SubnetLimits {
                v4: vec![SubnetLimit {
                    prefix_len: 32,
                    conns: 2,
                }],
                ..SubnetLimits::none()
            },
            ..AddressConfig::default()
        })
        .build()?;

    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let server = listener.local_addr()?;
    tokio::spawn(accept(listener, manager.clone()));

    let first = greet(server)
        .await?
        .expect("the first connection is accepted");
    let second = greet(server)
        .await?
        .expect("the second connection is accepted");
    assert!(
        greet(server).await?.is_none(),
        "the third connection is refused"
    );
    assert_eq!(manager.addresses().stat().refused_by_subnet, 1);
    println!("{}", manager.stat().system);

    // When a connection is closed, its address has room again.
    drop(first);
    while manager.stat().system.conns_inbound == 2 {
        tokio::task::yield_now().await;
    }
    assert!(greet(server).await?.is_some(), "there is room again");
    drop(second);
    Ok(())
}

/// The accept loop.
async fn accept(listener: TcpListener, manager: Manager) -> std::io::Result<()> {
    loop {
        let (socket, remote) = listener.accept().await?;
        match manager.open_connection(Direction::Inbound, UsesFd::Yes, remote) {
            Ok(connection) => drop(tokio::spawn(serve(socket, connection))),
            // The socket is closed here, where it is dropped.
            Err(refused) => println!("{remote}: {refused}"),
        }
    }
}

/// Echoes until the client leaves. The connection is released when the function ends.
async fn serve(mut socket: TcpStream, connection: Connection) -> std::io::Result<()> {
    let mut buffer = [0; 1024];
    loop {
        match socket.read(&mut buffer).await? {
            0 => break,
            count => socket.write_all(&buffer[..count]).await?,
        }
    }
    drop(connection);
    Ok(())
}

/// A client: it connects and says hello. `None` if the server closes the connection.
async fn greet(server: SocketAddr) -> std::io::Result<Option<TcpStream>> {
    let mut socket = TcpStream::connect(server).await?;
    // A server that refuses may have closed the connection already.
    let _ = socket.write_all(b"hello").await;
    let mut answer = [0; 5];
    match socket.read_exact(&mut answer).await {
        Ok(_) => Ok(Some(socket)),
        Err(_) => Ok(None),
    }
}
