//! The shim under `--cfg loom`: stand-ins whose interleavings loom explores.
//!
//! loom has no 128-bit atomic and cannot look into a concurrent map. Both become a value behind the
//! mutex of loom, whose lock is one step, as theirs is.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

pub use loom::cell::UnsafeCell;
use loom::sync::Mutex;
pub use loom::sync::atomic::{AtomicBool, Ordering, fence};
pub use once_cell::race::OnceBox;

/// Whether loom explores this code.
pub const IS_MODEL: bool = true;

/// A fence between two SeqCst accesses. loom takes such accesses for AcqRel ones, which a load may
/// overtake; the fence gives them the order that they have.
pub fn order_seq_cst_accesses() {
    fence(Ordering::SeqCst);
}

/// Pauses between attempts. loom tries every order anyway.
pub struct Pause;

impl Pause {
    pub fn new() -> Self {
        Self
    }

    pub fn longer(&mut self) {}
}

/// One shard, so that all threads contend for it. With one for each thread there would be no race
/// to explore.
pub const FIRST_SHARDS: usize = 1;

/// The number of shards.
pub fn shards() -> usize {
    FIRST_SHARDS
}

/// Nothing: only a simulated machine wants to know of allocated values.
pub fn allocated<T>(_: &T) {}

/// Nothing: only a simulated machine names its memory.
pub fn name_memory<T>(_: &T, _: impl FnOnce() -> String) {}

/// The shard of this thread: the only one.
pub fn thread_shard() -> usize {
    0
}

/// The same.
pub fn given_shard() -> Option<usize> {
    Some(thread_shard())
}

/// Whether a load may see a value that has been replaced. With `RCMGR_LOOM_STALE_LOADS=1` it may:
/// these are the loads of loom, which show the effect of a weak ordering. But loom 0.7 remembers
/// one access to each atomic, so it does not try a load after a later load and store of another
/// thread, and misses whole interleavings. So without the variable a load is a read-modify-write,
/// which always sees the latest value. Neither mode shows everything: the models run in both.
static STALE_LOADS: std::sync::LazyLock<bool> =
    std::sync::LazyLock::new(|| std::env::var_os("RCMGR_LOOM_STALE_LOADS").is_some());

/// An atomic whose loads see the latest value or a stale one: see [`STALE_LOADS`].
macro_rules! atomic {
    ($name:ident, $int:ty) => {
        #[doc = "An atomic whose loads see the latest value or a stale one."]
        #[derive(Debug)]
        pub struct $name(loom::sync::atomic::$name);

        // Not every atomic needs all of them.
        #[allow(dead_code)]
        impl $name {
            pub fn new(value: $int) -> Self {
                Self(loom::sync::atomic::$name::new(value))
            }

            pub fn load(&self, order: Ordering) -> $int {
                if *STALE_LOADS {
                    self.0.load(order)
                } else {
                    // AcqRel: at least as strong as the requested ordering.
                    self.0.fetch_or(0, Ordering::AcqRel)
                }
            }

            pub fn store(&self, value: $int, order: Ordering) {
                if *STALE_LOADS {
                    self.0.store(value, order);
                } else {
                    // AcqRel: at least as strong as the requested ordering.
                    self.0.swap(value, Ordering::AcqRel);
                }
            }

            pub fn swap(&self, value: $int, order: Ordering) -> $int {
                self.0.swap(value, order)
            }

            pub fn fetch_add(&self, amount: $int, order: Ordering) -> $int {
                self.0.fetch_add(amount, order)
            }

            pub fn fetch_sub(&self, amount: $int, order: Ordering) -> $int {
                self.0.fetch_sub(amount, order)
            }

            pub fn fetch_or(&self, bits: $int, order: Ordering) -> $int {
                self.0.fetch_or(bits, order)
            }

            pub fn fetch_max(&self, value: $int, order: Ordering) -> $int {
                self.0.fetch_max(value, order)
            }

            pub fn compare_exchange(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.0.compare_exchange(current, new, success, failure)
            }

            pub fn compare_exchange_weak(
                &self,
                current: $int,
                new: $int,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$int, $int> {
                self.0.compare_exchange_weak(current, new, success, failure)
            }
        }
    };
}
atomic!(AtomicU64, u64);
atomic!(AtomicU32, u32);

/// A 128-bit atomic behind the mutex of loom. The lock orders every access, so the models do not
/// cover a weaker ordering of this word. Nothing depends on one.
#[derive(Debug)]
pub struct AtomicU128(Mutex<u128>);

impl AtomicU128 {
    pub fn new(value: u128) -> Self {
        Self(Mutex::new(value))
    }

    pub fn load(&self, _: Ordering) -> u128 {
        *self.0.lock().unwrap()
    }

    pub fn compare_exchange_weak(
        &self,
        current: u128,
        new: u128,
        _: Ordering,
        _: Ordering,
    ) -> Result<u128, u128> {
        let mut value = self.0.lock().unwrap();
        if *value != current {
            return Err(*value);
        }
        *value = new;
        Ok(current)
    }

    pub fn fetch_sub(&self, amount: u128, _: Ordering) -> u128 {
        let mut value = self.0.lock().unwrap();
        let before = *value;
        *value = before.wrapping_sub(amount);
        before
    }
}

/// A value that is replaced whole.
pub struct Published<T>(Mutex<Arc<T>>);

impl<T> Published<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(Arc::new(value)))
    }

    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.get())
    }

    pub fn get(&self) -> Arc<T> {
        self.0.lock().unwrap().clone()
    }

    pub fn set(&self, value: T) {
        *self.0.lock().unwrap() = Arc::new(value);
    }
}

