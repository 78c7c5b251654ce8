//! Where the token buckets of subnets are kept.
//!
//! A bucket is one number, the *arrival time* of the generic cell rate algorithm: the moment at
//! which the bucket will be full again. A bucket that is full is as good as none, so those that
//! have been full for a while are dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use governor::nanos::Nanos;
use governor::state::StateStore;
use indexmap::map::raw_entry_v1::RawEntryMut;

use crate::shards::{Hashed, Map, SHARDS, Shards, entry_in, index_in, shrink};

/// The most buckets that a limiter keeps, in all shards together.
pub(crate) const MAX_BUCKETS: usize = 1 << 17;

/// The most in one shard.
const MAX_IN_SHARD: usize = MAX_BUCKETS / SHARDS;

/// How long a bucket that is full is kept, in nanoseconds: a minute, as the reference does.
const GRACE: u64 = 60 * 1_000_000_000;

/// Every shard is swept once a minute, one after the other.
const SWEEP_EVERY: u64 = GRACE / SHARDS as u64;

/// Among how many the fullest bucket is looked for when one has to be forgotten: as many as 128
/// random bits pick, 16 each, which reach over all of a shard.
const SAMPLES: usize = 8;
const _: () = assert!(MAX_IN_SHARD <= 1 << 16);

#[derive(Debug)]
pub(crate) struct Buckets {
    shards: Shards<Shard>,
    /// When the next shard is to be swept, in nanoseconds.
    sweep_at: AtomicU64,
}

#[derive(Debug)]
struct Shard {
    /// Each subnet with the number of its rule, so that one with another rate starts full.
    full_at: Map<u64>,
    /// For what is to be random.
    hasher: RandomState,
    /// How many buckets were forgotten for want of room.
    forgotten: u64,
    refused: u64,
}

impl Shard {
    fn add(&mut self, subnet: &Hashed, full_at: u64) {
        if self.full_at.len() >= MAX_IN_SHARD {
            self.forget_one();
        }
        if let RawEntryMut::Vacant(vacant) = entry_in(&mut self.full_at, subnet) {
            vacant.insert_hashed_nocheck(subnet.hash, subnet.subnet, full_at);
        }
    }

    /// Forgets the fullest of a few buckets, which loses the least: the fuller a bucket, the less
    /// an address gains by starting with a new one.
    fn forget_one(&mut self) {
        // The seeds are secret, so nobody can foretell which ones are looked at.
        let [high, low] = [0, 1].map(|half| self.hasher.hash_one((self.forgotten, half)));
        let random = u128::from(high) << 64 | u128::from(low);
        let any = |sample| usize::from((random >> (16 * sample)) as u16) % self.full_at.len();
        let fullest = (0..SAMPLES).map(any).min_by_key(|&at| self.full_at[at]);
        if let Some(at) = fullest {
            self.full_at.swap_remove_index(at);
            self.forgotten += 1;
        }
    }
}

impl Buckets {
    pub(crate) fn new(now: u64, hasher: &RandomState) -> Self {
        Self {
            shards: Shards::new(|| Shard {
                full_at: Map::default(),
                hasher: hasher.clone(),
                forgotten: 0,
                refused: 0,
            }),
            sweep_at: AtomicU64::new(now.saturating_add(SWEEP_EVERY)),
        }
    }

    /// Sweeps one shard, if one is due. After a quiet time all are, and the next calls take them
    /// one by one.
    #[inline]
    pub(crate) fn sweep_if_due(&self, now: u64) {
        // Relaxed: it only picks who sweeps; the buckets are behind locks.
        let due = self.sweep_at.load(Ordering::Relaxed);
        if due <= now {
            self.sweep(due, now);
        }
    }

    #[cold]
    fn sweep(&self, due: u64, now: u64) {
        // One round is enough, however long it was quiet.
        let next = due
            .max(now.saturating_sub(GRACE))
            .saturating_add(SWEEP_EVERY);
        let won = self
            .sweep_at
            .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed);
        if won.is_err() {
            return;
        }
        let index = (next / SWEEP_EVERY) as usize % SHARDS;
        let mut shard = self.shards.lock(index);
        shard
            .full_at
            .retain(|_, full_at| full_at.saturating_add(GRACE) > now);
        shrink(&mut shard.full_at);
    }

    /// Drops the buckets of rules that are gone.
    pub(crate) fn keep_rules(&self, keep: impl Fn(u32) -> bool) {
        for index in 0..SHARDS {
            let mut shard = self.shards.lock(index);
            shard.full_at.retain(|subnet, _| keep(subnet.rule()));
            shrink(&mut shard.full_at);
        }
    }

    /// Counts a refusal that no bucket was needed for.
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

/// The buckets as governor sees them.
///
/// Governor reckons in time since its own start, by its own clock. Here that clock stands still at
/// zero, each request says when it is, and the store translates: what governor sees is how long
/// from now the bucket will be full. So one reading of the clock serves all of a call's buckets.
#[derive(Debug, Clone)]
pub(crate) struct Store(pub(crate) Arc<Buckets>);

/// A token asked of a bucket at a moment, in nanoseconds. Governor wants a key to be comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Request {
    /// With the number of the rule.
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
        let mut shard = self.0.shards.lock(subnet.shard());
        let known = index_in(&shard.full_at, subnet);
        let full_in = known.map(|at| Nanos::from(shard.full_at[at].saturating_sub(*now)));
        match decide(full_in) {
            Ok((granted, full_in)) => {
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
