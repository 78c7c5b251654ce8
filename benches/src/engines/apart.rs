//! Workers that are made on threads of their own, so that their memory is apart.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

use parking_lot::Mutex;

use crate::engine::{Unexpected, Worker};

/// Creates each worker on its own thread, as a server does. If one thread created them all, what they write
/// would be neighbours in memory, and the workers would contend for cache lines that they do not
/// share.
pub fn create_workers(
    threads: usize,
    make: impl Fn(usize) -> Result<Box<dyn Worker>, Unexpected> + Sync,
) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
    let ready = Barrier::new(threads);
    let turn = Mutex::new(());
    let make_one = &|thread| {
        // Allocate once while all threads run: the allocator then gives each thread its own arena.
        drop(black_box(Box::new(thread)));
        ready.wait();
        let _turn = turn.lock();
        make(thread)
    };
    thread::scope(|scope| {
        let started: Vec<_> = (0..threads)
            .map(|thread| scope.spawn(move || make_one(thread)))
            .collect();
        let made = started.into_iter().map(|thread| thread.join());
        made.map(|made| made.expect("making a worker does not panic"))
            .collect()
    })
}
