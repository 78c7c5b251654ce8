use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ahash::RandomState;
use indexmap::IndexMap;

/// Into how many maps, each behind its own lock, the state of a limiter is split.
pub(super) const SHARDS: usize = 64;

/// Below this capacity a map is left as it is.
const SMALL: usize = 32;

/// Keys are hashed under random seeds, so that nobody can choose addresses that collide.
pub(super) type Map<K, V> = IndexMap<K, V, RandomState>;

/// State split by key, so that callers with different keys seldom wait for each other.
#[derive(Debug)]
pub(super) struct Shards<T> {
    hasher: RandomState,
    shards: Box<[Padded<T>]>,
}

/// Two cache lines each: x86-64 fetches lines in pairs, and some ARM cores have lines of 128 bytes.
#[derive(Debug)]
#[repr(align(128))]
struct Padded<T>(Mutex<T>);

impl<T> Shards<T> {
    /// Shards made with the hasher that their maps should use.
    pub(super) fn new(make: impl Fn(RandomState) -> T) -> Self {
        let hasher = RandomState::new();
        let shard = |_| Padded(Mutex::new(make(hasher.clone())));
        Self {
            shards: (0..SHARDS).map(shard).collect(),
            hasher,
        }
    }

    /// Which shard a key belongs to.
    #[inline]
    pub(super) fn index_of(&self, key: &impl Hash) -> usize {
        // The maps use the lowest and the highest bits of the same hash.
        (self.hasher.hash_one(key) >> 40) as usize % SHARDS
    }

    /// The shard, locked. Who locks several does so in the order of their indices.
    #[inline]
    pub(super) fn lock(&self, index: usize) -> MutexGuard<'_, T> {
        // Nothing that runs under the lock can panic halfway through a change.
        self.shards[index]
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The sum over all shards, each read by itself.
    pub(super) fn sum(&self, part: impl Fn(&T) -> u64) -> u64 {
        (0..SHARDS).map(|index| part(&self.lock(index))).sum()
    }
}

/// Gives memory back once a map that a flood grew is mostly empty. What remains has room to
/// double, so that the cost of moving entries is spread over as many removals.
#[inline]
pub(super) fn shrink<K: Hash + Eq, V>(map: &mut Map<K, V>) {
    if map.capacity() > SMALL && map.len() < map.capacity() / 8 {
        map.shrink_to(2 * map.len());
    }
}
