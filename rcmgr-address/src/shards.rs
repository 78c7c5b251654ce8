//! State split by subnet into parts with a lock each.

use ahash::RandomState;
use crossbeam_utils::CachePadded;
use indexmap::IndexMap;
use indexmap::map::raw_entry_v1::{RawEntryApiV1, RawEntryMut};
use parking_lot::{Mutex, MutexGuard};

use crate::subnet::Subnet;

/// Into how many maps, each behind its own lock, the state of a limiter is split.
pub(crate) const SHARDS: usize = 64;

/// Below this capacity a map is left as it is.
const SMALL: usize = 32;

/// A subnet with its hash, which picks the shard and the position in the shard's map.
///
/// It is made under random seeds, so that nobody can choose addresses that collide. A subnet hashes
/// the same for every rule: there is seldom more than one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Hashed {
    pub(crate) subnet: Subnet,
    pub(crate) hash: u64,
}

impl Hashed {
    /// For where there is no subnet.
    pub(crate) const NONE: Self = Self {
        subnet: Subnet::ALL,
        hash: 0,
    };

    #[inline]
    pub(crate) fn new(subnet: Subnet, hasher: &RandomState) -> Self {
        let hash = hasher.hash_one(subnet);
        Self { subnet, hash }
    }

    /// The same subnet, told from those of other rules.
    #[inline]
    pub(crate) const fn of_rule(self, rule: u32) -> Self {
        let subnet = self.subnet.of_rule(rule);
        Self { subnet, ..self }
    }

    /// The index of its shard.
    #[inline]
    pub(crate) const fn shard(&self) -> usize {
        // The maps use the lowest and the highest bits.
        (self.hash >> 40) as usize % SHARDS
    }
}

/// A shard's map. It has no hasher: whoever asks brings the hash.
pub(crate) type Map<V> = IndexMap<Subnet, V, ()>;

/// Where in the map it is.
#[inline]
pub(crate) fn index_in<V>(map: &Map<V>, key: &Hashed) -> Option<usize> {
    map.raw_entry_v1()
        .index_from_hash(key.hash, |subnet| *subnet == key.subnet)
}

/// Its position in the map, taken or not.
#[inline]
pub(crate) fn entry_in<'a, V>(map: &'a mut Map<V>, key: &Hashed) -> RawEntryMut<'a, Subnet, V, ()> {
    map.raw_entry_mut_v1()
        .from_hash(key.hash, |subnet| *subnet == key.subnet)
}

/// State split by key, so that callers with different keys seldom wait for each other.
#[derive(Debug)]
pub(crate) struct Shards<T> {
    shards: Box<[CachePadded<Mutex<T>>]>,
}

impl<T> Shards<T> {
    pub(crate) fn new(make: impl Fn() -> T) -> Self {
        let shard = |_| CachePadded::new(Mutex::new(make()));
        Self {
            shards: (0..SHARDS).map(shard).collect(),
        }
    }

    /// Locks a shard. A caller that needs several locks them in the order of their indices.
    #[inline]
    pub(crate) fn lock(&self, index: usize) -> MutexGuard<'_, T> {
        self.shards[index].lock()
    }

    /// The sum over all shards, each read by itself.
    pub(crate) fn sum(&self, part: impl Fn(&T) -> u64) -> u64 {
        (0..SHARDS).map(|index| part(&self.lock(index))).sum()
    }
}

/// Whether a map that a flood grew should give memory back. What remains gets room to double, so
/// that the cost of moving entries is spread over as many removals.
#[inline]
pub(crate) const fn mostly_empty(capacity: usize, len: usize) -> bool {
    capacity > SMALL && len < capacity / 8
}

/// Gives memory back if it should.
#[inline]
pub(crate) fn shrink<V>(map: &mut Map<V>) {
    if mostly_empty(map.capacity(), map.len()) {
        map.shrink_to(2 * map.len());
    }
}
