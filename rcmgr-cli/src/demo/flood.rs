//! Flooding clients: they open connections as fast as the server takes them, and try again at once
//! if it does not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::sleep;

use super::dial::{Answer, Dialer, Leave};
use super::plan::{CLAIMS, Flood, Habit};
use super::stage::{Stage, reached};
use super::tally::Tally;

/// How long it waits where the machine has no port or file descriptor left: at once it would have
/// none either.
const MACHINE_AGAIN: Duration = Duration::from_millis(10);

/// One of several tasks of a flooding address.
#[derive(Clone)]
pub struct Flooder {
    /// What the address does, and when.
    pub flood: Flood,
    /// How it connects.
    pub dialer: Dialer,
    /// Where it counts.
    pub tally: Arc<Tally>,
    /// What the address holds.
    pub hoard: Arc<Mutex<Vec<TcpStream>>>,
    /// How many it keeps.
    pub appetite: u64,
}

impl Flooder {
    /// Floods from its first stage to its last.
    pub async fn run(self, mut stage: watch::Receiver<Stage>) {
        reached(&mut stage, self.flood.begins).await;
        tokio::select! {
            () = reached(&mut stage, self.flood.ends) => {}
            _ = self.flood() => unreachable!("it floods for ever"),
        }
    }

    async fn flood(&self) -> ! {
        let (from, tally) = (self.flood.from, &*self.tally);
        loop {
            let answer = match self.flood.habit {
                Habit::Hoards => {
                    let knock = self
                        .dialer
                        .knock(from, Leave::Abruptly, &tally.flooding, tally);
                    knock.await
                }
                Habit::IsSilent => self.be_silent().await,
            };
            match answer {
                Answer::Welcome(socket) => self.keep(socket).await,
                Answer::TurnedAway => {}
                Answer::Failed => sleep(MACHINE_AGAIN).await,
            }
        }
    }

    /// Claims memory on a connection and keeps it, unless there are enough already.
    async fn keep(&self, mut socket: TcpStream) {
        let held = || self.hoard.lock().expect("nobody panics with it");
        let number = held().len();
        if (number as u64) < self.appetite {
            let claim = CLAIMS[number % CLAIMS.len()];
            // What was to come is never sent. If the server has gone, so be it.
            let _ = socket.write_u32(claim as u32).await;
            held().push(socket);
        }
    }

    /// Opens a connection and says nothing until the server has had enough.
    async fn be_silent(&self) -> Answer {
        let (from, tally) = (self.flood.from, &*self.tally);
        let dial = self
            .dialer
            .dial(from, Leave::Abruptly, &tally.flooding, tally);
        match dial.await {
            Ok(mut socket) => {
                // The server says nothing either: it closes.
                let _ = socket.read_u8().await;
                tally.flooding.turned_away.one();
                Answer::TurnedAway
            }
            Err(answer) => answer,
        }
    }
}
