//! Values by name, in the shards of a concurrent map. A thread that waits for a shard is parked: it
//! does not spend the time slice that the holder of the lock needs.

use std::borrow::Borrow;
use std::cell::Cell;
use std::hash::Hash;
use std::thread::available_parallelism;

use ahash::RandomState;
use dashmap::{DashMap, Entry};

/// Values by name.
pub struct Table<K, V> {
    /// A remote chooses the names. The hasher is seeded, so that it cannot choose names that
    /// collide.
    map: DashMap<K, V, RandomState>,
}

/// The number of shards for each core, so that two threads rarely need the same one.
const SHARDS_PER_CORE: usize = 8;

/// A map below this capacity is never shrunk.
const SMALL: usize = 1024;

/// A thread checks whether a map should shrink after this many removals: the check visits every
/// shard.
const REMOVALS_PER_CHECK: u32 = 1024;

impl<K: Eq + Hash, V> Table<K, V> {
    pub fn new() -> Self {
        let cores = available_parallelism().map_or(1, Into::into);
        let shards = (SHARDS_PER_CORE * cores).next_power_of_two();
        Self {
            map: DashMap::with_hasher_and_shard_amount(RandomState::new(), shards),
        }
    }

    /// The result of `f` for the entry. Meanwhile no thread can change or remove the entry.
    #[inline]
    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.map.view(key, |_, value| f(value))
    }

    /// The result of `f` for the entry. Meanwhile no other thread sees its shard.
    #[inline]
    pub fn change<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.map.get_mut(key).map(|mut value| f(&mut value))
    }

    /// The result of `f` for the entry, which is made if absent. Meanwhile no other thread sees its
    /// shard.
    pub fn change_or_insert<R>(
        &self,
        key: K,
        make: impl FnOnce(&K) -> V,
        f: impl FnOnce(&mut V) -> R,
    ) -> R {
        match self.map.entry(key) {
            Entry::Occupied(mut entry) => f(entry.get_mut()),
            Entry::Vacant(entry) => {
                let value = make(entry.key());
                f(&mut entry.insert(value))
            }
        }
    }

    pub fn insert(&self, key: K, value: V) {
        self.map.insert(key, value);
    }

    /// Removes the entry if `f` says so. Meanwhile no other thread sees its shard.
    pub fn remove_if<Q>(&self, key: &Q, f: impl FnOnce(&V) -> bool) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let removed = self.map.remove_if(key, |_, value| f(value)).is_some();
        if removed && is_time_to_check() {
            self.shrink();
        }
        removed
    }

    /// Gives memory back after a flood of entries that were removed.
    #[cold]
    fn shrink(&self) {
        let capacity = self.map.capacity();
        if capacity > SMALL && capacity > 8 * self.map.len() {
            self.map.shrink_to_fit();
        }
    }

    pub fn retain(&self, f: impl Fn(&K) -> bool) {
        self.map.retain(|key, _| f(key));
    }

    /// Calls `f` for every entry. Meanwhile no thread can change its shard.
    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        self.map
            .iter()
            .for_each(|entry| f(entry.key(), entry.value()));
    }
}

/// Whether this thread has removed enough entries, of all tables, since it last checked one.
fn is_time_to_check() -> bool {
    thread_local! {
        static REMOVALS: Cell<u32> = const { Cell::new(0) };
    }
    let removals = REMOVALS.get() + 1;
    let is_time = removals == REMOVALS_PER_CHECK;
    REMOVALS.set(if is_time { 0 } else { removals });
    is_time
}

#[cfg(test)]
mod tests {
    use std::mem;

    use super::*;

    #[test]
    fn a_flood_of_entries_gives_its_room_back() {
        let table = Table::<u64, u64>::new();
        for key in 0..100_000 {
            assert_eq!(table.change_or_insert(key, |&key| key, |value| *value), key);
        }
        assert!(table.map.capacity() >= 100_000);
        let mut sum = 0;
        table.for_each(|_, value| sum += value);
        assert_eq!(sum, (0..100_000).sum::<u64>());
        for key in 0..100_000 {
            assert!(!table.remove_if(&key, |&value| value != key));
            assert!(table.remove_if(&key, |&value| value == key));
            assert_eq!(table.read(&key, |&value| value), None);
        }
        // Entries that went after the last check leave some room behind.
        let capacity = table.map.capacity();
        assert!(capacity <= 8 * REMOVALS_PER_CHECK as usize, "{capacity}");
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
