//! Workers whose memory is apart: no two of them share a cache line by accident.

use std::any::Any;
use std::hint::black_box;
use std::sync::Barrier;
use std::thread;

use parking_lot::Mutex;

use crate::engine::{Unexpected, Worker};

/// The bytes between two values that different threads write. Some processors fetch lines in pairs.
const GAP: usize = 256;

/// Memory that nothing uses. A value that is allocated before it and one after it are usually apart: an allocator
/// may reuse free memory elsewhere.
pub fn gap() -> Box<dyn Any + Send> {
    black_box(Box::new([0_u8; GAP]))
}

/// A worker between two gaps. What other threads allocate later may be beside it.
struct Apart {
    worker: Box<dyn Worker>,
    _gaps: [Box<dyn Any + Send>; 2],
}

impl Worker for Apart {
    fn run(&mut self, operations: u64) -> Result<(), Unexpected> {
        self.worker.run(operations)
    }
}

/// Creates each worker on its own thread, as a server does. If one thread created them all, what they write
/// would be neighbours in memory, and the workers would contend for cache lines that they do not
/// share.
pub fn create_workers(
    threads: usize,
    make: impl Fn(usize) -> Result<Box<dyn Worker>, Unexpected> + Sync,
) -> Result<Vec<Box<dyn Worker>>, Unexpected> {
    let ready = Barrier::new(threads);
    let turn = Mutex::new(());
    let make_one = &|thread| -> Result<Box<dyn Worker>, Unexpected> {
        // Allocate once while all threads run: the allocator then gives each thread its own arena.
        drop(black_box(Box::new(thread)));
        ready.wait();
        let _turn = turn.lock();
        let before = gap();
        let worker = make(thread)?;
        Ok(Box::new(Apart {
            worker,
            _gaps: [before, gap()],
        }))
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
