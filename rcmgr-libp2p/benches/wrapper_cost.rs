//! The cost of the wrappers: CPU time of two swarms that are connected, both under limits, beside two
//! without.
//!
//! - `stream`: a stream is opened, sends a byte, gets an answer of a byte, and is dropped. One is open
//!   at a time, or as many as `--at-a-time N` says.
//! - `bulk`: the dialer sends to the listener on one stream.
//!
//! Both swarms run on the one thread of this program, so its CPU time is that of both ends. Limits
//! are in force in every scope, and never reached. Each round has new swarms, bare and limited, that
//! take turns, because the speed of a machine varies. The output is the median of the rounds, the
//! median, smallest and largest ratio of limited to bare in the same round, the spread of the bare
//! figures, and whether the goal is met.
//!
//! Run it with `cargo bench -p rcmgr-libp2p --bench wrapper_cost -- [--rounds N] [--at-a-time N]
//! [NAME]...`. A `NAME` is a part of a workload's name, such as `tcp` or `bulk`. With `--instructions`
//! it runs streams under Valgrind instead, and the output is the number of instructions of a stream in
//! user space, which does not depend on the load of the machine.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io;
use std::process::Command;

use cpu_time::ProcessTime;
use libp2p::PeerId;
use libp2p::futures::{AsyncReadExt, AsyncWriteExt, StreamExt};
use libp2p::swarm::{Stream, SwarmEvent};
use rcmgr_atomic::{Limits, Manager};
use rcmgr_libp2p::Resources;
use support::streams::{self, Opener};
use support::{Kind, Running, limits, listen, plain_swarm, spawn, swarm, until_nothing_is_held};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const ROUNDS: usize = 11;
/// In how many turns the swarms do the work of a round.
const TURNS: usize = 20;
/// The size of a write of bulk data.
const CHUNK: usize = 64 << 10;
const MB: usize = 1_000_000;
/// If the middle half of the bare figures spreads more than this, the machine is noisy.
const MOST_SPREAD: f64 = 0.1;

const PROTOCOL: &str = "/ipfs/ping/1.0.0";
const SERVICE: &str = "libp2p.ping";
/// The first byte of a stream says what follows.
const ASK: u8 = b'?';
const BULK: u8 = b'#';

/// What the swarms of a round do.
#[derive(Clone, Copy, Debug)]
struct Workload {
    name: &'static str,
    kind: Kind,
    what: What,
    goal: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    Streams { at_a_time: usize },
    Bulk,
}

const WORKLOADS: [Workload; 4] = [
    Workload {
        name: "tcp stream",
        kind: Kind::Tcp,
        what: What::Streams { at_a_time: 1 },
        goal: 1.03,
    },
    Workload {
        name: "quic stream",
        kind: Kind::Quic,
        what: What::Streams { at_a_time: 1 },
        goal: 1.03,
    },
    Workload {
        name: "tcp bulk",
        kind: Kind::Tcp,
        what: What::Bulk,
        goal: 1.02,
    },
    Workload {
        name: "quic bulk",
        kind: Kind::Quic,
        what: What::Bulk,
        goal: 1.02,
    },
];

impl What {
    fn unit(self) -> &'static str {
        match self {
            Self::Streams { .. } => "us/stream",
            Self::Bulk => "us/MB",
        }
    }

    /// Streams or MB in a round.
    fn amount(self) -> usize {
        match self {
            Self::Streams { .. } => 8000,
            Self::Bulk => 160,
        }
    }
}

/// Two swarms that are connected.
struct Pair {
    opener: Opener,
    listener: PeerId,
    running: [Running; 2],
    answering: JoinSet<()>,
    // The dialer's and the listener's, if they are under limits.
    managers: Vec<Manager>,
}

