//! Honest clients: each holds one connection as long as possible, requests an echo from time to
//! time, and backs off when it is refused. A request that gets no echo is tried again.

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

/// The pause between two requests of a client.
const PAUSE: Duration = Duration::from_millis(500);
/// The timeout of a request. The client then gives up the connection.
const PATIENCE: Duration = Duration::from_secs(5);
/// The back-off of a refused client: the first delay, and the longest.
const BACK_OFF: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(1)];

/// The state that all honest clients share.
pub struct Crowd {
    /// Connects to the server.
    pub dialer: Dialer,
    /// The counters.
    pub tally: Arc<Tally>,
    /// Bounds the connections that are being opened at a time.
    pub openings: Semaphore,
    /// The number of clients that were admitted at least once.
    pub came: watch::Sender<u64>,
}

/// An honest client.
pub struct Honest {
    /// The state shared with the others.
    pub crowd: Arc<Crowd>,
    /// The source address.
    pub from: Ipv4Addr,
    /// The number of the client, which makes its requests distinct.
    pub number: u64,
}

impl Honest {
    /// Stays connected until the stage [`Stage::Leaving`].
    pub async fn run(self, stage: watch::Receiver<Stage>) {
        let mut request = Request::default();
        self.connect_and_stay(&mut request, stage).await;
        if let Some(since) = request.since {
            self.crowd.tally.under_flood.waits.record(since.elapsed());
        }
    }

    async fn connect_and_stay(&self, request: &mut Request, mut stage: watch::Receiver<Stage>) {
        let tally = &self.crowd.tally.honest;
        let mut came = false;
        let mut back_off = BACK_OFF[0];
        loop {
            let answer = tokio::select! {
                () = reached(&mut stage, Stage::Leaving) => return,
                answer = self.greet() => answer,
            };
            if let Answer::Welcome(socket) = answer {
                if !came {
                    self.crowd.came.send_modify(|clients| *clients += 1);
                    came = true;
                }
                match self.stay(socket, request, &mut stage).await {
                    Ok(()) => return,
                    Err(_) => tally.lost.one(),
                }
                back_off = BACK_OFF[0];
            }
            self.failed(request, &stage);
            tokio::select! {
                () = reached(&mut stage, Stage::Leaving) => return,
                () = sleep(back_off) => back_off = (2 * back_off).min(BACK_OFF[1]),
            }
        }
    }

    async fn greet(&self) -> Answer {
        let crowd = &*self.crowd;
        let _turn = crowd.openings.acquire().await;
        crowd
            .dialer
            .greet(self.from, Leave::Orderly, &crowd.tally.honest, &crowd.tally)
            .await
    }

    /// Sends requests until the stage [`Stage::Leaving`].
    ///
    /// # Errors
    ///
    /// If the connection ends before.
    async fn stay(
        &self,
        mut socket: TcpStream,
        request: &mut Request,
        stage: &mut watch::Receiver<Stage>,
    ) -> io::Result<()> {
        // Spread the requests of the clients over time. A failed one is tried again at once.
        let mut pause = match request.since {
            Some(_) => Duration::ZERO,
            None => PAUSE * (self.number % 64) as u32 / 64,
        };
        loop {
            tokio::select! {
                () = reached(stage, Stage::Leaving) => return Ok(()),
                () = sleep(pause) => pause = PAUSE,
            }
            let since = *request.since.get_or_insert_with(Instant::now);
            match timeout(PATIENCE, self.request(&mut socket, request.round)).await?? {
                Echoed::Yes => {
                    if is_flooded(stage) {
                        let answers = &self.crowd.tally.under_flood;
                        answers.answered.one();
                        answers.waits.record(since.elapsed());
                    }
                    *request = Request {
                        round: request.round + 1,
                        since: None,
                    };
                }
                Echoed::Busy => self.failed(request, stage),
            }
        }
    }

    /// Counts a try that got no echo.
    fn failed(&self, request: &mut Request, stage: &watch::Receiver<Stage>) {
        request.since.get_or_insert_with(Instant::now);
        if is_flooded(stage) {
            self.crowd.tally.under_flood.unanswered.one();
        }
    }

    /// Sends a request and reads it back.
    ///
    /// # Errors
    ///
    /// If the connection ends, or the echo differs.
    async fn request(&self, socket: &mut TcpStream, round: u64) -> io::Result<Echoed> {
        let tally = &self.crowd.tally.honest;
        // Lengths vary up to the longest, in a pseudo-random order.
        let length = (self.number * 7919 + round * 104_729) % (REQUEST - wire::HEADER as u64);
        let frame = wire::frame(length as u32, (self.number + round) as u8);

        let begin = Instant::now();
        socket.write_all(&frame).await?;
        let answer = socket.read_u32().await?;
        if answer == wire::BUSY {
            tally.busy.one();
            return Ok(Echoed::Busy);
        }
        if u64::from(answer) != length || wire::read_frame(socket, answer).await? != frame {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the echo differs",
            ));
        }
        tally.round_trip.record(begin.elapsed());
        tally.echoes.one();
        Ok(Echoed::Yes)
    }
}

/// The request that a client wants an answer to.
#[derive(Debug, Default)]
struct Request {
    /// The number of answered requests before.
    round: u64,
    /// The time of the first try.
    since: Option<Instant>,
}

/// Whether a request was echoed.
enum Echoed {
    Yes,
    /// The server had no memory for it.
    Busy,
}

/// Whether the server is being flooded.
fn is_flooded(stage: &watch::Receiver<Stage>) -> bool {
    (Stage::OneHoards..Stage::Leaving).contains(&*stage.borrow())
}