/// A lock for rare operations.
#[derive(Debug)]
pub struct RareLock(Mutex<()>);

pub type RareGuard<'a> = loom::sync::MutexGuard<'a, ()>;

/// loom cannot explore a lock that spins, so the claim is its mutex.
pub type Claim = RareLock;

pub type Claimed<'a> = RareGuard<'a>;

impl Default for RareLock {
    fn default() -> Self {
        Self(Mutex::new(()))
    }
}

impl RareLock {
    pub fn lock(&self) -> RareGuard<'_> {
        self.0.lock().unwrap()
    }

    pub fn try_lock(&self) -> Option<RareGuard<'_>> {
        self.0.try_lock().ok()
    }
}

/// A value behind a lock.
#[derive(Debug)]
pub struct Guarded<T>(Mutex<T>);

impl<T> Guarded<T> {
    pub fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock().unwrap())
    }

    /// Without waiting: `None` if another thread holds the lock.
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_lock().ok().map(|mut value| f(&mut value))
    }
}

/// A value that is set once. The lock shows loom that a reader of the value comes after the thread
/// that set it.
#[derive(Debug)]
pub struct SetOnce<T>(Mutex<()>, std::sync::OnceLock<T>);

impl<T> SetOnce<T> {
    pub fn new() -> Self {
        Self(Mutex::new(()), std::sync::OnceLock::new())
    }

    pub fn get(&self) -> Option<&T> {
        let _lock = self.0.lock().unwrap();
        self.1.get()
    }

    pub fn set(&self, value: T) -> Result<(), T> {
        let _lock = self.0.lock().unwrap();
        self.1.set(value)
    }
}

/// Values by name, all in one shard.
pub struct Table<K, V>(Mutex<HashMap<K, V>>);

impl<K: Eq + Hash, V> Table<K, V> {
    pub fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    pub fn shards(&self) -> usize {
        1
    }

    pub fn place<'a, Q>(&'a self, key: &'a Q) -> Place<'a, Q, K, V>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        Place(key, self)
    }

    pub fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.lock().unwrap().get(key).map(f)
    }

    pub fn change_or_insert<R>(
        &self,
        key: K,
        make: impl FnOnce(&K) -> V,
        f: impl FnOnce(&mut V) -> R,
    ) -> R {
        let mut map = self.0.lock().unwrap();
        match map.entry(key) {
            std::collections::hash_map::Entry::Occupied(mut entry) => f(entry.get_mut()),
            std::collections::hash_map::Entry::Vacant(entry) => {
                let value = make(entry.key());
                f(entry.insert(value))
            }
        }
    }

    pub fn change<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.0.lock().unwrap().get_mut(key).map(f)
    }

    pub fn insert(&self, key: K, value: V) {
        self.0.lock().unwrap().insert(key, value);
    }

    pub fn remove_if<Q>(&self, key: &Q, f: impl FnOnce(&V) -> bool) -> bool
    where
        K: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let mut map = self.0.lock().unwrap();
        map.get(key).is_some_and(f) && map.remove(key).is_some()
    }

    pub fn retain(&self, f: impl Fn(&K) -> bool) {
        self.0.lock().unwrap().retain(|key, _| f(key));
    }

    pub fn for_each(&self, mut f: impl FnMut(&K, &V)) {
        for (key, value) in self.0.lock().unwrap().iter() {
            f(key, value);
        }
    }
}

/// Where the entry of a key is, or would be.
pub struct Place<'a, Q: ?Sized, K, V>(&'a Q, &'a Table<K, V>);

impl<Q, K, V> Place<'_, Q, K, V>
where
    K: std::borrow::Borrow<Q> + Eq + Hash,
    Q: Eq + Hash + ?Sized,
{
    pub fn shard(&self) -> usize {
        0
    }

    pub fn change<R>(&self, f: impl FnOnce(&mut V) -> R) -> Option<R> {
        self.1.change(self.0, f)
    }

    pub fn try_change<R>(&self, f: impl FnOnce(&mut V) -> R) -> Option<Option<R>> {
        let mut map = self.1.0.try_lock().ok()?;
        Some(map.get_mut(self.0).map(f))
    }
}
