//! Sloppy counters: each thread keeps room that it has charged and does not use.
//!
//! After "An Analysis of Linux Scalability to Many Cores" (Boyd-Wickizer and others, OSDI 2010). A
//! thread charges its own spare room first, and the central counter only for the rest. What it
//! releases becomes spare room; if that is much, half of it goes back.
//!
//! The central counter is never over the limit, and it counts spare room as used. So the gauge never
//! grants too much. It gives up the last of the room: it may refuse while other threads have spare
//! room, at most [`SPARE`] times their largest amount for each of them.

use std::sync::atomic::Ordering;

use crossbeam_utils::CachePadded;

use super::gauge::Gauge;
use super::word::Word;

/// The spare room of a thread is at most this many times the largest amount that it releases.
pub const SPARE: u64 = 8;

/// A sloppy counter with a limit.
pub struct Sloppy<W> {
    limit: u64,
    /// What all threads use, and their spare room.
    central: CachePadded<W>,
    /// The spare room of each thread. Only the thread itself writes it.
    spare: Box<[CachePadded<W>]>,
}

impl<W: Word> Gauge for Sloppy<W> {
    fn new(limit: u64, threads: usize) -> Self {
        Self {
            limit,
            central: CachePadded::default(),
            spare: (0..threads).map(|_| CachePadded::default()).collect(),
        }
    }

    #[inline]
    fn charge(&self, thread: usize, amount: u64) -> Option<usize> {
        let own = &self.spare[thread];
        // Relaxed: no other thread writes it, and the central counter alone decides.
        let spare = own.load(Ordering::Relaxed);
        if spare < amount {
            self.charge_central(amount - spare)?;
        }
        own.store(spare.saturating_sub(amount), Ordering::Relaxed);
        Some(thread)
    }

    #[inline]
    fn release(&self, thread: usize, _place: usize, amount: u64) {
        let own = &self.spare[thread];
        // Relaxed: as in `charge`.
        let spare = own.load(Ordering::Relaxed) + amount;
        let most = amount * SPARE;
        if spare > most {
            own.store(most / 2, Ordering::Relaxed);
            self.central.fetch_sub(spare - most / 2, Ordering::AcqRel);
        } else {
            own.store(spare, Ordering::Relaxed);
        }
    }

    fn used(&self) -> u64 {
        let spare = self.spare.iter().map(|spare| spare.load(Ordering::Acquire));
        let spare: u64 = spare.sum();
        self.central.load(Ordering::Acquire).saturating_sub(spare)
    }

    fn name_words(&self, scope: &str) {
        W::name(&*self.central, scope);
        W::name(&*self.spare, &format!("spare of {scope}"));
    }
}

impl<W: Word> Sloppy<W> {
    fn charge_central(&self, amount: u64) -> Option<()> {
        let mut charged = self.central.load(Ordering::Acquire);
        loop {
            let after = charged
                .checked_add(amount)
                .filter(|&after| after <= self.limit)?;
            match self.central.compare_exchange(charged, after) {
                Ok(_) => return Some(()),
                Err(now) => charged = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU64;

    use super::*;

    const LIMIT: u64 = 1000;

    fn gauge(threads: usize) -> Sloppy<AtomicU64> {
        Sloppy::new(LIMIT, threads)
    }

    #[test]
    fn the_spare_room_of_another_thread_is_not_seen_and_is_bounded() {
        let gauge = gauge(2);
        // Thread 0 releases much more than it may keep.
        (0..30).for_each(|_| assert!(gauge.charge(0, 10).is_some()));
        (0..30).for_each(|_| gauge.release(0, 0, 10));
        assert_eq!(gauge.used(), 0);
        let granted = (0..).take_while(|_| gauge.charge(1, 1).is_some()).count() as u64;
        let missed = LIMIT - granted;
        assert!(missed > 0 && missed <= SPARE * 10, "{missed}");
        // It is still there for its owner.
        assert!(gauge.charge(0, missed).is_some());
        assert_eq!(gauge.used(), LIMIT);
    }

    #[test]
    fn a_thread_adds_its_spare_room_to_what_is_left() {
        let gauge = gauge(1);
        assert!(gauge.charge(0, 10).is_some());
        gauge.release(0, 0, 10);
        assert!(gauge.charge(0, LIMIT).is_some());
        assert!(gauge.charge(0, 1).is_none());
    }
}
