//! A value for each shard of threads, so that threads do not contend for one value.

use crossbeam_utils::CachePadded;

use crate::sync::{SHARDS, thread_shard};

/// One value for each shard of threads, on cache lines of its own.
#[derive(Debug)]
pub struct PerThread<T>([CachePadded<T>; SHARDS]);

impl<T> PerThread<T> {
    pub fn new(make: impl Fn() -> T) -> Self {
        Self(std::array::from_fn(|_| CachePadded::new(make())))
    }

    /// The value that this thread uses.
    #[inline]
    pub fn of_this_thread(&self) -> &T {
        &self.0[thread_shard()]
    }

    /// All values.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|value| &**value)
    }
}
