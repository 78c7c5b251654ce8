//! The token buckets of subnets.
//!
//! A bucket is one number, the moment when it will be full again; see [`Quota`]. A full bucket
//! carries no information, so buckets that have been full for a while are dropped.

use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use indexmap::map::raw_entry_v1::RawEntryMut;

use crate::most_refused::MostRefused;
use crate::quota::{Quota, Wait};
use crate::shards::{Hashed, Map, SHARDS, Shards, entry_in, index_in, shrink};
use crate::subnet::Subnet;

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
    most_refused: MostRefused,
}

impl Shard {
    #[cold]
    fn count_refusal(&mut self, refused: Subnet) {
        self.refused += 1;
        self.most_refused.count(refused);
    }

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
    /// Buckets in this number of shards, at most [`SHARDS`].
    pub(crate) fn new(shards: usize, now: u64, hasher: &RandomState) -> Self {
        Self {
            shards: Shards::new(shards, || Shard {
                full_at: Map::default(),
                hasher: hasher.clone(),
                evicted: 0,
                refused: 0,
                most_refused: MostRefused::new(),
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
        self.shards.each(|shard| {
            shard.full_at.retain(|subnet, _| keep(subnet.rule()));
            shrink(&mut shard.full_at);
        });
    }

    /// Takes a token at the time `now`, in nanoseconds. The subnet contains the number of the rule.
    /// A refusal counts for the subnet that `refused` makes of it.
    ///
    /// # Errors
    ///
    /// The time until the next token.
    #[inline(always)]
    pub(crate) fn take(
        &self,
        subnet: Hashed,
        quota: &Quota,
        now: u64,
        refused: impl FnOnce(Subnet) -> Subnet,
    ) -> Result<(), Wait> {
        let mut shard = self.shards.lock(subnet.shard());
        let known = index_in(&shard.full_at, &subnet);
        // An absent bucket is full.
        match quota.take(known.map(|at| shard.full_at[at]), now) {
            Ok(full_at) => {
                match known {
                    Some(at) => shard.full_at[at] = full_at,
                    None => shard.add(&subnet, full_at),
                }
                Ok(())
            }
            Err(wait) => {
                shard.count_refusal(refused(subnet.subnet));
                Err(wait)
            }
        }
    }

    /// When the subnet's bucket is full; `None` if it was full for long.
    pub(crate) fn full_at(&self, subnet: Hashed) -> Option<u64> {
        let shard = self.shards.lock(subnet.shard());
        let at = index_in(&shard.full_at, &subnet)?;
        Some(shard.full_at[at])
    }

    /// Counts a refusal by a rule that has no buckets.
    pub(crate) fn count_refusal(&self, subnet: Hashed, refused: impl FnOnce(Subnet) -> Subnet) {
        let mut shard = self.shards.lock(subnet.shard());
        shard.count_refusal(refused(subnet.subnet));
    }

    /// Calls `count` with the subnets that were refused most, and how often they were.
    pub(crate) fn most_refused(&self, mut count: impl FnMut(Subnet, u64)) {
        self.shards.each(|shard| {
            let refused = shard.most_refused.iter();
            refused.for_each(|(subnet, refused)| count(subnet, refused));
        });
    }

    pub(crate) fn refused(&self) -> u64 {
        self.shards.sum(|shard| shard.refused)
    }

    pub(crate) fn tracked(&self) -> u64 {
        self.shards.sum(|shard| shard.full_at.len() as u64)
    }
}
