//! A value for each shard of threads, so that threads do not contend for one value.

use crossbeam_utils::CachePadded;

use crate::sync::{FIRST_SHARDS, shards, thread_shard};

/// One value for each shard of threads, on cache lines of its own.
///
/// There are as many shards as the machine has cores. The first few lie in place, so that a small
/// machine follows no further pointer. A larger machine has the others behind one.
#[derive(Debug)]
pub struct PerThread<T> {
    first: [CachePadded<T>; FIRST_SHARDS],
    further: Box<[CachePadded<T>]>,
}

impl<T> PerThread<T> {
    /// As many values as there are shards.
    pub fn new(make: impl Fn() -> T) -> Self {
        let further = FIRST_SHARDS..shards();
        Self {
            first: std::array::from_fn(|_| CachePadded::new(make())),
            further: further.map(|_| CachePadded::new(make())).collect(),
        }
    }

    /// A few values, each for several shards on a large machine: where there may be many of these,
    /// memory matters more than contention.
    pub fn few(make: impl Fn() -> T) -> Self {
        Self {
            first: std::array::from_fn(|_| CachePadded::new(make())),
            further: Box::new([]),
        }
    }

    /// The value that this thread uses.
    #[inline]
    pub fn of_this_thread(&self) -> &T {
        let shard = thread_shard();
        match self.first.get(shard) {
            Some(value) => value,
            None => self.of_further_shard(shard),
        }
    }

    /// The same, with the number of the shard.
    #[inline]
    pub fn numbered_of_this_thread(&self) -> (usize, &T) {
        (thread_shard(), self.of_this_thread())
    }

    // Not inlined: a small machine never comes here.
    #[inline(never)]
    fn of_further_shard(&self, shard: usize) -> &T {
        let value = self.further.get(shard - FIRST_SHARDS);
        value.unwrap_or(&self.first[shard % self.first.len()])
    }

    /// The value of the shard of this number.
    #[inline]
    pub fn get(&self, shard: usize) -> Option<&T> {
        match self.first.get(shard) {
            Some(value) => Some(value),
            None => self.further.get(shard - FIRST_SHARDS).map(|value| &**value),
        }
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        let all = self.first.iter().chain(&self.further);
        all.map(|value| &**value)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn there_is_a_shard_for_each_core_and_no_fewer_than_the_first_ones() {
        let values = PerThread::new(|| ());
        assert_eq!(values.iter().count(), shards());
        assert!(shards() >= FIRST_SHARDS && shards().is_power_of_two());
        assert_eq!(PerThread::few(|| ()).iter().count(), FIRST_SHARDS);
    }

    #[test]
    fn every_thread_finds_its_value_among_all_or_among_a_few() {
        let all = PerThread::new(|| AtomicU64::new(0));
        let few = PerThread::few(|| AtomicU64::new(0));
        let count = || {
            for values in [&all, &few] {
                values.of_this_thread().fetch_add(1, Ordering::Relaxed);
            }
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..3 * shards()).map(|_| scope.spawn(count)).collect();
            threads.into_iter().for_each(|one| one.join().unwrap());
        });
        for values in [&all, &few] {
            let counts = values.iter().map(|value| value.load(Ordering::Relaxed));
            assert_eq!(counts.sum::<u64>(), 3 * shards() as u64);
        }
        // A shard of a large machine beyond the few.
        let far = few.of_further_shard(FIRST_SHARDS + 1);
        assert!(std::ptr::eq(far, &*few.first[1 % FIRST_SHARDS]));
    }
}
