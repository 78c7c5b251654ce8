//! Values by name, in shards with a lock each.
//!
//! A structure of our own in place of `dashmap`, whose locks look again at once: `brief_lock.rs` has the
//! figures. A lookup takes one hash and the lock of one shard.

use std::borrow::Borrow;
use std::hash::Hash;

use crossbeam_utils::CachePadded;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::brief_lock::BriefLock;
use super::primitives::{RandomState, cores, hasher};

/// Values by name.
pub struct Table<K, V> {
    shards: Box<[Shard<K, V>]>,
    /// A remote chooses the names. The hasher is seeded, so that it cannot choose names that collide.
    hasher: RandomState,
}

type Shard<K, V> = CachePadded<BriefLock<HashTable<(K, V)>>>;

/// The number of shards for each core, so that two threads seldom want the same one.
const SHARDS_PER_CORE: usize = 8;

/// The number of different hashes.
const HASHES: u128 = 2_u128.pow(64);

/// A shard below this capacity is not shrunk.
const SMALL: usize = 64;

impl<K: Eq + Hash, V> Table<K, V> {
    pub fn new() -> Self {
        let shards = SHARDS_PER_CORE * cores();
        let shard = |_| CachePadded::new(BriefLock::new(HashTable::new()));
        Self {
            shards: (0..shards).map(shard).collect(),
            hasher: hasher(),
        }
    }

    /// The number of the shard of a hash. The table in it uses the lowest and the highest bits of the
    /// hash, so the shard is chosen by the bits between.
    #[inline]
    fn number(&self, hash: u64) -> usize {
        let middle_first = hash.rotate_left(24);
        let scaled = u128::from(middle_first) * self.shards.len() as u128;
        (scaled / HASHES) as usize
    }

    #[inline]
    fn shard(&self, hash: u64) -> &Shard<K, V> {
        &self.shards[self.number(hash)]
    }

    /// The number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// The place of the entry of this key.
    #[inline]
    pub fn place<'a, Q>(&'a self, key: &'a Q) -> Place<'a, Q, K, V>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let hash = self.hasher.hash_one(key);
        Place {
            key,
            hash,
            number: self.number(hash),
            table: self,
        }
    }

    /// The result of `f` for the entry. Meanwhile no other thread sees its shard.
    #[inline]
    pub fn change<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.place(key).change(f)
    }

    /// The same for a caller that does not change the entry.
    #[inline]
    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.change(key, |value| f(value))
    }

    /// The result of `f` for the entry, which is made if absent. Meanwhile no other thread sees its
    /// shard.
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

    /// Removes the entry if `f` says so. Meanwhile no other thread sees its shard.
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
        // Give back the room of a flood of entries that are gone.
        let (len, capacity) = (entries.len(), entries.capacity());
        if capacity > SMALL && capacity > 8 * len {
            entries.shrink_to(2 * len, |(key, _)| self.hasher.hash_one(key));
        }
        // The entry is dropped outside of the lock.
        drop(entries);
        drop(removed);
        true
    }

    pub fn retain(&self, f: impl Fn(&K) -> bool) {
        for shard in &self.shards {
            shard.lock().retain(|(key, _)| f(key));
        }
    }

    /// Calls `f` for every entry. Meanwhile no other thread sees its shard.
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        for shard in &self.shards {
            shard.lock().iter().for_each(|(key, value)| f(key, value));
        }
    }
}

/// Where the entry of a key is, or would be.
pub struct Place<'a, Q: ?Sized, K, V> {
    key: &'a Q,
    hash: u64,
    number: usize,
    table: &'a Table<K, V>,
}

impl<Q, K, V> Place<'_, Q, K, V>
where
    K: Borrow<Q>,
    Q: Eq + ?Sized,
{
    /// The number of its shard.
    #[inline]
    pub fn shard(&self) -> usize {
        self.number
    }

    /// The result of `f` for the entry. Meanwhile no other thread sees its shard.
    #[inline]
    pub fn change<R>(&self, f: impl FnOnce(&mut V) -> R) -> Option<R> {
        let mut entries = self.table.shards[self.number].lock();
        self.change_in(&mut entries, f)
    }

    /// The same without waiting: `None` if another thread has locked the shard.
    #[inline]
    pub fn try_change<R>(&self, f: impl FnOnce(&mut V) -> R) -> Option<Option<R>> {
        let mut entries = self.table.shards[self.number].try_lock()?;
        Some(self.change_in(&mut entries, f))
    }

    #[inline]
    fn change_in<R>(
        &self,
        entries: &mut HashTable<(K, V)>,
        f: impl FnOnce(&mut V) -> R,
    ) -> Option<R> {
        let entry = entries.find_mut(self.hash, |(found, _)| found.borrow() == self.key);
        entry.map(|(_, value)| f(value))
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
            let capacities = table.shards.iter().map(|shard| shard.lock().capacity());
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
