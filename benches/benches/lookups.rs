//! How long a lookup by name takes when there are many more threads than cores, so that a thread that holds the lock of a
//! shard may be preempted. It prints the distribution, most of all its tail.

use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rcmgr_atomic::{Limits, Manager, PeerId};

const THREADS: usize = 64;
const TIME: Duration = Duration::from_secs(5);

/// Looks one peer up from all threads for some seconds. The latencies are in nanoseconds.
fn latencies(manager: &Manager, peer: &PeerId) -> Histogram<u64> {
    let start = Barrier::new(THREADS);
    let mut all = histogram();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut own = histogram();
                    start.wait();
                    let end = Instant::now() + TIME;
                    let mut before = Instant::now();
                    while before < end {
                        drop(manager.view_peer(peer));
                        let now = Instant::now();
                        let latency = now.duration_since(before).as_nanos() as u64;
                        own.saturating_record(latency);
                        before = now;
                    }
                    own
                })
            })
            .collect();
        for thread in threads {
            let own = thread.join().expect("a lookup does not panic");
            all.add(own).expect("all histograms have one range");
        }
    });
    all
}

/// For latencies of up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are in order")
}

fn main() {
    let manager = Manager::new(Limits::unlimited()).expect("no limits work");
    let peer: PeerId = "tenant-7".parse().expect("it is short");
    // It stays in the map meanwhile.
    let _kept = manager.view_peer(&peer);
    let found = latencies(&manager, &peer);
    println!("{THREADS} threads look one peer up by its id:");
    println!("  lookups  {}", found.len());
    for quantile in [0.5, 0.99, 0.999, 0.9999] {
        let latency = Duration::from_nanos(found.value_at_quantile(quantile));
        println!("  p{:<7} {latency:?}", quantile * 100.0);
    }
    println!("  max      {:?}", Duration::from_nanos(found.max()));
}