impl Pair {
    async fn connect(kind: Kind, is_limited: bool) -> Self {
        let (listening, accepted, _) = streams::behaviour(&[PROTOCOL]);
        let (dialing, _, opener) = streams::behaviour(&[]);
        let mut managers = Vec::new();
        let [mut dialer, mut listener] = [dialing, listening].map(|behaviour| {
            if !is_limited {
                return plain_swarm(behaviour);
            }
            let manager = Manager::new(Limits::unlimited()).expect("valid limits");
            let swarm = swarm(&Resources::new(manager.clone()), behaviour);
            managers.push(manager);
            swarm
        });
        let peers = [*dialer.local_peer_id(), *listener.local_peer_id()];
        for manager in &managers {
            let limits = limits::in_every_scope(&peers, &[PROTOCOL], &[SERVICE]);
            manager.set_limits(limits);
        }
        let address = listen(&mut listener, kind).await;
        let listener = spawn(listener);
        dialer.dial(address).expect("a valid address");
        loop {
            match dialer.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => break,
                SwarmEvent::OutgoingConnectionError { error, .. } => panic!("{error}"),
                _ => {}
            }
        }
        let mut answering = JoinSet::new();
        answering.spawn(answer_all(accepted));
        Self {
            opener,
            listener: peers[1],
            running: [spawn(dialer), listener],
            answering,
            managers,
        }
    }

    async fn end(mut self) {
        drop(self.running);
        self.answering.shutdown().await;
        for manager in &self.managers {
            until_nothing_is_held(manager).await;
        }
    }

    async fn work(&self, what: What, amount: usize) {
        match what {
            What::Streams { at_a_time } => {
                let mut asking = JoinSet::new();
                for _ in 0..at_a_time {
                    let (opener, listener) = (self.opener.clone(), self.listener);
                    let share = amount.div_ceil(at_a_time);
                    asking.spawn(async move {
                        for _ in 0..share {
                            let stream = opener.open(listener, &[PROTOCOL]).await;
                            ask(stream.expect("it is supported")).await?;
                        }
                        io::Result::Ok(())
                    });
                }
                while let Some(asked) = asking.join_next().await {
                    asked.expect("no panic").expect("the stream goes on");
                }
            }
            What::Bulk => {
                let stream = self.opener.open(self.listener, &[PROTOCOL]).await;
                let sent = send(stream.expect("it is supported"), amount * MB).await;
                sent.expect("the stream goes on");
            }
        }
    }

    /// CPU time of this work, in microseconds.
    fn measure(&self, runtime: &Runtime, what: What, amount: usize) -> f64 {
        let begin = ProcessTime::now();
        runtime.block_on(self.work(what, amount));
        begin.elapsed().as_secs_f64() * 1e6
    }
}

/// Sends a byte, and waits for the answer.
async fn ask(mut stream: Stream) -> io::Result<()> {
    stream.write_all(&[ASK]).await?;
    stream.flush().await?;
    stream.read_exact(&mut [0]).await
}

/// Sends so many bytes, and waits until they have arrived.
async fn send(mut stream: Stream, amount: usize) -> io::Result<()> {
    stream.write_all(&[BULK]).await?;
    let chunk = vec![7; CHUNK];
    let mut left = amount;
    while left > 0 {
        let sent = left.min(CHUNK);
        stream.write_all(&chunk[..sent]).await?;
        left -= sent;
    }
    stream.close().await?;
    let mut arrived = [0; 8];
    stream.read_exact(&mut arrived).await?;
    assert_eq!(u64::from_be_bytes(arrived), amount as u64);
    Ok(())
}

/// The listener: answers each stream.
async fn answer_all(mut accepted: mpsc::UnboundedReceiver<Stream>) {
    let mut answering = JoinSet::new();
    loop {
        tokio::select! {
            Some(stream) = accepted.recv() => {
                answering.spawn(answer(stream));
            }
            Some(answered) = answering.join_next() => {
                answered.expect("no panic").expect("the stream goes on");
            }
            else => return,
        }
    }
}

async fn answer(mut stream: Stream) -> io::Result<()> {
    let mut first = [0];
    stream.read_exact(&mut first).await?;
    if first == [ASK] {
        stream.write_all(&first).await?;
        return stream.close().await;
    }
    let mut buffer = vec![0; CHUNK];
    let mut arrived = 0;
    loop {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => arrived += read as u64,
        }
    }
    stream.write_all(&arrived.to_be_bytes()).await?;
    stream.close().await
}

/// The figures of a workload: bare and limited of each round.
struct Figures(Vec<[f64; 2]>);

impl Figures {
    fn measure(runtime: &Runtime, workload: Workload, rounds: usize, amount: usize) -> Self {
        let turns = TURNS.min(amount);
        let in_turn = amount / turns;
        let rounds = (0..rounds).map(|round| {
            // New swarms in each round, because the layout of memory has an effect too.
            let pairs = [false, true].map(|is_limited| {
                let pair = runtime.block_on(Pair::connect(workload.kind, is_limited));
                pair.measure(runtime, workload.what, in_turn);
                pair
            });
            let mut took = [0.0; 2];
            for turn in 0..2 * turns {
                // Neither of them is always the first: 0, 1, 1, 0, and the other way around in the
                // next round.
                let which = (turn.div_ceil(2) + round) % 2;
                took[which] += pairs[which].measure(runtime, workload.what, in_turn);
            }
            for pair in pairs {
                runtime.block_on(pair.end());
            }
            took.map(|took| took / (turns * in_turn) as f64)
        });
        Self(rounds.collect())
    }

