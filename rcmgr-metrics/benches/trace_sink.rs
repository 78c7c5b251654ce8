//! The cost of a trace for the reserving thread: reserve and release 4 KiB on a stream with
//! protocol and service, seven scopes, with and without a sink.
//!
//! `off` is a manager with its defaults, `off-exact` one without prepaid credit, as with a sink.
//! `on` has the sink, `gap` a sink whose queue is always full. The work of the writer is not
//! measured: `on` waits for it between batches.

use std::hint::black_box;
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use rcmgr_atomic::{Builder, Direction, KIB, Limits, Manager, Priority, Stream};
use rcmgr_metrics::trace::TraceSink;

/// The number of pairs between two waits. Their records fit into the queue.
const BATCH: u64 = 1 << 14;

fn stream(builder: Builder) -> Stream {
    let manager: Manager = builder
        .limits(Limits::unlimited())
        .build()
        .expect("the configuration works");
    let peer = "192.0.2.7".parse().expect("a peer");
    let stream =
        manager.open_stream_with(&peer, Direction::Inbound, "/ipfs/kad/1.0.0", Some("dht"));
    stream.expect("there are no limits")
}

fn pairs(stream: &Stream, count: u64) -> Duration {
    let begin = Instant::now();
    for _ in 0..count {
        let reserved = stream.reserve_memory(black_box(4 * KIB), Priority::Always);
        reserved.expect("there are no limits");
        stream.release_memory(4 * KIB);
    }
    begin.elapsed()
}

fn reserve_and_release(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let sink = |queue| {
        let path = folder.path().join(format!("{queue}.json.gz"));
        let sink = TraceSink::builder(path).queue(queue).start();
        sink.expect("the folder can be written to")
    };
    let off = stream(Manager::builder());
    let exact = stream(Manager::builder().prepaid_credit(0, 0));
    let wide = sink(1 << 16);
    let on = stream(Manager::builder().recorder(wide.recorder()));
    let narrow = sink(1);
    let gap = stream(Manager::builder().recorder(narrow.recorder()));

    let mut group = c.benchmark_group("reserve and release");
    for (name, stream) in [("off", &off), ("off-exact", &exact), ("gap", &gap)] {
        group.bench_function(name, |b| b.iter_custom(|count| pairs(stream, count)));
    }
    let mut told = wide.written();
    group.bench_function("on", |b| {
        b.iter_custom(|count| {
            let mut taken = Duration::ZERO;
            let mut left = count;
            while left > 0 {
                let batch = left.min(BATCH);
                taken += pairs(&on, batch);
                left -= batch;
                told += 2 * batch;
                while wide.written() + wide.dropped() < told {
                    thread::sleep(Duration::from_millis(1));
                }
            }
            taken
        });
    });
    group.finish();
    assert_eq!(wide.dropped(), 0, "what was measured was written");
}

criterion_group!(benches, reserve_and_release);
criterion_main!(benches);
