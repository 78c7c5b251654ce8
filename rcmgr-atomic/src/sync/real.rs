//! The shim in a server: real atomics, and locks of `spin` and `parking_lot`; or those of a simulated
//! machine.

use std::sync::Arc;

use super::brief_lock::BriefLock;
use super::primitives::{ArcSwap, Backoff, BriefGuard, Mutex, MutexGuard, OnceLock};

pub use super::primitives::{
    AtomicBool, AtomicU32, AtomicU64, AtomicU128, FIRST_SHARDS, OnceBox, Ordering, allocated,
    fence, given_shard, name_memory, shards, thread_shard,
};

/// Whether loom explores this code.
pub const IS_MODEL: bool = false;

/// Short pauses between the attempts of a thread that other threads were faster than.
pub struct Pause(Backoff);

impl Pause {
    pub fn new() -> Self {
        Self(Backoff::new())
    }

    /// Pauses: first for one processor pause, then each time for twice as many, at most 64.
    pub fn longer(&mut self) {
        self.0.spin();
    }
}

/// Nothing: SeqCst accesses are in one order. The shim of loom needs it.
#[inline(always)]
pub fn order_seq_cst_accesses() {}

/// A cell whose user argues why each access is sound. The interface is that of loom.
#[derive(Debug)]
pub struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

impl<T> UnsafeCell<T> {
    pub fn new(value: T) -> Self {
        Self(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(*const T) -> R) -> R {
        f(self.0.get())
    }

    #[inline]
    pub fn with_mut<R>(&self, f: impl FnOnce(*mut T) -> R) -> R {
        f(self.0.get())
    }
}

/// A value that is read often and replaced rarely, as a whole.
pub struct Published<T>(ArcSwap<T>);

impl<T> Published<T> {
    pub fn new(value: T) -> Self {
        Self(ArcSwap::from_pointee(value))
    }

    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        f(&self.0.load())
    }

    pub fn get(&self) -> Arc<T> {
        self.0.load_full()
    }

    pub fn set(&self, value: T) {
        self.0.store(Arc::new(value));
    }
}

/// A lock for rare operations, such as a change of limits. Nothing that reserves, releases, closes
/// or reads takes it.
#[derive(Debug, Default)]
pub struct RareLock(Mutex<()>);

impl RareLock {
    pub fn lock(&self) -> MutexGuard<'_, ()> {
        self.0.lock()
    }

    /// Without waiting: `None` if another thread holds it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, ()>> {
        self.0.try_lock()
    }
}

/// The right to move a leaf, for one thread at a time. There is one in each leaf: the lock takes a
/// byte.
pub type Claim = BriefLock<()>;

/// Proof that a thread holds a claim.
pub type Claimed<'a> = BriefGuard<'a, ()>;

/// A value behind a lock. It is used when a leaf is opened, moved or collected, and not when memory
/// is reserved.
pub struct Guarded<T>(BriefLock<T>);

impl<T> Guarded<T> {
    pub fn new(value: T) -> Self {
        Self(BriefLock::new(value))
    }

    #[inline]
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.0.lock())
    }

    /// Without waiting: `None` if another thread holds the lock.
    #[inline]
    pub fn try_with<R>(&self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.0.try_lock().map(|mut value| f(&mut value))
    }
}

/// A value that is set once, and read without waiting.
pub type SetOnce<T> = OnceLock<T>;
