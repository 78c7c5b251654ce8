//! How clients get to the server: from which address, and what comes of it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

use tokio::io::AsyncReadExt;
use tokio::net::{TcpSocket, TcpStream};

use super::tally::{ClientTally, Tally};
use super::wire;

/// How the server knows who a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Naming {
    /// By the address it connects from.
    BySource,
    /// By what it says: all connect from the same address.
    ByHello,
}

impl Naming {
    /// By source where the machine lets a client have an address like this, as Linux does with
    /// all of 127.0.0.0/8. Some systems have 127.0.0.1 alone.
    pub fn on_this_machine(address: Ipv4Addr) -> Self {
        match UdpSocket::bind((address, 0)) {
            Ok(_) => Self::BySource,
            Err(_) => Self::ByHello,
        }
    }
}

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// In good order; the machine then remembers the port for a while.
    Orderly,
    /// With a reset, after which the port is free at once: floods would use up all ports.
    Abruptly,
}

/// What becomes of a client that knocks.
pub enum Answer {
    /// It is admitted.
    Welcome(TcpStream),
    /// The server closed the connection.
    TurnedAway,
    /// It could not get there.
    Failed,
}

/// Connects clients to the server.
#[derive(Debug, Clone, Copy)]
pub struct Dialer {
    /// Where the server listens.
    pub server: SocketAddr,
    /// Whether clients need addresses of their own.
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

    /// Connects. An error is the client's answer, and counted as that.
    pub async fn dial(
        &self,
        from: Ipv4Addr,
        leave: Leave,
        clients: &ClientTally,
        tally: &Tally,
    ) -> Result<TcpStream, Answer> {
        self.connect(from, leave).await.map_err(|error| {
            // Refused faster than the client could see that it was connected.
            if error.kind() == io::ErrorKind::ConnectionReset {
                clients.turned_away.one();
                return Answer::TurnedAway;
            }
            tally.failures.note("connect", &error);
            clients.failed.one();
            Answer::Failed
        })
    }

    /// Connects and says hello.
    pub async fn knock(
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
        // Closed, or reset: both are a refusal.
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
