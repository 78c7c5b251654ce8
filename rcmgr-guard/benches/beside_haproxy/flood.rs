//! Honest clients while one address floods the proxy, and without the flood. The source of the flood is
//! at its limit all the time, so that each of its connections is refused.
//!
//! A run without flood may take many times as long as the next one, because of other work on the
//! machine. So the runs alternate, and only medians are compared.

use std::error::Error;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{interval, timeout};

use crate::figures::{median, sorted};
use crate::load::{Sources, connect, echo, refusal};

const HONEST: usize = 200;
/// The time between two honest clients.
const HONEST_EVERY: Duration = Duration::from_millis(10);
/// A client without an answer after this time has failed. It counts as if it had waited so long.
const LONGEST: Duration = Duration::from_secs(5);
/// The connections of the flood, in groups: 3,000 a second.
const GROUP: usize = 3;
const GROUP_EVERY: Duration = Duration::from_millis(1);
/// The flood starts so long before the honest clients.
const AHEAD: Duration = Duration::from_millis(100);
/// The 99th percentile may be so many times as long under flood.
const GOAL: f64 = 2.0;
/// If it is as long as this without flood, the machine is too noisy for a verdict.
const QUIET: Duration = Duration::from_millis(5);

/// The clients of one run.
struct Run {
    /// The 99th percentile, from the start of the connect to the answer.
    p99: Duration,
    served: usize,
}

/// What all runs gave.
pub struct Figures {
    proxy: String,
    /// With the flood, and without it.
    pairs: Vec<(Run, Run)>,
    /// Refusals of the flood a second, in each run with it.
    refusals: Vec<f64>,
}

/// Runs each pair in turns. The source of the flood must be at its limit.
pub fn measure(
    proxy: &dyn fmt::Display,
    to: SocketAddr,
    runtime: &Runtime,
    pairs: usize,
) -> Result<Figures, Box<dyn Error>> {
    // To warm up.
    without_flood(to, runtime)?;
    let mut figures = Figures {
        proxy: proxy.to_string(),
        pairs: Vec::new(),
        refusals: Vec::new(),
    };
    for pair in 0..pairs {
        // The first of a pair is the second of the next one.
        let before = match pair % 2 {
            0 => Some(without_flood(to, runtime)?),
            _ => None,
        };
        let (with, refusals) = with_flood(to, runtime)?;
        let without = match before {
            Some(run) => run,
            None => without_flood(to, runtime)?,
        };
        figures.pairs.push((with, without));
        figures.refusals.push(refusals);
    }
    Ok(figures)
}

fn without_flood(to: SocketAddr, runtime: &Runtime) -> io::Result<Run> {
    runtime.block_on(honest(to))
}

/// The run, and the refusals a second.
fn with_flood(to: SocketAddr, runtime: &Runtime) -> io::Result<(Run, f64)> {
    let (stop, stopped) = oneshot::channel();
    // In a thread of its own: honest clients must not wait until the flood has sent its connections.
    let flooding = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(flood(to, stopped))
    });
    thread::sleep(AHEAD);
    let run = runtime.block_on(honest(to));
    // An error: the flood has ended by itself, and its own error says why.
    let _ = stop.send(());
    let flooded = flooding.join();
    let refusals = flooded.map_err(|_| io::Error::other("the flood has panicked"))??;
    Ok((run?, refusals))
}

/// Clients that connect at fixed times, however long the others take.
async fn honest(to: SocketAddr) -> io::Result<Run> {
    let mut due = interval(HONEST_EVERY);
    let mut clients = JoinSet::new();
    for number in 0..HONEST {
        due.tick().await;
        clients.spawn(async move {
            let start = Instant::now();
            let visit = async {
                let mut client = connect(Sources::Shared.of(number), to).await?;
                echo(&mut client, 16).await
            };
            match timeout(LONGEST, visit).await {
                Ok(Ok(())) => Some(start.elapsed()),
                Ok(Err(_)) | Err(_) => None,
            }
        });
    }
    let mut times = Vec::with_capacity(HONEST);
    let mut served = 0;
    while let Some(client) = clients.join_next().await {
        let time = client.map_err(io::Error::other)?;
        served += usize::from(time.is_some());
        times.push(time.unwrap_or(LONGEST));
    }
    times.sort_unstable();
    let p99 = times[(HONEST * 99).div_ceil(100) - 1];
    Ok(Run { p99, served })
}

/// Connects until it is stopped, and returns the refusals a second.
async fn flood(to: SocketAddr, mut stopped: oneshot::Receiver<()>) -> io::Result<f64> {
    let start = Instant::now();
    let mut due = interval(GROUP_EVERY);
    let mut clients = JoinSet::new();
    let mut refused = 0;
    loop {
        tokio::select! {
            _ = due.tick() => {}
            _ = &mut stopped => break,
        }
        for _ in 0..GROUP {
            clients.spawn(refusal(to));
        }
        while let Some(client) = clients.try_join_next() {
            client.map_err(io::Error::other)??;
            refused += 1;
        }
    }
    Ok(f64::from(refused) / start.elapsed().as_secs_f64())
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (with, without): (Vec<_>, Vec<_>) = self.pairs.iter().map(|(a, b)| (a, b)).unzip();
        let (with, without) = (Side::of(&with), Side::of(&without));
        let ratio = median(&with.p99) / median(&without.p99);
        let verdict = if median(&without.p99) >= QUIET.as_secs_f64() {
            "the machine is too noisy"
        } else if ratio <= GOAL && with.served == with.all {
            "met"
        } else {
            "missed"
        };
        writeln!(f, "honest clients of {}", self.proxy)?;
        writeln!(f, "  without a flood  {without}")?;
        writeln!(f, "  with a flood     {with}")?;
        write!(
            f,
            "  p99 is {ratio:.2} times as long under {:.0} refusals/s, goal {GOAL:.1}: {verdict}",
            median(&sorted(self.refusals.clone())),
        )
    }
}

/// All runs with the flood, or all without it.
struct Side {
    /// In seconds, the shortest first.
    p99: Vec<f64>,
    served: usize,
    all: usize,
}

impl Side {
    fn of(runs: &[&Run]) -> Self {
        Self {
            p99: sorted(runs.iter().map(|run| run.p99.as_secs_f64()).collect()),
            served: runs.iter().map(|run| run.served).sum(),
            all: HONEST * runs.len(),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "p99 {:.2} ms ({:.2} to {:.2}), {} of {} served",
            1e3 * median(&self.p99),
            1e3 * self.p99[0],
            1e3 * self.p99[self.p99.len() - 1],
            self.served,
            self.all,
        )
    }
}
