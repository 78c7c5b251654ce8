//! State split by subnet into shards, each behind its own lock.

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use indexmap::IndexMap;
use indexmap::map::raw_entry_v1::{RawEntryApiV1, RawEntryMut};
use parking_lot::{Mutex, MutexGuard};

use crate::subnet::Subnet;

/// The number of shards of a limiter's state.
pub(crate) const SHARDS: usize = 64;

/// A map of at most this capacity is never shrunk.
const SMALL: usize = 32;

/// A subnet with its hash, which selects the shard and the position in the shard's map.
///
/// The hash is seeded at random, against collision attacks. It is the same for every rule of a
/// subnet; a subnet rarely has more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hashed {
    pub(crate) subnet: Subnet,
    pub(crate) hash: u64,
}

impl Hashed {
    /// All addresses, in the first shard. Also a placeholder where there is no subnet.
    pub(crate) const ALL: Self = Self {
        subnet: Subnet::ALL,
        hash: 0,
    };

    #[inline]
    pub(crate) fn new(subnet: Subnet, hasher: &RandomState) -> Self {
        let hash = hasher.hash_one(subnet);
        Self { subnet, hash }
    }

    /// The same subnet as a key of this rule.
    #[inline]
    pub(crate) const fn of_rule(self, rule: u32) -> Self {
        let subnet = self.subnet.of_rule(rule);
        Self { subnet, ..self }
    }

    /// The index of its shard.
    #[inline]
    pub(crate) const fn shard(&self) -> usize {
        // The maps use the lowest and the highest bits of the hash, so take other bits.
        (self.hash >> 40) as usize % SHARDS
    }
}

/// A shard's map. It has no hasher: the caller provides the hash.
pub(crate) type Map<V> = IndexMap<Subnet, V, ()>;

/// The index of the key in the map, if present.
#[inline]
pub(crate) fn index_in<V>(map: &Map<V>, key: &Hashed) -> Option<usize> {
    map.raw_entry_v1()
        .index_from_hash(key.hash, |subnet| *subnet == key.subnet)
}

/// The key's entry in the map, occupied or vacant.
#[inline]
pub(crate) fn entry_in<'a, V>(map: &'a mut Map<V>, key: &Hashed) -> RawEntryMut<'a, Subnet, V, ()> {
    map.raw_entry_mut_v1()
        .from_hash(key.hash, |subnet| *subnet == key.subnet)
}

/// State split by key, so that callers with different keys rarely contend.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    shards: Box<[CachePadded<Mutex<T>>]>,
}

impl<T> Shards<T> {
    /// This number of shards, at most [`SHARDS`].
    pub(crate) fn new(count: usize, make: impl Fn() -> T) -> Self {
        let shard = |_| CachePadded::new(Mutex::new(make()));
        Self {
            shards: (0..count).map(shard).collect(),
        }
    }

    /// Locks one shard. A caller that locks several must lock them in the order of their indices,
    /// against deadlock.
    #[inline]
    pub(crate) fn lock(&self, index: usize) -> MutexGuard<'_, T> {
        self.shards[index].lock()
    }

    /// The sum over all shards. Each shard is read separately.
    pub(crate) fn sum(&self, part: impl Fn(&T) -> u64) -> u64 {
        self.shards.iter().map(|shard| part(&shard.lock())).sum()
    }

    /// Calls `f` with each shard, one after the other.
    pub(crate) fn each(&self, mut f: impl FnMut(&mut T)) {
        self.shards.iter().for_each(|shard| f(&mut shard.lock()));
    }
}

/// Whether a map that grew in a flood should release memory. It is shrunk to twice its length, so
/// that the cost of moving the entries is amortized over as many removals.
#[inline]
pub(crate) const fn mostly_empty(capacity: usize, len: usize) -> bool {
    capacity > SMALL && len < capacity / 8
}

/// Shrinks the map if it is mostly empty.
#[inline]
pub(crate) fn shrink<V>(map: &mut Map<V>) {
    if mostly_empty(map.capacity(), map.len()) {
        map.shrink_to(2 * map.len());
    }
}
