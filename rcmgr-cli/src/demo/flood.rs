//! Flooding clients: they open connections as fast as the server accepts them, and retry at once
//! when refused.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::dial::{Answer, Dialer, Leave};
use super::plan::{Behaviour, CLAIMS, Flood};
use super::stage::{Stage, reached};
use super::tally::Tally;
use super::wire;

/// The delay before a retry when the machine has no port or file descriptor left.
const MACHINE_AGAIN: Duration = Duration::from_millis(10);

/// One of several tasks of a flooding address.
#[derive(Clone)]
pub struct Flooder {
    /// The behaviour of the address.
    pub flood: Flood,
    /// Connects to the server.
    pub dialer: Dialer,
    /// The counters.
    pub tally: Arc<Tally>,
    /// The connections that the address holds.
    pub hoard: Arc<Mutex<Vec<TcpStream>>>,
    /// The number of connections to hold.
    pub wanted: u64,
}

impl Flooder {
    /// Floods from its first stage to its last.
    pub async fn run(self, mut stage: watch::Receiver<Stage>) {
        reached(&mut stage, self.flood.begins).await;
        tokio::select! {
            () = reached(&mut stage, self.flood.ends) => {}
            _ = self.flood() => unreachable!("the flood runs until it is dropped"),
        }
    }

    async fn flood(&self) -> ! {
        let (from, tally) = (self.flood.from, &*self.tally);
        loop {
            let answer = match self.flood.behaviour {
                Behaviour::Hoard => {
                    let greet = self
                        .dialer
                        .greet(from, Leave::Abruptly, &tally.flooding, tally);
                    greet.await
                }
                Behaviour::Silent => self.stay_silent().await,
            };
            match answer {
                Answer::Welcome(socket) => self.keep(socket).await,
                Answer::TurnedAway => {}
                Answer::Failed => sleep(MACHINE_AGAIN).await,
            }
        }
    }

    /// Claims memory on a connection and keeps it, unless the hoard is full.
    async fn keep(&self, mut socket: TcpStream) {
        let held = || self.hoard.lock().expect("no panic while the lock is held");
        let number = {
            let mut hoard = held();
            // A crash of the server ends all connections.
            if hoard.first().is_some_and(is_closed) {
                hoard.clear();
            }
            hoard.len()
        };
        if (number as u64) < self.wanted {
            let claim = CLAIMS[number % CLAIMS.len()];
            // The announced bytes are never sent. Errors are ignored: the server may have closed.
            let _ = socket.write_u32(claim as u32).await;
            held().push(socket);
        }
    }

    /// Opens a connection and sends nothing until the server closes it.
    async fn stay_silent(&self) -> Answer {
        let (from, tally) = (self.flood.from, &*self.tally);
        let dial = self
            .dialer
            .dial(from, Leave::Abruptly, &tally.flooding, tally);
        match dial.await {
            Ok(mut socket) => {
                // The server sends nothing: it closes the connection.
                let _ = socket.read_u8().await;
                tally.flooding.turned_away.one();
                Answer::TurnedAway
            }
            Err(answer) => answer,
        }
    }
}

/// Whether the server has closed the connection.
fn is_closed(socket: &TcpStream) -> bool {
    // The server sends at most an answer to the claim, which stays unread otherwise.
    match socket.try_read(&mut [0; wire::HEADER]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}
