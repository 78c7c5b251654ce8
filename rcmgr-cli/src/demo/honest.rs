//! Honest clients: each holds one connection as long as it can, asks for an echo now and then, and
//! waits longer and longer if it is refused.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use super::dial::{Answer, Dialer, Leave};
use super::plan::REQUEST;
use super::stage::{Stage, reached};
use super::tally::Tally;
use super::wire;

/// Between two requests of a client.
const PAUSE: Duration = Duration::from_millis(500);
/// A request that takes longer to come back is given up, and its connection with it.
const PATIENCE: Duration = Duration::from_secs(5);
/// What a refused client waits before it tries again, at first and at most.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// What all honest clients share.
pub struct Crowd {
    /// How they connect.
    pub dialer: Dialer,
    /// Where they count.
    pub tally: Arc<Tally>,
    /// How many open at a time.
    pub openings: Semaphore,
    /// How many have been admitted once.
    pub came: watch::Sender<u64>,
}

/// One client.
pub struct Honest {
    /// What it shares with the others.
    pub crowd: Arc<Crowd>,
    /// Where it comes from.
    pub from: Ipv4Addr,
    /// Tells its requests from those of others.
    pub number: u64,
}

impl Honest {
    /// Stays connected until all are to leave.
    pub async fn run(self, mut stage: watch::Receiver<Stage>) {
        let tally = &self.crowd.tally.honest;
        let mut came = false;
        let mut back_off = BACK_OFF[0];
        loop {
            let answer = tokio::select! {
                () = reached(&mut stage, Stage::Leaving) => return,
                answer = self.knock() => answer,
            };
            if let Answer::Welcome(socket) = answer {
                if !came {
                    self.crowd.came.send_modify(|clients| *clients += 1);
                    came = true;
                }
                match self.stay(socket, &mut stage).await {
                    Ok(()) => return,
                    Err(_) => tally.lost.one(),
                }
                back_off = BACK_OFF[0];
            }
            tokio::select! {
                () = reached(&mut stage, Stage::Leaving) => return,
                () = sleep(back_off) => back_off = (2 * back_off).min(BACK_OFF[1]),
            }
        }
    }

    async fn knock(&self) -> Answer {
        let crowd = &*self.crowd;
        let _turn = crowd.openings.acquire().await;
        crowd
            .dialer
            .knock(self.from, Leave::Orderly, &crowd.tally.honest, &crowd.tally)
            .await
    }

    /// Sends requests until all are to leave.
    ///
    /// # Errors
    ///
    /// If the connection ends before.
    async fn stay(
        &self,
        mut socket: TcpStream,
        stage: &mut watch::Receiver<Stage>,
    ) -> io::Result<()> {
        // So that not all ask at the same moment.
        let mut pause = PAUSE * (self.number % 64) as u32 / 64;
        for round in 0.. {
            tokio::select! {
                () = reached(stage, Stage::Leaving) => break,
                () = sleep(pause) => pause = PAUSE,
            }
            timeout(PATIENCE, self.request(&mut socket, round)).await??;
        }
        Ok(())
    }

    /// Sends a request and reads it back.
    ///
    /// # Errors
    ///
    /// If the connection ends, or something else comes back.
    async fn request(&self, socket: &mut TcpStream, round: u64) -> io::Result<()> {
        let tally = &self.crowd.tally.honest;
        // Of all lengths up to the longest, in no order.
        let length = (self.number * 7919 + round * 104_729) % (REQUEST - wire::HEADER as u64);
        let frame = wire::frame(length as u32, (self.number + round) as u8);

        let begin = Instant::now();
        socket.write_all(&frame).await?;
        let answer = socket.read_u32().await?;
        if answer == wire::BUSY {
            tally.busy.one();
            return Ok(());
        }
        if u64::from(answer) != length || wire::read_frame(socket, answer).await? != frame {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "another echo"));
        }
        tally.round_trip.record(begin.elapsed());
        tally.echoes.one();
        Ok(())
    }
}
