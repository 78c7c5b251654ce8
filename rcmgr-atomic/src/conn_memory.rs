//! How many open connections hold how much memory.
//!
//! Nothing lists connections, of which there may be millions. So they are counted where their memory
//! changes: whoever swaps a connection's word knows what it held before and what it holds now, and
//! where these are in different buckets, takes it from one count to the other. One that holds nothing
//! is in no bucket: opening and closing it touches nothing here, nor does what stays within a bucket.
//!
//! The steps of a connection are a chain, in which each begins where the one before ended, and each
//! is counted once by the one that made it. So the counts are exact whenever no step is under way.
//! In between, a step may be counted before the one that it follows: a count can be below zero for
//! that long.

use crate::sync::{AtomicU64, LANES, Ordering, lane};

/// How many open connections hold how much memory: what
/// [`Manager::conn_memory`](crate::Manager::conn_memory) says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ConnMemory {
    /// By [`BOUNDS`](Self::BOUNDS): how many connections hold at most as much, and more than the
    /// bound before. The last is for those above all bounds. One that holds nothing is in none.
    pub counts: [u64; BUCKETS],
}

impl ConnMemory {
    /// The most memory that a connection holds in each bucket but the last, in bytes.
    pub const BOUNDS: [u64; BUCKETS - 1] = {
        let mut bounds = [0; BUCKETS - 1];
        let mut at = 0;
        while at < bounds.len() {
            bounds[at] = 1 << BOUND_BITS[at];
            at += 1;
        }
        bounds
    };
}

const BUCKETS: usize = 11;
/// The bounds as logarithms: from 1 KiB to 4 GiB, go-libp2p's.
const BOUND_BITS: [u8; BUCKETS - 1] = [10, 12, 15, 20, 25, 28, 29, 30, 31, 32];

/// Which bucket holds an amount of memory; [`NOWHERE`](Self::NOWHERE) for nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket(u8);

impl Bucket {
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
        // Nothing, less one, has all bits. No amount of memory has as many.
        buckets[64] = Self::NOWHERE;
        buckets
    };

    #[inline]
    pub fn of(memory: u64) -> Self {
        Self::BY_BITS[64 - memory.wrapping_sub(1).leading_zeros() as usize]
    }
}

/// Counts connections by bucket. Where several threads count at a time, each has a lane of its own.
#[derive(Debug)]
pub struct ConnMemoryCounts([Lane; LANES]);

/// x86-64 fetches cache lines in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Lane([AtomicU64; BUCKETS]);

impl ConnMemoryCounts {
    pub fn new() -> Self {
        let zeros = || std::array::from_fn(|_| AtomicU64::new(0));
        Self(std::array::from_fn(|_| Lane(zeros())))
    }

    /// A connection's memory has come from one bucket to another.
    #[cold]
    pub fn moved(&self, from: Bucket, to: Bucket) {
        let counts = &self.0[lane()].0;
        // Relaxed: counts are read by themselves and order nothing. They wrap below zero.
        if let Some(count) = counts.get(usize::from(from.0)) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
        if let Some(count) = counts.get(usize::from(to.0)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub fn get(&self) -> ConnMemory {
        let of_lanes = |at: usize| {
            let counts = self.0.iter().map(|lane| lane.0[at].load(Ordering::Relaxed));
            counts.fold(0, u64::wrapping_add)
        };
        // What is below zero lacks a step that is counted any moment.
        let shown = |count: u64| count.cast_signed().max(0).cast_unsigned();
        ConnMemory {
            counts: std::array::from_fn(|at| shown(of_lanes(at))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_ends_its_bucket() {
        for (at, bound) in ConnMemory::BOUNDS.into_iter().enumerate() {
            assert_eq!(Bucket::of(bound), Bucket(at as u8));
            assert_eq!(Bucket::of(bound - 1), Bucket(at as u8));
            assert_eq!(Bucket::of(bound + 1), Bucket(at as u8 + 1));
        }
        assert_eq!(Bucket::of(0), Bucket::NOWHERE);
        assert_eq!(Bucket::of(1), Bucket(0));
        assert_eq!(Bucket::of((1 << 59) - 1), Bucket(BUCKETS as u8 - 1));
    }

    #[test]
    fn a_count_that_is_ahead_of_another_reads_as_none() {
        let counts = ConnMemoryCounts::new();
        counts.moved(Bucket::of(1), Bucket::NOWHERE);
        assert_eq!(counts.get(), ConnMemory::default());
        counts.moved(Bucket::NOWHERE, Bucket::of(1));
        counts.moved(Bucket::NOWHERE, Bucket::of(5000));
        assert_eq!(counts.get().counts[..3], [0, 0, 1]);
    }
}
