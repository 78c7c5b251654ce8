//! The workloads of the study on one thread, to find regressions: this engine, and the floor. Only
//! their ratio in one run can be compared between machines.
//!
//! For contention between threads, use `rcmgr study`.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, criterion_group, criterion_main};
use rcmgr_atomic::{Manager, Priority};
use rcmgr_study::{Case, SIZE, Sharing, Workload, engines, peer, plenty, stream};

fn workloads(c: &mut Criterion) {
    for &workload in Workload::ALL {
        let mut group = c.benchmark_group(workload.as_str());
        let case = Case::new(workload, Sharing::Path, 1);
        for engine in engines() {
            let is_wanted = ["floor", "atomic"].contains(&engine.name());
            if !is_wanted || engine.cannot(&case).is_some() {
                continue;
            }
            let setup = engine.set_up(&case).expect("there is room");
            let mut workers = setup.workers(&case).expect("there is room");
            group.bench_function(engine.name(), |b| {
                b.iter_custom(|operations| {
                    let start = Instant::now();
                    workers[0].run(operations).expect("it ends as it should");
                    start.elapsed()
                });
            });
            drop(workers);
            setup.end().expect("nothing is left");
        }
        group.finish();
    }
}

/// Cases that the study does not have.
fn memory_otherwise(c: &mut Criterion) {
    let manager = Manager::new(plenty()).expect("limits alone always work");
    let stream = stream(&manager, &peer(0)).expect("there is room");
    let mut group = c.benchmark_group("memory otherwise");
    group.bench_function("with a guard", |b| {
        b.iter(|| {
            let guard = stream.reserve(black_box(SIZE), Priority::Always);
            drop(guard.expect("there is room"));
        });
    });
    group.bench_function("refused by the system", |b| {
        let system = manager.view_system();
        let mut limit = system.limit();
        limit.memory = 100.into();
        system.set_limit(limit);
        b.iter(|| black_box(stream.reserve_memory(black_box(SIZE), Priority::Always)));
        system.reset_limit();
    });
    group.finish();
}

criterion_group!(benches, workloads, memory_otherwise);
criterion_main!(benches);
