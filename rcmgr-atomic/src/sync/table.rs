//! A map from names to what they stand for, in shards with a lock each.
//!
//! The lock is brief (`brief_lock.rs`): a lookup takes one atomic step, where a lock that readers share
//! takes two, on a line that they share as well.

use std::borrow::Borrow;
use std::hash::Hash;
use std::thread::available_parallelism;

use crate::brief_lock::BriefLock;
use ahash::RandomState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Things by name.
pub struct Table<K, V> {
    /// A power of two.
    shards: Box<[Shard<K, V>]>,
    /// A remote chooses the names, so hashes are not to be foreseen.
    hasher: RandomState,
}

/// x86-64 fetches cache lines in pairs, so it takes two.
#[repr(align(128))]
struct Shard<K, V>(BriefLock<HashTable<(K, V)>>);

/// How many shards there are for each core, so that two threads seldom want the same.
const SHARDS_PER_CORE: usize = 8;

/// Below this capacity a shard is left as it is.
const SMALL: usize = 64;

impl<K: Eq + Hash, V> Table<K, V> {
    pub fn new() -> Self {
        let cores = available_parallelism().map_or(1, Into::into);
        let shards = (SHARDS_PER_CORE * cores).next_power_of_two();
        let shard = |_| Shard(BriefLock::new(HashTable::new()));
        Self {
            shards: (0..shards).map(shard).collect(),
            hasher: RandomState::new(),
        }
    }

    /// The shard with that hash. The maps in it use the lowest and the highest bits.
    #[inline]
    fn shard(&self, hash: u64) -> &BriefLock<HashTable<(K, V)>> {
        &self.shards[(hash >> 40) as usize & (self.shards.len() - 1)].0
    }

    /// What `f` makes of the entry, while no one else sees its shard.
    #[inline]
    pub fn change<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut entries = self.shard(hash).lock();
        let entry = entries.find_mut(hash, |(found, _)| found.borrow() == key);
        entry.map(|(_, value)| f(value))
    }

    /// The same for who only looks.
    #[inline]
    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.change(key, |value| f(value))
    }

    /// What `f` makes of the entry, made if absent, while no one else sees its shard.
    pub fn change_or_insert<R>(
        &self,
        key: K,
        make: impl FnOnce(&K) -> V,
        f: impl FnOnce(&mut V) -> R,
    ) -> R {
        let hash = self.hasher.hash_one(&key);
        let mut entries = self.shard(hash).lock();
        let entry = entries.entry(
            hash,
            |(found, _)| *found == key,
            |(key, _)| self.hasher.hash_one(key),
        );
        match entry {
            Entry::Occupied(mut entry) => f(&mut entry.get_mut().1),
            Entry::Vacant(entry) => {
                let value = make(&key);
                f(&mut entry.insert((key, value)).get_mut().1)
            }
        }
    }

    pub fn insert(&self, key: K, value: V) {
        let hash = self.hasher.hash_one(&key);
        let mut entries = self.shard(hash).lock();
        match entries.find_mut(hash, |(found, _)| *found == key) {
            Some((_, old)) => *old = value,
            None => {
                entries.insert_unique(hash, (key, value), |(key, _)| self.hasher.hash_one(key));
            }
        }
    }

    /// Removes the entry if `f` says so, while no one else sees its shard.
    pub fn remove_if<Q>(&self, key: &Q, f: impl FnOnce(&V) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        let mut entries = self.shard(hash).lock();
        let Ok(entry) = entries.find_entry(hash, |(found, _)| found.borrow() == key) else {
            return false;
        };
        if !f(&entry.get().1) {
            return false;
        }
        let (removed, _) = entry.remove();
        // A flood of entries, gone since, gives its room back.
        let (len, capacity) = (entries.len(), entries.capacity());
        if capacity > SMALL && capacity > 8 * len {
            entries.shrink_to(2 * len, |(key, _)| self.hasher.hash_one(key));
        }
        drop(entries);
        drop(removed);
        true
    }

    pub fn retain(&self, f: impl Fn(&K) -> bool) {
        for shard in &self.shards {
            shard.0.lock().retain(|(key, _)| f(key));
        }
    }

    /// Every entry, while no one else sees its shard.
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            shard.0.lock().iter().for_each(|(key, value)| f(key, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    #[test]
    fn a_flood_of_entries_gives_its_room_back() {
        let table = Table::<u64, u64>::new();
        let capacity = || -> usize {
            let capacities = table.shards.iter().map(|shard| shard.0.lock().capacity());
            capacities.sum()
        };
        for key in 0..100_000 {
            assert_eq!(table.change_or_insert(key, |&key| key, |value| *value), key);
        }
        assert!(capacity() >= 100_000);
        let mut sum = 0;
        table.for_each(|_, value| sum += value);
        assert_eq!(sum, (0..100_000).sum::<u64>());
        for key in 0..100_000 {
            assert!(!table.remove_if(&key, |&value| value != key));
            assert!(table.remove_if(&key, |&value| value == key));
            assert_eq!(table.read(&key, |&value| value), None);
        }
        let most = SMALL.next_power_of_two() * table.shards.len();
        assert!(capacity() <= most, "{} of {most}", capacity());
    }

    #[test]
    fn an_entry_is_replaced() {
        let table = Table::<&str, u64>::new();
        table.insert("a", 1);
        table.insert("a", 2);
        table.insert("b", 3);
        assert_eq!(table.read("a", |&value| value), Some(2));
        table.retain(|&key| key == "b");
        assert_eq!(table.read("a", |&value| value), None);
        assert_eq!(table.change("b", mem::take), Some(3));
        assert_eq!(table.read("b", |&value| value), Some(0));
    }
}
