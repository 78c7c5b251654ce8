//! What the sink, the manager and the writer share: the queue, its state, and the counts.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use rcmgr_atomic::record::{Record, Recorder};

/// Records go into the queue.
pub const OPEN: u8 = 0;
/// A gap: the queue was full, and the writer has not emptied it since.
pub const GAP: u8 = 1;
/// Nothing is recorded any more.
pub const CLOSED: u8 = 2;
/// ... and nobody looks into the queue.
pub const FINISHED: u8 = 3;

/// What the sink, the manager and the writer share.
#[derive(Debug)]
pub struct Shared {
    pub queue: ArrayQueue<Queued>,
    pub state: AtomicU8,
    /// How many threads are noting that they were dropped.
    pub missing: AtomicUsize,
    /// Operations.
    pub written: AtomicU64,
    pub dropped: AtomicU64,
    pub started: Instant,
}

/// A record, and how many nanoseconds after the start it was.
#[derive(Debug)]
pub struct Queued {
    pub nanos: u64,
    pub record: Record,
}

impl Recorder for Shared {
    #[inline]
    fn record(&self, mut record: Record) {
        loop {
            // Acquire: pairs with the writer that ends a gap. Who sees that it has ended comes after
            // what was noted in it.
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
            // Full: a gap begins, unless the sink is closed.
            let (order, failed) = (Ordering::SeqCst, Ordering::SeqCst);
            let _ = self.state.compare_exchange(OPEN, GAP, order, failed);
        }
        // SeqCst, on both sides: either the writer finds what was pushed after it has said that it
        // is finished, or that is seen here.
        if self.state.load(Ordering::SeqCst) == FINISHED {
            self.discard();
        }
    }
}

impl Shared {
    /// An open sink whose queue has room for so many records.
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

    /// Notes what is dropped, and gives it back if the gap has ended.
    #[cold]
    fn miss(&self, record: Record) -> Result<(), Record> {
        // SeqCst: who ends the gap waits for those that are counted here, and whoever is counted
        // later sees that it has ended.
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

    /// What nobody will write is let go: it may hold the manager, which holds this.
    #[cold]
    fn discard(&self) {
        while self.queue.pop().is_some() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_takes_as_much_room_as_is_said() {
        // With what the queue adds to each.
        let room = size_of::<Queued>() + size_of::<usize>();
        assert!(room < 128, "{room}");
    }
}
