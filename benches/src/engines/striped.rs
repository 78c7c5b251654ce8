//! A striped adder, after Java's `LongAdder`: a counter in several cells, whose number grows where
//! threads meet. The limit is checked by the sum of the cells.
//!
//! A thread adds to its cell first, then reads the sum, and takes its amount back if the sum is over
//! the limit. This never grants too much: of all charges that are held at one moment, the last one
//! that was added has read the sum of all of them.
//!
//! What it gives up: an amount that is taken back a moment later is in the sums of other threads, and
//! so is one that moves from a cell that was read to one that was not. So threads that ask at the same
//! time for the last of the room may refuse each other. The room that is missed is at most what other
//! threads charge during the call.

use std::sync::atomic::Ordering;

use crossbeam_utils::CachePadded;

use super::gauge::Gauge;
use super::word::Word;

/// A striped adder with a limit.
pub struct Striped<W> {
    limit: u64,
    /// The number of cells in use: a power of two.
    in_use: CachePadded<W>,
    /// As many cells as threads, rounded up to a power of two.
    cells: Box<[CachePadded<W>]>,
}

// SeqCst: the proof above needs one order of all additions, of all growth, and of all loads of a sum. A
// thread that adds to a new cell after another one has read the number of cells must see what that one
// has added before.

impl<W: Word> Gauge for Striped<W> {
    fn new(limit: u64, threads: usize) -> Self {
        let cells = threads.next_power_of_two();
        let in_use: CachePadded<W> = CachePadded::default();
        in_use.store(1, Ordering::SeqCst);
        Self {
            limit,
            in_use,
            cells: (0..cells).map(|_| CachePadded::default()).collect(),
        }
    }

    #[inline]
    fn charge(&self, thread: usize, amount: u64) -> Option<usize> {
        let place = self.add(thread, amount);
        if self.used() > self.limit {
            self.release(thread, place, amount);
            return None;
        }
        Some(place)
    }

    #[inline]
    fn release(&self, _thread: usize, place: usize, amount: u64) {
        // From the cell that it was added to: otherwise a sum that has read only one of both would be
        // too low.
        self.cells[place].fetch_sub(amount, Ordering::SeqCst);
    }

    #[inline]
    fn used(&self) -> u64 {
        let in_use = self.in_use.load(Ordering::SeqCst) as usize;
        let cells = &self.cells[..in_use];
        cells.iter().map(|cell| cell.load(Ordering::SeqCst)).sum()
    }

    fn name_words(&self, scope: &str) {
        W::name(&*self.in_use, &format!("number of cells of {scope}"));
        W::name(&*self.cells, &format!("cells of {scope}"));
    }
}

impl<W: Word> Striped<W> {
    /// Adds to a cell, and returns its index.
    #[inline]
    fn add(&self, thread: usize, amount: u64) -> usize {
        let in_use = self.in_use.load(Ordering::SeqCst);
        let place = thread & (in_use as usize - 1);
        let cell = &self.cells[place];
        // Relaxed: a stale value only makes the exchange fail.
        let before = cell.load(Ordering::Relaxed);
        match cell.compare_exchange(before, before + amount) {
            Ok(_) => place,
            Err(_) => self.add_after_meeting(thread, in_use, amount),
        }
    }

    /// Another thread has changed the cell meanwhile: doubles the number of cells, if there are more.
    #[cold]
    fn add_after_meeting(&self, thread: usize, in_use: u64, amount: u64) -> usize {
        if (in_use as usize) < self.cells.len() {
            // If it fails, another thread has done the same.
            let _ = self.in_use.compare_exchange(in_use, in_use * 2);
        }
        let in_use = self.in_use.load(Ordering::SeqCst) as usize;
        let place = thread & (in_use - 1);
        self.cells[place].fetch_add(amount, Ordering::SeqCst);
        place
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    #[test]
    fn cells_are_added_where_threads_meet_and_old_charges_stay_where_they_are() {
        let gauge = Striped::<AtomicU64>::new(100, 3);
        assert_eq!(gauge.charge(2, 10), Some(0));
        // As after a failed compare-and-swap. The number of cells doubles up to four.
        assert_eq!(gauge.add_after_meeting(2, 1, 1), 0, "of two cells");
        assert_eq!(gauge.add_after_meeting(2, 2, 1), 2, "of four");
        assert_eq!(gauge.add_after_meeting(2, 4, 1), 2, "of four at most");
        assert_eq!(gauge.used(), 13);
        gauge.release(2, 0, 10);
        assert_eq!(gauge.used(), 3);
        assert_eq!(gauge.charge(1, 97), Some(1));
        assert_eq!(gauge.charge(0, 1), None);
        assert_eq!(gauge.used(), 100);
    }
}
