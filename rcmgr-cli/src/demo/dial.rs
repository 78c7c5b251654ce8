//! Connects clients to the server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use super::tally::{ClientTally, Tally};
use super::wire;

/// The way that the server identifies a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By its source address.
    BySource,
    /// By the address in its hello: all clients connect from the same address.
    ByHello,
}

impl Naming {
    /// By source if the machine allows clients to bind this address, as Linux does with all of
    /// 127.0.0.0/8. Some systems only have 127.0.0.1.
    pub fn on_this_machine(address: Ipv4Addr) -> Self {
        match UdpSocket::bind((address, 0)) {
            Ok(_) => Self::BySource,
            Err(_) => Self::ByHello,
        }
    }
}

/// The way that a client disconnects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// With a normal close. The machine then blocks the port for a while.
    Orderly,
    /// With a reset. The port is then free at once; otherwise floods would use up all ports.
    Abruptly,
}

/// The result of a connection attempt.
pub enum Answer {
    /// The server admitted the client.
    Welcome(TcpStream),
    /// The server closed the connection.
    TurnedAway,
    /// The connection attempt failed.
    Failed,
}

/// Connects clients to the server.
#[derive(Debug, Clone, Copy)]
pub struct Dialer {
    /// The address of the server.
    pub server: SocketAddr,
    /// Whether clients bind their own addresses.
    pub naming: Naming,
}

impl Dialer {
    async fn connect(&self, from: Ipv4Addr, leave: Leave) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.naming == Naming::BySource {
            socket.bind(SocketAddr::from((from, 0)))?;
        }
        if leave == Leave::Abruptly {
            socket.set_zero_linger()?;
        }
        socket.set_nodelay(true)?;
        socket.connect(self.server).await
    }

    /// Connects. An error becomes the answer and is counted.
    pub async fn dial(
        &self,
        from: Ipv4Addr,
        leave: Leave,
        clients: &ClientTally,
        tally: &Tally,
    ) -> Result<TcpStream, Answer> {
        self.connect(from, leave).await.map_err(|error| {
            // The server refused before the client noticed the connection.
            if error.kind() == io::ErrorKind::ConnectionReset {
                clients.turned_away.one();
                return Answer::TurnedAway;
            }
            tally.failures.note("connect", &error);
            clients.failed.one();
            Answer::Failed
        })
    }

    /// Connects and sends the hello.
    pub async fn greet(
        &self,
        from: Ipv4Addr,
        leave: Leave,
        clients: &ClientTally,
        tally: &Tally,
    ) -> Answer {
        let mut socket = match self.dial(from, leave, clients, tally).await {
            Ok(socket) => socket,
            Err(answer) => return answer,
        };
        let welcomed = async {
            wire::write_hello(&mut socket, from.into()).await?;
            socket.read_u8().await
        };
        // A close and a reset both mean a refusal.
        match welcomed.await {
            Ok(wire::WELCOME) => {
                clients.welcomed.one();
                Answer::Welcome(socket)
            }
            _ => {
                clients.turned_away.one();
                Answer::TurnedAway
            }
        }
    }
}
