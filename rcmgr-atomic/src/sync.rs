//! The one place that knows of loom: what threads share is made of what is here, so that the
//! models in `loom-tests` run the very code that runs in a server.
//!
//! Built with `--cfg loom`, atomics, cells and locks are loom's, which tries their interleavings.
//! loom has no 128-bit atomic and does not see into a concurrent map: those become a value behind
//! loom's mutex, whose lock is one step, as theirs is.

#[cfg(not(loom))]
mod table;

pub(crate) use once_cell::race::OnceBox;
pub(crate) use shim::*;

/// What the models are made of: nothing, but for them.
#[cfg(not(loom))]
pub mod internals {}

/// What the models are made of.
#[cfg(loom)]
pub mod internals {
    pub use crate::allowlisted::leave_allowlist;
    pub use crate::credit::Kind;
    pub use crate::direct::NodeUser;
    pub use crate::engine::Engine;
    pub use crate::leaf::{Leaf, charge_new, join_charged};
    pub use crate::lending::CreditOptions;
    pub use crate::node::Node;
    pub use crate::path::{Path, PathKind};
    pub use crate::shared::{Collect, Shared, Use};
    pub use crate::slot::Slot;
    pub use crate::span::{Owner, SpanState};
    pub use crate::staged::{Retire, Staged};
    pub use crate::word::LeafWord;
}

#[cfg(not(loom))]
mod shim {
    use std::cell::Cell;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    use arc_swap::ArcSwap;
    pub(crate) use portable_atomic::{
        AtomicBool, AtomicU32, AtomicU64, AtomicU128, Ordering, fence,
    };

    use crate::brief_lock::{BriefGuard, BriefLock};

    pub(crate) use super::table::Table;

    /// Into how many lanes what threads would contend for is split.
    pub(crate) const LANES: usize = 8;

    thread_local! {
        static LANE: Cell<usize> = const { Cell::new(usize::MAX) };
    }

    /// The lane of this thread: threads take them in turn.
    #[inline]
    pub(crate) fn lane() -> usize {
        match LANE.get() {
            lane if lane < LANES => lane,
            _ => take_lane(),
        }
    }

    #[cold]
    fn take_lane() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        // Relaxed: the numbers are to be spread, no more.
        let lane = NEXT.fetch_add(1, Ordering::Relaxed) % LANES;
        LANE.set(lane);
        lane
    }

    /// A cell whose user says why an access is sound. The interface is loom's.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
            f(self.0.get())
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
            f(self.0.get())
        }
    }

    /// A value that is read often and replaced rarely, whole.
    pub(crate) struct Published<T>(ArcSwap<T>);

    impl<T> Published<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(ArcSwap::from_pointee(value))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
            f(&self.0.load())
        }

        pub(crate) fn get(&self) -> Arc<T> {
            self.0.load_full()
        }

        pub(crate) fn set(&self, value: T) {
            self.0.store(Arc::new(value));
        }
    }

    /// A lock for what is rare: changing limits, moving a leaf. Nothing that reserves, releases,
    /// closes or reads takes it.
    #[derive(Debug, Default)]
    pub(crate) struct RareLock(std::sync::Mutex<()>);

    type RareGuard<'a> = std::sync::MutexGuard<'a, ()>;

    impl RareLock {
        pub(crate) fn hold(&self) -> RareGuard<'_> {
            // Nothing that is done under it panics.
            self.0.lock().unwrap_or_else(|poison| poison.into_inner())
        }

        /// Without waiting: `None` if another holds it.
        pub(crate) fn try_hold(&self) -> Option<RareGuard<'_>> {
            self.0.try_lock().ok()
        }
    }

    /// The right of one at a time to move a leaf. Whoever comes meanwhile lets others run until it is
    /// free: nearly never, since a leaf is moved by the one that owns it.
    #[derive(Default)]
    pub(crate) struct Claim(BriefLock<()>);

    pub(crate) type Claimed<'a> = BriefGuard<'a, ()>;

    impl Claim {
        #[inline]
        pub(crate) fn hold(&self) -> Claimed<'_> {
            self.0.lock()
        }
    }

    /// A value behind a lock: for what is looked up or made when something is opened or moved.
    pub(crate) struct Guarded<T>(BriefLock<T>);

    impl<T> Guarded<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(BriefLock::new(value))
        }

        #[inline]
        pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock())
        }
    }

    /// A value that is set once, and read without waiting.
    pub(crate) type SetOnce<T> = std::sync::OnceLock<T>;
}

#[cfg(loom)]
mod shim {
    use std::collections::HashMap;
    use std::hash::Hash;
    use std::sync::Arc;

