//! The token buckets of subnets.
//!
//! A bucket is one number, the *theoretical arrival time* of the generic cell rate algorithm
//! (GCRA): the moment when the bucket will be full again. A full bucket carries no information, so
//! buckets that have been full for a while are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use governor::nanos::Nanos;
use governor::state::StateStore;
use indexmap::map::raw_entry_v1::RawEntryMut;

use crate::shards::{Hashed, Map, SHARDS, Shards, entry_in, index_in, shrink};

/// The maximum number of buckets of a limiter, in all shards together.
pub(crate) const MAX_BUCKETS: usize = 1 << 17;

/// The maximum number of buckets in one shard.
const MAX_IN_SHARD: usize = MAX_BUCKETS / SHARDS;

/// How long a full bucket is kept, in nanoseconds: one minute, as in go-libp2p.
const GRACE: u64 = 60 * 1_000_000_000;

/// The time between two sweeps: each sweeps one shard, so that every shard is swept once a minute.
const SWEEP_EVERY: u64 = GRACE / SHARDS as u64;

/// The number of buckets sampled to choose one to evict: 128 random bits give 8 indices of 16 bits,
/// and 16 bits can index every bucket of a shard.
const SAMPLES: usize = 8;
const _: () = assert!(MAX_IN_SHARD <= 1 << 16);

#[derive(Debug)]
pub(crate) struct Buckets {
    shards: Shards<Shard>,
    /// The time of the next sweep, in nanoseconds.
    sweep_at: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    /// The time when each bucket is full. The key contains the number of the rule, so that a bucket
    /// starts full when the rate changes.
    full_at: Map<u64>,
    /// The source of random samples.
    hasher: RandomState,
    /// The number of buckets that were evicted because the shard was full.
    evicted: u64,
    refused: u64,
}

impl Shard {
    fn add(&mut self, subnet: &Hashed, full_at: u64) {
        if self.full_at.len() >= MAX_IN_SHARD {
            self.evict_one();
        }
        if let RawEntryMut::Vacant(vacant) = entry_in(&mut self.full_at, subnet) {
            vacant.insert_hashed_nocheck(subnet.hash, subnet.subnet, full_at);
        }
    }

    /// Evicts the fullest of a few sampled buckets. This loses the least: the fuller a bucket is,
    /// the less its address gains by starting with a new one.
    fn evict_one(&mut self) {
        // The hasher's seeds are secret, so an attacker cannot predict which buckets are sampled.
        let [high, low] = [0, 1].map(|half| self.hasher.hash_one((self.evicted, half)));
        let random = u128::from(high) << 64 | u128::from(low);
        let any = |sample| usize::from((random >> (16 * sample)) as u16) % self.full_at.len();
        let fullest = (0..SAMPLES).map(any).min_by_key(|&at| self.full_at[at]);
        if let Some(at) = fullest {
            self.full_at.swap_remove_index(at);
            self.evicted += 1;
        }
    }
}

impl Buckets {
    pub(crate) fn new(now: u64, hasher: &RandomState) -> Self {
        Self {
            shards: Shards::new(|| Shard {
                full_at: Map::default(),
                hasher: hasher.clone(),
                evicted: 0,
                refused: 0,
            }),
            sweep_at: AtomicU64::new(now.saturating_add(SWEEP_EVERY)),
        }
    }

    /// Sweeps one shard if a sweep is due. After a quiet period all shards are due, and each of the
    /// next calls sweeps one.
    #[inline]
    pub(crate) fn sweep_if_due(&self, now: u64) {
        // Relaxed: the value only picks the thread that sweeps; the buckets are behind locks.
        let due = self.sweep_at.load(Ordering::Relaxed);
        if due <= now {
            self.sweep(due, now);
        }
    }

    #[cold]
    fn sweep(&self, due: u64, now: u64) {
        // At most one sweep of every shard is due, however long the quiet period was.
        let next = due
            .max(now.saturating_sub(GRACE))
            .saturating_add(SWEEP_EVERY);
        // Only the thread that moves the time forward sweeps.
        let won = self
            .sweep_at
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_err() {
            return;
        }
        // Drop the buckets that have been full for the whole grace period.
        let index = (next / SWEEP_EVERY) as usize % SHARDS;
        let mut shard = self.shards.lock(index);
        shard
            .full_at
            .retain(|_, full_at| full_at.saturating_add(GRACE) > now);
        shrink(&mut shard.full_at);
    }

    /// Drops the buckets of rules that no longer exist.
    pub(crate) fn keep_rules(&self, keep: impl Fn(u32) -> bool) {
        for index in 0..SHARDS {
            let mut shard = self.shards.lock(index);
            shard.full_at.retain(|subnet, _| keep(subnet.rule()));
            shrink(&mut shard.full_at);
        }
    }

    /// Counts a refusal by a rule that has no buckets.
    pub(crate) fn count_refusal(&self, subnet: Hashed) {
        self.shards.lock(subnet.shard()).refused += 1;
    }

    pub(crate) fn refused(&self) -> u64 {
        self.shards.sum(|shard| shard.refused)
    }

    pub(crate) fn tracked(&self) -> u64 {
        self.shards.sum(|shard| shard.full_at.len() as u64)
    }
}

/// The adapter that stores governor's state in [`Buckets`].
///
/// Governor measures time since its own start, with its own clock. Here that clock always reads
/// zero, and each request carries the current time. The store translates: governor sees the time
/// from now until the bucket is full. So one reading of the clock serves all buckets of a call.
#[derive(Debug, Clone)]
pub(crate) struct Store(pub(crate) Arc<Buckets>);

/// A request for one token at a given time, in nanoseconds. Governor requires a key that can be
/// compared and hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// Contains the number of the rule.
    pub(crate) subnet: Hashed,
    pub(crate) now: u64,
}

impl StateStore for Store {
    type Key = Request;

    #[inline]
    fn measure_and_replace<T, F, E>(&self, request: &Request, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let Request { subnet, now } = request;
        // An absent bucket is full. For a known one, governor sees the time until it is full.
        let mut shard = self.0.shards.lock(subnet.shard());
        let known = index_in(&shard.full_at, subnet);
        let full_in = known.map(|at| Nanos::from(shard.full_at[at].saturating_sub(*now)));
        match decide(full_in) {
            Ok((granted, full_in)) => {
                // Granted: store the new time at which the bucket will be full.
                let full_at = now.saturating_add(full_in.as_u64());
                match known {
                    Some(at) => shard.full_at[at] = full_at,
                    None => shard.add(subnet, full_at),
                }
                Ok(granted)
            }
            Err(refused) => {
                shard.refused += 1;
                Err(refused)
            }
        }
    }
}
