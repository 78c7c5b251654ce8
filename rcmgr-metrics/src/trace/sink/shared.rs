//! The state that the sink, the manager and the writer share: the queue, its phase, and the
//! counters.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use rcmgr_atomic::record::{Record, Recorder};

/// Records go into the queue.
pub const OPEN: u8 = 0;
/// A gap: the queue was full, and the writer has not drained it since.
pub const GAP: u8 = 1;
/// No more records are accepted.
pub const CLOSED: u8 = 2;
/// Closed, and the writer no longer reads the queue.
pub const FINISHED: u8 = 3;

/// The shared state.
#[derive(Debug)]
pub struct Shared {
    pub queue: ArrayQueue<Queued>,
    pub state: AtomicU8,
    /// The number of threads that are noting a dropped operation.
    pub missing: AtomicUsize,
    /// The number of operations.
    pub written: AtomicU64,
    pub dropped: AtomicU64,
    pub started: Instant,
}

/// A record, and its time in nanoseconds after the start.
#[derive(Debug)]
pub struct Queued {
    pub nanos: u64,
    pub record: Record,
}

impl Recorder for Shared {
    #[inline]
    fn record(&self, mut record: Record) {
        loop {
            // Acquire: pairs with the writer's exchange that ends a gap. A thread that sees the end
            // of the gap happens after all that was noted in it.
            let state = self.state.load(Ordering::Acquire);
            if state >= CLOSED {
                return;
            }
            if state == GAP {
                match self.miss(record) {
                    Ok(()) => return,
                    Err(back) => record = back,
                }
                continue;
            }
            let nanos = self.started.elapsed().as_nanos() as u64;
            match self.queue.push(Queued { nanos, record }) {
                Ok(()) => break,
                Err(back) => record = back.record,
            }
            // The queue is full: start a gap, unless the sink is closed.
            let (order, failed) = (Ordering::SeqCst, Ordering::SeqCst);
            let _ = self.state.compare_exchange(OPEN, GAP, order, failed);
        }
        // SeqCst, on both sides: either the writer finds this record after it has set `FINISHED`,
        // or this load sees `FINISHED`.
        if self.state.load(Ordering::SeqCst) == FINISHED {
            self.discard();
        }
    }
}

impl Shared {
    /// The state of an open sink, with a queue of this capacity.
    pub fn new(records: usize) -> Self {
        Self {
            queue: ArrayQueue::new(records),
            state: AtomicU8::new(OPEN),
            missing: AtomicUsize::new(0),
            written: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            started: Instant::now(),
        }
    }

    /// Notes a dropped record; returns it if the gap has ended.
    #[cold]
    fn miss(&self, record: Record) -> Result<(), Record> {
        // SeqCst: the writer ends the gap and then waits for the threads counted here. A thread
        // that is counted later sees that the gap has ended.
        self.missing.fetch_add(1, Ordering::SeqCst);
        let is_in_gap = self.state.load(Ordering::SeqCst) == GAP;
        let missed = match is_in_gap {
            true => {
                record.miss();
                self.dropped.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            false => Err(record),
        };
        self.missing.fetch_sub(1, Ordering::SeqCst);
        missed
    }

    /// Drops the records that will never be written. A record may refer to the manager, which
    /// refers to this.
    #[cold]
    fn discard(&self) {
        while self.queue.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_at_most_the_documented_memory() {
        // Include the overhead of the queue.
        let room = size_of::<Queued>() + size_of::<usize>();
        assert!(room < 128, "{room}");
    }
}