    pub(crate) use loom::cell::UnsafeCell;
    use loom::sync::Mutex;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};

    /// One lane, for which all threads contend: with one for each there is nothing to be tried.
    pub(crate) const LANES: usize = 1;

    pub(crate) fn lane() -> usize {
        0
    }

    /// Whether a load may see a value that has been replaced, as loom's loads may, which shows what
    /// a weak ordering lets through. Else a load is a read-modify-write, which always sees the
    /// latest: loom 0.7 remembers one access to each atomic, so a load that is followed by a load
    /// and a store of another thread is not tried after them, and whole interleavings are missed.
    /// Neither way shows all, so the models are run both ways (`RCMGR_LOOM_STALE_LOADS=1`).
    static STALE_LOADS: std::sync::LazyLock<bool> =
        std::sync::LazyLock::new(|| std::env::var_os("RCMGR_LOOM_STALE_LOADS").is_some());

    #[derive(Debug)]
    pub(crate) struct AtomicU64(loom::sync::atomic::AtomicU64);

    impl AtomicU64 {
        pub(crate) fn new(value: u64) -> Self {
            Self(loom::sync::atomic::AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            if *STALE_LOADS {
                self.0.load(order)
            } else {
                self.0.fetch_or(0, Ordering::AcqRel)
            }
        }

        pub(crate) fn store(&self, value: u64, order: Ordering) {
            if *STALE_LOADS {
                self.0.store(value, order);
            } else {
                self.0.swap(value, Ordering::AcqRel);
            }
        }

        pub(crate) fn swap(&self, value: u64, order: Ordering) -> u64 {
            self.0.swap(value, order)
        }

        pub(crate) fn fetch_add(&self, amount: u64, order: Ordering) -> u64 {
            self.0.fetch_add(amount, order)
        }

        pub(crate) fn fetch_sub(&self, amount: u64, order: Ordering) -> u64 {
            self.0.fetch_sub(amount, order)
        }

        pub(crate) fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
            self.0.fetch_or(bits, order)
        }

        pub(crate) fn fetch_max(&self, value: u64, order: Ordering) -> u64 {
            self.0.fetch_max(value, order)
        }

        pub(crate) fn compare_exchange(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.0.compare_exchange(current, new, success, failure)
        }

        pub(crate) fn compare_exchange_weak(
            &self,
            current: u64,
            new: u64,
            success: Ordering,
            failure: Ordering,
        ) -> Result<u64, u64> {
            self.0.compare_exchange_weak(current, new, success, failure)
        }
    }

    /// A 128-bit atomic behind loom's mutex. The lock orders every access: what depends on a
    /// weaker ordering of this word is not modelled, and nothing does.
    #[derive(Debug)]
    pub(crate) struct AtomicU128(Mutex<u128>);

    impl AtomicU128 {
        pub(crate) fn new(value: u128) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn load(&self, _: Ordering) -> u128 {
            *self.0.lock().unwrap()
        }

        pub(crate) fn compare_exchange_weak(
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

        pub(crate) fn fetch_sub(&self, amount: u128, _: Ordering) -> u128 {
            let mut value = self.0.lock().unwrap();
            let before = *value;
            *value = before.wrapping_sub(amount);
            before
        }
    }

    pub(crate) struct Published<T>(Mutex<Arc<T>>);

    impl<T> Published<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(Arc::new(value)))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
            f(&self.get())
        }

        pub(crate) fn get(&self) -> Arc<T> {
            self.0.lock().unwrap().clone()
        }

        pub(crate) fn set(&self, value: T) {
            *self.0.lock().unwrap() = Arc::new(value);
        }
    }

    #[derive(Debug)]
    pub(crate) struct RareLock(Mutex<()>);

    pub(crate) type RareGuard<'a> = loom::sync::MutexGuard<'a, ()>;

    /// loom can't try a thread that waits by asking again.
    pub(crate) type Claim = RareLock;

    pub(crate) type Claimed<'a> = RareGuard<'a>;

    impl Default for RareLock {
        fn default() -> Self {
            Self(Mutex::new(()))
        }
    }

    impl RareLock {
        pub(crate) fn hold(&self) -> RareGuard<'_> {
            self.0.lock().unwrap()
        }

        pub(crate) fn try_hold(&self) -> Option<RareGuard<'_>> {
            self.0.try_lock().ok()
        }
    }

    #[derive(Debug)]
    pub(crate) struct Guarded<T>(Mutex<T>);

    impl<T> Guarded<T> {
        pub(crate) fn new(value: T) -> Self {
            Self(Mutex::new(value))
        }

        pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.0.lock().unwrap())
        }
    }

    /// The lock makes loom see that who reads the value comes after who set it.
    #[derive(Debug)]
    pub(crate) struct SetOnce<T>(Mutex<()>, std::sync::OnceLock<T>);

    impl<T> SetOnce<T> {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(()), std::sync::OnceLock::new())
        }

        pub(crate) fn get(&self) -> Option<&T> {
            let _lock = self.0.lock().unwrap();
            self.1.get()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            let _lock = self.0.lock().unwrap();
            self.1.set(value)
        }
    }

    pub(crate) struct Table<K, V>(Mutex<HashMap<K, V>>);

    impl<K: Eq + Hash, V> Table<K, V> {
        pub(crate) fn new() -> Self {
            Self(Mutex::new(HashMap::new()))
        }

        pub(crate) fn read<Q, R>(&self, key: &Q, f: impl FnOnce(&V) -> R) -> Option<R>
        where
            K: std::borrow::Borrow<Q>,
            Q: Eq + Hash + ?Sized,
        {
            self.0.lock().unwrap().get(key).map(f)
        }

        pub(crate) fn change_or_insert<R>(
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

        pub(crate) fn change<Q, R>(&self, key: &Q, f: impl FnOnce(&mut V) -> R) -> Option<R>
        where
            K: std::borrow::Borrow<Q>,
            Q: Eq + Hash + ?Sized,
        {
            self.0.lock().unwrap().get_mut(key).map(f)
        }

        pub(crate) fn insert(&self, key: K, value: V) {
            self.0.lock().unwrap().insert(key, value);
        }

        pub(crate) fn remove_if<Q>(&self, key: &Q, f: impl FnOnce(&V) -> bool) -> bool
        where
            K: std::borrow::Borrow<Q>,
            Q: Eq + Hash + ?Sized,
        {
            let mut map = self.0.lock().unwrap();
            map.get(key).is_some_and(f) && map.remove(key).is_some()
        }

        pub(crate) fn retain(&self, f: impl Fn(&K) -> bool) {
            self.0.lock().unwrap().retain(|key, _| f(key));
        }

        pub(crate) fn for_each(&self, mut f: impl FnMut(&K, &V)) {
            for (key, value) in self.0.lock().unwrap().iter() {
                f(key, value);
            }
        }
    }
}
