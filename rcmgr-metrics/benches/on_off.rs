//! The cost of observation on the hot path: one thread for each core reserves and releases memory,
//! with and without an observer.
//!
//! Rounds with and without observer alternate in pairs, because the speed of a machine varies. In
//! an observed round, the Prometheus collector is registered and scraped once, and the refusal log
//! looks every second. The result is the CPU time of all threads of the process, including the
//! observer's, per operation; other load of the machine is not in it. The output is both medians
//! and the median of the differences of pairs, which should be below 2 %.
//!
//! A round takes 15 seconds, the time between two scrapes. `RCMGR_ON_OFF_SECONDS` sets another
//! time, and `RCMGR_ON_OFF_PAIRS` the number of pairs, by default 6.

use std::env;
use std::hint::black_box;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, mpsc};
use std::thread;
use std::time::Duration;

use cpu_time::ProcessTime;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcmgr_atomic::{
    Connection, Direction, Endpoint, KIB, Limit, Limits, Manager, PeerId, Priority, Stream, UsesFd,
};
use rcmgr_metrics::{Observer, RefusalLog};

/// The number of other connected peers.
const PEERS: u64 = 10_000;
/// The number of operations between two checks for the end of the round.
const BATCH: u64 = 1000;

/// Finite limits that are checked but never reached.
fn limits() -> Limits {
    let limit = Limit::all((1 << 40).into());
    Limits {
        system: limit,
        transient: limit,
        service_default: Some(limit),
        service_peer_default: limit,
        protocol_default: limit,
        protocol_peer_default: limit,
        peer_default: limit,
        conn: limit,
        stream: limit,
        ..Limits::unlimited()
    }
}

fn peer(number: u64) -> PeerId {
    PeerId::from_bytes(&number.to_be_bytes()).expect("eight bytes are a peer id")
}

fn connection(manager: &Manager, number: u64) -> Connection {
    let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let connection = opened.expect("there is room");
    connection.set_peer(&peer(number)).expect("there is room");
    connection
}

/// A stream that is charged on seven scopes.
fn stream(manager: &Manager, number: u64) -> Stream {
    let opened = manager.open_stream(&peer(number), Direction::Inbound);
    let stream = opened.expect("there is room");
    let set = stream.set_protocol("/ipfs/kad/1.0.0");
    set.and_then(|()| stream.set_service("dht"))
        .expect("there is room");
    stream
}

/// The CPU time of the process for one reservation and its release, in nanoseconds.
fn round(manager: &Manager, threads: u64, length: Duration) -> f64 {
    let over = AtomicBool::new(false);
    let ready = Barrier::new(threads as usize + 1);
    let work = |number| {
        let stream = stream(manager, number);
        ready.wait();
        let mut pairs = 0_u64;
        while !over.load(Ordering::Relaxed) {
            for _ in 0..BATCH {
                let reserved = stream.reserve_memory(black_box(4 * KIB), Priority::Always);
                reserved.expect("there is room");
                stream.release_memory(black_box(4 * KIB));
            }
            pairs += BATCH;
        }
        pairs
    };
    thread::scope(|scope| {
        let spawn = |number| scope.spawn(move || work(number));
        let workers: Vec<_> = (0..threads).map(spawn).collect();
        ready.wait();
        let begin = ProcessTime::now();
        thread::sleep(length);
        over.store(true, Ordering::Relaxed);
        let pairs = workers.into_iter().map(|worker| worker.join());
        let pairs: u64 = pairs.map(|pairs| pairs.expect("no worker panics")).sum();
        begin.elapsed().as_nanos() as f64 / pairs as f64
    })
}

/// The same with an observer, which scrapes once in the middle.
fn observed_round(manager: &Manager, threads: u64, length: Duration) -> f64 {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Observer::new(manager.clone())));
    let log = RefusalLog::new(manager.clone()).start(Duration::from_secs(1));
    let (stop, stopped) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            let mut wait = length / 2;
            while stopped.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
                let mut text = String::new();
                encode(&mut text, &registry).expect("text takes all");
                assert!(text.contains("rcmgr_scopes{scope=\"peer\"} "));
                wait = length;
            }
        });
        let took = round(manager, threads, length);
        drop((stop, log.expect("there is a thread")));
        took
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        (values[middle - 1] + values[middle]) / 2.0
    }
}

fn setting<T: FromStr>(name: &str, default: T) -> T {
    let given = env::var(name).ok();
    let given = given.map(|given| {
        given
            .parse()
            .ok()
            .unwrap_or_else(|| panic!("{name}={given}?"))
    });
    given.unwrap_or(default)
}

fn main() {
    // `cargo test` runs benches too: then only check that they work.
    let (pairs, seconds) = match env::args().any(|argument| argument == "--bench") {
        true => (6, 15.0),
        false => (1, 0.1),
    };
    let pairs: usize = setting("RCMGR_ON_OFF_PAIRS", pairs).max(1);
    let seconds: f64 = setting("RCMGR_ON_OFF_SECONDS", seconds);
    let length = Duration::try_from_secs_f64(seconds).expect("a number of seconds");
    let threads = thread::available_parallelism().map_or(1, |cores| cores.get() as u64);

    let manager = Manager::new(limits()).expect("the limits work");
    let held: Vec<_> = (0..PEERS)
        .map(|number| connection(&manager, number))
        .collect();
    println!("{threads} threads, {PEERS} peers, {pairs} pairs of rounds of {seconds} s");
    round(&manager, threads, length.min(Duration::from_secs(1)));
    let (mut off, mut on) = (Vec::new(), Vec::new());
    for pair in 0..pairs {
        // Alternate the order.
        if pair % 2 == 0 {
            off.push(round(&manager, threads, length));
            on.push(observed_round(&manager, threads, length));
        } else {
            on.push(observed_round(&manager, threads, length));
            off.push(round(&manager, threads, length));
        }
        println!("off {:.1} ns, on {:.1} ns", off[pair], on[pair]);
    }
    let differences = off
        .iter()
        .zip(&on)
        .map(|(off, on)| 100.0 * (on / off - 1.0));
    let difference = median(differences.collect());
    let (off, on) = (median(off), median(on));
    println!(
        "medians: off {off:.1} ns, on {on:.1} ns; of the pairs, on takes {difference:+.2} % more"
    );
    drop(held);
}
