//! The clients of the server with few slots: one address that takes all it can get, and honest ones.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rcmgr_guard::ProxyVersion;
use rcmgr_guard::proxy_protocol::header;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::super::dial::{Leave, Naming};
use super::super::latency::Recorder;
use super::super::tally::{Count, Gauge};
use super::server::WELCOME;

/// The flooding address.
const FLOOD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 66);
/// How long a client of the flood waits before it comes again.
const COME_AGAIN: Duration = Duration::from_millis(250);
/// The honest clients have these addresses.
const FIRST_HONEST: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
const HONEST_ADDRESSES: u8 = 8;
/// How long an honest client waits for its answer.
pub const PATIENCE: Duration = Duration::from_secs(2);
/// What an honest client sends.
const REQUEST: [u8; 16] = *b"0123456789abcdef";

/// What the clients got.
#[derive(Debug, Default)]
pub struct Tally {
    /// Connections of the flood that have a slot.
    pub held: Gauge,
    /// Honest clients with an answer.
    pub served: Count,
    /// Honest clients without one.
    pub failed: Count,
    /// The times from the begin of an honest client to its answer.
    pub times: Recorder,
}

/// Connects clients.
#[derive(Debug, Clone)]
pub struct Clients {
    pub server: SocketAddr,
    pub naming: Naming,
    /// Whether a client says in a header of the PROXY protocol whom it represents.
    pub says_source: bool,
    pub tally: Arc<Tally>,
}

impl Clients {
    /// Starts a flood of so many connections. Each client holds its connection without a word, and comes again
    /// when it is closed.
    pub fn flood(&self, connections: u64) -> JoinSet<()> {
        let mut flood = JoinSet::new();
        for _ in 0..connections {
            let clients = self.clone();
            flood.spawn(async move {
                loop {
                    // Its end is the answer of the server or the proxy.
                    let _ = clients.hold().await;
                    sleep(COME_AGAIN).await;
                }
            });
        }
        flood
    }

    async fn hold(&self) -> io::Result<()> {
        let mut socket = self.connect(FLOOD, Leave::Abruptly).await?;
        if socket.read_u8().await? == WELCOME {
            let _held = self.tally.held.enter();
            socket.read_u8().await?;
        }
        Ok(())
    }

    /// So many honest clients come, spread over `length`. It ends when the last has left.
    pub async fn honest(&self, number: u64, length: Duration) {
        let begin = Instant::now();
        let mut visits = JoinSet::new();
        for at in 0..number as u32 {
            sleep_until(begin + length * at / number as u32).await;
            let clients = self.clone();
            visits.spawn(async move {
                let begin = Instant::now();
                let last = FIRST_HONEST.octets()[3] + (at % u32::from(HONEST_ADDRESSES)) as u8;
                let [a, b, c, _] = FIRST_HONEST.octets();
                let visit = clients.visit(Ipv4Addr::new(a, b, c, last));
                match timeout(PATIENCE, visit).await {
                    Ok(Ok(())) => {
                        clients.tally.served.one();
                        clients.tally.times.record(begin.elapsed());
                    }
                    Ok(Err(_)) | Err(_) => clients.tally.failed.one(),
                }
            });
        }
        visits.join_all().await;
    }

    async fn visit(&self, from: Ipv4Addr) -> io::Result<()> {
        let mut socket = self.connect(from, Leave::Orderly).await?;
        socket.write_all(&REQUEST).await?;
        let mut answer = [0; 1 + REQUEST.len()];
        socket.read_exact(&mut answer).await?;
        match answer[0] == WELCOME && answer[1..] == REQUEST {
            true => Ok(()),
            false => Err(io::ErrorKind::InvalidData.into()),
        }
    }

    async fn connect(&self, from: Ipv4Addr, leave: Leave) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        if self.naming == Naming::BySource {
            socket.bind((from, 0).into())?;
        }
        if leave == Leave::Abruptly {
            socket.set_zero_linger()?;
        }
        socket.set_nodelay(true)?;
        let mut socket = socket.connect(self.server).await?;
        if self.says_source {
            let client = (from, socket.local_addr()?.port()).into();
            let header = header(ProxyVersion::V1, client, self.server);
            socket.write_all(&header).await?;
        }
        Ok(socket)
    }
}
