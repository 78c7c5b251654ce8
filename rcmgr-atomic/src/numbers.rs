use crate::sync::{AtomicU64, LANES, Ordering, lane};

/// The numbers of leaves, from 1; refused leaves have one, too.
///
/// Each lane takes them in blocks, so that threads do not fight for one counter. A thread by itself
/// counts without gaps.
#[derive(Debug)]
pub struct Numbers {
    lanes: [Lane; LANES],
    blocks: AtomicU64,
}

/// The number that was given last; a multiple of [`BLOCK`] where a new block is needed. x86-64
/// fetches cache lines in pairs, so it takes two.
#[derive(Debug)]
#[repr(align(128))]
struct Lane(AtomicU64);

const BLOCK: u64 = 64;

impl Numbers {
    pub fn new() -> Self {
        Self {
            lanes: std::array::from_fn(|_| Lane(AtomicU64::new(0))),
            blocks: AtomicU64::new(0),
        }
    }

    /// One that nobody else has.
    // Relaxed: numbers have to be different, and order nothing.
    #[inline]
    pub fn next(&self) -> u64 {
        let lane = &self.lanes[lane()].0;
        let mut last = lane.load(Ordering::Relaxed);
        loop {
            if last.is_multiple_of(BLOCK) {
                return self.next_of_new_block(lane, last);
            }
            let next = last + 1;
            match lane.compare_exchange_weak(last, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return next,
                Err(now) => last = now,
            }
        }
    }

    #[cold]
    fn next_of_new_block(&self, lane: &AtomicU64, last: u64) -> u64 {
        let first = self.blocks.fetch_add(1, Ordering::Relaxed) * BLOCK + 1;
        // If another thread was faster the rest of this block is left out.
        let _ = lane.compare_exchange(last, first, Ordering::Relaxed, Ordering::Relaxed);
        first
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn one_thread_counts_without_gaps() {
        let numbers = Numbers::new();
        let all: Vec<u64> = (0..1000).map(|_| numbers.next()).collect();
        assert_eq!(all, (1..=1000).collect::<Vec<_>>());
    }

    #[test]
    fn no_two_threads_have_the_same_number() {
        let numbers = Numbers::new();
        let count = || (0..10_000).map(|_| numbers.next()).collect::<Vec<u64>>();
        let all = thread::scope(|scope| {
            let threads: Vec<_> = (0..2 * LANES).map(|_| scope.spawn(count)).collect();
            let counted = threads.into_iter().map(|thread| thread.join().unwrap());
            counted.flatten().collect::<Vec<_>>()
        });
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        assert!(!all.contains(&0));
    }
}