    fn print(&self, workload: Workload) {
        let column = |which: usize| sorted(self.0.iter().map(|figures| figures[which]));
        let ratios = sorted(self.0.iter().map(|[bare, limited]| limited / bare));
        let (bare, limited) = (column(0), column(1));
        let (low, high) = middle_half(&bare);
        let spread = (high - low) / median(&bare);
        let (low, high) = middle_half(&ratios);
        let verdict = if high <= workload.goal {
            "met"
        } else if low > workload.goal {
            "missed"
        } else {
            "the machine is too noisy to tell"
        };
        let noisy = match spread > MOST_SPREAD {
            true => " (on a noisy machine)",
            false => "",
        };
        println!(
            "{:12} bare {:8.2}, limited {:8.2} {}; ratio {:.3} ({:.3} to {:.3}, middle half {low:.3} \
             to {high:.3}), spread of bare {:.0} %; at most {:.2}: {verdict}{noisy}",
            workload.name,
            median(&bare),
            median(&limited),
            workload.what.unit(),
            median(&ratios),
            ratios[0],
            ratios[ratios.len() - 1],
            100.0 * spread,
            workload.goal,
        );
    }
}

fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> f64 {
    sorted[sorted.len() / 2]
}

/// The lowest and the highest value without a quarter at each end.
fn middle_half(sorted: &[f64]) -> (f64, f64) {
    let skipped = sorted.len() / 4;
    (sorted[skipped], sorted[sorted.len() - 1 - skipped])
}

/// Instructions of a stream, from two runs with different numbers of streams, so that the start and
/// the end do not count.
fn count_instructions(at_a_time: usize) -> io::Result<()> {
    for kind in Kind::ALL {
        let mut counts = [0.0; 2];
        for (count, is_limited) in counts.iter_mut().zip([false, true]) {
            let [fewer, more] = [500, 1500].map(|streams| {
                let mut command = Command::new("valgrind");
                command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
                command.arg(std::env::current_exe()?);
                command.args(["run", &format!("{kind:?}"), &is_limited.to_string()]);
                command.args([streams, at_a_time].map(|number| number.to_string()));
                let output = command.output()?;
                let report = String::from_utf8_lossy(&output.stderr);
                let collected = (report.lines()).find_map(|line| line.split_once("Collected : "));
                let count = collected.and_then(|(_, count)| count.trim().parse::<f64>().ok());
                // A run that failed has a count, too.
                let count = count.filter(|_| output.status.success());
                count.ok_or_else(|| io::Error::other(format!("no count: {report}")))
            });
            *count = (more? - fewer?) / 1000.0;
        }
        let [bare, limited] = counts;
        println!(
            "{kind:?} stream: bare {bare:.0}, limited {limited:.0} instructions, ratio {:.3}",
            limited / bare
        );
    }
    Ok(())
}

/// The process that is counted: streams and nothing else.
fn run_streams(runtime: &Runtime, [kind, is_limited, streams, at_a_time]: [&str; 4]) {
    let kind = Kind::ALL
        .into_iter()
        .find(|each| format!("{each:?}") == kind);
    let pair = Pair::connect(kind.expect("a transport"), is_limited == "true");
    let pair = runtime.block_on(pair);
    let [streams, at_a_time] = [streams, at_a_time].map(|number| number.parse().expect("a number"));
    runtime.block_on(pair.work(What::Streams { at_a_time }, streams));
    runtime.block_on(pair.end());
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["run", rest @ ..] = &*arguments {
        run_streams(&runtime, rest.try_into().map_err(io::Error::other)?);
        return Ok(());
    }
    let number = |option| {
        let at = arguments.iter().position(|&argument| argument == option)?;
        arguments.get(at + 1)?.parse().ok()
    };
    let at_a_time = number("--at-a-time").unwrap_or(1).max(1);
    if arguments.contains(&"--instructions") {
        return count_instructions(at_a_time);
    }
    // `cargo test` runs benches too: then only check that they work.
    let is_bench = arguments.contains(&"--bench");
    let rounds = number("--rounds").unwrap_or(if is_bench { ROUNDS } else { 1 });
    let names: Vec<&str> = (arguments.into_iter())
        .filter(|argument| !argument.starts_with('-') && argument.parse::<usize>().is_err())
        .collect();
    println!("{rounds} rounds; CPU time of both ends");
    for mut workload in WORKLOADS {
        if let What::Streams { at_a_time: set } = &mut workload.what {
            *set = at_a_time;
        }
        if names.is_empty() || names.iter().any(|name| workload.name.contains(name)) {
            let amount = if is_bench { workload.what.amount() } else { 2 };
            Figures::measure(&runtime, workload, rounds.max(1), amount).print(workload);
        }
    }
    Ok(())
}
