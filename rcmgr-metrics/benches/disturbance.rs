//! The effect of scrapes on a working thread with very many connected peers: its throughput with a
//! scrape every second, and every 15 seconds (the default of Prometheus), compared with no scrapes.
//! The loss should be at most 5 %.
//!
//! Windows with and without a scrape alternate, so that other load affects both alike. The output
//! is the median of their ratios: by the clock, which includes the CPU time of the scrape if no
//! core is free; and, on Linux, by the run time of the thread itself, which shows the slowdown of
//! its steps and is meaningful on a busy machine, too.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rcmgr_atomic::{Direction, KIB, Limits, Manager, PeerId, Priority, Stream};
use rcmgr_metrics::Observer;

const PEERS: u64 = 100_000;

fn peer(number: u64) -> PeerId {
    PeerId::from_bytes(&number.to_be_bytes()).expect("eight bytes are a peer id")
}

fn open(manager: &Manager, number: u64) -> Stream {
    let opened = manager.open_stream(&peer(number), Direction::Inbound);
    let stream = opened.expect("there are no limits");
    let set = stream.set_protocol("/ipfs/kad/1.0.0");
    set.and_then(|()| stream.set_service("dht"))
        .expect("there are no limits");
    stream
}

/// Measures the work of a thread in windows, with a scrape at the start or without.
struct Windows<'a> {
    manager: &'a Manager,
    steps: &'a AtomicU64,
    thread: PathBuf,
}

/// Steps per second: of the clock, and of the thread's run time.
#[derive(Clone, Copy)]
struct Speed([f64; 2]);

/// The run time of a thread so far, from Linux.
fn ran(thread: &Path) -> Option<Duration> {
    let told = fs::read_to_string(Path::new("/proc").join(thread).join("schedstat")).ok()?;
    let nanos = told.split(' ').next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

impl Windows<'_> {
    fn window(&self, length: Duration, scraped: Option<&Registry>) -> Speed {
        let (begin, ran_before) = (Instant::now(), ran(&self.thread));
        let before = self.steps.load(Ordering::Relaxed);
        if let Some(registry) = scraped {
            let mut text = String::new();
            encode(&mut text, registry).expect("text takes all");
        }
        thread::sleep(length.saturating_sub(begin.elapsed()));
        let steps = (self.steps.load(Ordering::Relaxed) - before) as f64;
        let ran = ran(&self.thread).zip(ran_before);
        let own = ran.map_or(f64::NAN, |(now, before)| (now - before).as_secs_f64());
        Speed([steps / begin.elapsed().as_secs_f64(), steps / own])
    }

    /// The throughput with scrapes in percent of that without: quartiles, for both kinds of time.
    fn compare(&self, length: Duration, rounds: usize) -> [[f64; 3]; 2] {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Observer::new(self.manager.clone())));
        self.window(length, Some(&registry));
        let both = |_| {
            let with = self.window(length, Some(&registry));
            (with, self.window(length, None))
        };
        let both: Vec<_> = (0..rounds).map(both).collect();
        [0, 1].map(|time| {
            let ratio = |(with, without): &(Speed, Speed)| with.0[time] / without.0[time] * 100.0;
            let mut ratios: Vec<f64> = both.iter().map(ratio).collect();
            ratios.sort_by(f64::total_cmp);
            [1, 2, 3].map(|quarter| ratios[rounds * quarter / 4])
        })
    }
}

/// Compares both while a thread runs steps.
fn measure(name: &str, manager: &Manager, step: impl Fn(u64) + Send) {
    let (steps, ended) = (AtomicU64::new(0), AtomicBool::new(false));
    let (tell, told) = mpsc::channel();
    thread::scope(|scope| {
        let (steps, ended) = (&steps, &ended);
        scope.spawn(move || {
            // Without this file the run time is unknown.
            let thread = fs::read_link("/proc/thread-self").unwrap_or_default();
            tell.send(thread).expect("it is waited for");
            // Access shared state rarely, so that mainly the steps are measured.
            while !ended.load(Ordering::Relaxed) {
                let begin = steps.load(Ordering::Relaxed);
                (begin..begin + 64).for_each(&step);
                steps.store(begin + 64, Ordering::Relaxed);
            }
        });
        let windows = Windows {
            manager,
            steps,
            thread: told.recv().expect("the thread has begun"),
        };
        for (every, rounds) in [(1, 20), (15, 4)] {
            let ratios = windows.compare(Duration::from_secs(every), rounds);
            for (time, [low, median, high]) in
                ["by the clock", "by its own time"].iter().zip(ratios)
            {
                println!(
                    "{name}: {median:.1} % of what is done unscraped, {time}, with a scrape every \
                     {every} s (quartiles {low:.1} and {high:.1} %)",
                );
            }
        }
        ended.store(true, Ordering::Relaxed);
    });
}

fn main() {
    let manager = Manager::new(Limits::unlimited()).expect("the limits work");
    let held: Vec<_> = (0..PEERS).map(|number| open(&manager, number)).collect();
    let one = &held[0];
    measure("reserve and release 4 KiB", &manager, |_| {
        let reserved = one.reserve(4 * KIB, Priority::Always);
        drop(reserved.expect("there are no limits"));
    });
    // Visit the peers in a scattered order.
    measure("open and close a stream", &manager, |step| {
        drop(open(&manager, step.wrapping_mul(7919) % PEERS));
    });
}
