//! How many open connections hold how much memory.
//!
//! There may be millions of connections, and no list of them. So a connection is counted where its
//! memory changes: the thread that swaps its word knows how much it held before and how much it
//! holds now. If the two amounts are in different buckets, the thread moves the connection from one
//! count to the other. A connection that holds nothing is in no bucket: opening and closing it
//! touches nothing here, nor does a change within a bucket.
//!
//! The changes of a connection form a chain: each begins where the one before ended, and the thread
//! that made it counts it once. So the counts are exact whenever no change is under way. In
//! between, a change may be counted before the one that it follows: a count can be below zero for
//! that long.

use super::per_thread::PerThread;
use crate::sync::{AtomicU64, Ordering};

/// How many open connections hold how much memory: the result of
/// [`Manager::conn_memory`](crate::Manager::conn_memory).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnMemory {
    /// By bucket: how many connections hold at most the bound in [`BOUNDS`](Self::BOUNDS), and more
    /// than the bound before it. The last bucket is for those above all bounds. A connection that
    /// holds nothing is in none.
    pub counts: [u64; BUCKETS],
}

impl ConnMemory {
    /// The most memory that a connection holds in each bucket but the last, in bytes.
    pub const BOUNDS: [u64; BUCKETS - 1] = {
        let mut bounds = [0; BUCKETS - 1];
        let mut at = 0;
        while at < bounds.len() {
            bounds[at] = 2_u64.pow(BOUND_BITS[at] as u32);
            at += 1;
        }
        bounds
    };
}

const BUCKETS: usize = 11;
/// The bounds as logarithms: from 1 KiB to 4 GiB, go-libp2p's.
const BOUND_BITS: [u8; BUCKETS - 1] = [10, 12, 15, 20, 25, 28, 29, 30, 31, 32];

/// The bucket of an amount of memory; [`NOWHERE`](Self::NOWHERE) for zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnMemoryBucket(u8);

impl ConnMemoryBucket {
    const NOWHERE: Self = Self(BUCKETS as u8);

    /// By the logarithm of an amount, rounded up.
    const BY_BITS: [Self; 65] = {
        let mut buckets = [Self(BUCKETS as u8 - 1); 65];
        let (mut bits, mut bucket) = (0, 0);
        while bucket < BOUND_BITS.len() {
            if bits > BOUND_BITS[bucket] as usize {
                bucket += 1;
            } else {
                buckets[bits] = Self(bucket as u8);
                bits += 1;
            }
        }
        // Zero less one has all bits set. No amount of memory has as many.
        buckets[64] = Self::NOWHERE;
        buckets
    };

    #[inline]
    pub fn of(memory: u64) -> Self {
        Self::BY_BITS[64 - memory.wrapping_sub(1).leading_zeros() as usize]
    }
}

/// Counts connections by bucket, in a shard for each thread.
#[derive(Debug)]
pub struct ConnMemoryCounts(PerThread<[AtomicU64; BUCKETS]>);

impl ConnMemoryCounts {
    pub fn new() -> Self {
        Self(PerThread::new(|| {
            std::array::from_fn(|_| AtomicU64::new(0))
        }))
    }

    /// Moves a connection from one bucket to another.
    #[cold]
    pub fn moved(&self, from: ConnMemoryBucket, to: ConnMemoryBucket) {
        let counts = self.0.of_this_thread();
        // Relaxed, here and below: counts are read by themselves and order nothing. They wrap below
        // zero.
        if let Some(count) = counts.get(usize::from(from.0)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = counts.get(usize::from(to.0)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn get(&self) -> ConnMemory {
        let of_shards = |at: usize| {
            let counts = self.0.iter().map(|shard| shard[at].load(Ordering::Relaxed));
            counts.fold(0, u64::wrapping_add)
        };
        // A count below zero lacks a change that another thread is about to count.
        let shown = |count: u64| count.cast_signed().max(0).cast_unsigned();
        ConnMemory {
            counts: std::array::from_fn(|at| shown(of_shards(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_ends_its_bucket() {
        for (at, bound) in ConnMemory::BOUNDS.into_iter().enumerate() {
            assert_eq!(ConnMemoryBucket::of(bound), ConnMemoryBucket(at as u8));
            assert_eq!(ConnMemoryBucket::of(bound - 1), ConnMemoryBucket(at as u8));
            assert_eq!(
                ConnMemoryBucket::of(bound + 1),
                ConnMemoryBucket(at as u8 + 1)
            );
        }
        assert_eq!(ConnMemoryBucket::of(0), ConnMemoryBucket::NOWHERE);
        assert_eq!(ConnMemoryBucket::of(1), ConnMemoryBucket(0));
        assert_eq!(
            ConnMemoryBucket::of((1 << 60) - 1),
            ConnMemoryBucket(BUCKETS as u8 - 1)
        );
    }

    #[test]
    fn a_count_that_is_ahead_of_another_reads_as_none() {
        let counts = ConnMemoryCounts::new();
        counts.moved(ConnMemoryBucket::of(1), ConnMemoryBucket::NOWHERE);
        assert_eq!(counts.get(), ConnMemory::default());
        counts.moved(ConnMemoryBucket::NOWHERE, ConnMemoryBucket::of(1));
        counts.moved(ConnMemoryBucket::NOWHERE, ConnMemoryBucket::of(5000));
        assert_eq!(counts.get().counts[..3], [0, 0, 1]);
    }
}
