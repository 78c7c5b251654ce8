//! Stand-ins for atomics. Each access is an event of the run; the value is in a real atomic.

use std::panic::Location;

pub use portable_atomic::Ordering;

use crate::line::Access;
use crate::run::{access, count_failed, full_fence};
use crate::work::Clock;

/// A fence. Only a SeqCst one takes time.
pub fn fence(order: Ordering) {
    if order == Ordering::SeqCst {
        full_fence();
    }
    portable_atomic::fence(order);
}

/// A locked operation is done. The time that it took on the real machine is no work: it is that of the access.
fn done<T>(result: T) -> T {
    Clock::resume();
    result
}

/// The access of a store. A SeqCst store is an exchange, as on x86.
fn store_access(order: Ordering) -> Access {
    match order {
        Ordering::SeqCst => Access::Update,
        _ => Access::Store,
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty) => {
        #[doc = concat!("A stand-in for `", stringify!($name), "`, of the same size.")]
        #[derive(Debug, Default)]
        #[repr(transparent)]
        pub struct $name(portable_atomic::$name);

        impl $name {
            /// A new atomic.
            pub const fn new(value: $value) -> Self {
                Self(portable_atomic::$name::new(value))
            }

            fn address(&self) -> usize {
                std::ptr::from_ref(self).addr()
            }

            /// Loads the value.
            #[track_caller]
            pub fn load(&self, order: Ordering) -> $value {
                access(self.address(), Access::Load, Location::caller());
                self.0.load(order)
            }

            /// Stores a value.
            #[track_caller]
            pub fn store(&self, value: $value, order: Ordering) {
                access(self.address(), store_access(order), Location::caller());
                self.0.store(value, order);
            }

            /// Stores a value and returns the one before.
            #[track_caller]
            pub fn swap(&self, value: $value, order: Ordering) -> $value {
                access(self.address(), Access::Update, Location::caller());
                done(self.0.swap(value, order))
            }

            /// Replaces the value if it is `current`.
            ///
            /// # Errors
            ///
            /// The value, if it is another.
            #[track_caller]
            pub fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                access(self.address(), Access::Update, Location::caller());
                let result = done(self.0.compare_exchange(current, new, success, failure));
                if result.is_err() {
                    count_failed(self.address(), Location::caller());
                }
                result
            }

            /// As [`compare_exchange`](Self::compare_exchange). It never fails without a reason.
            ///
            /// # Errors
            ///
            /// The value, if it is another.
            #[track_caller]
            pub fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            /// The value, which no other thread can reach.
            pub fn get_mut(&mut self) -> &mut $value {
                self.0.get_mut()
            }

            /// The value.
            pub fn into_inner(self) -> $value {
                self.0.into_inner()
            }
        }
    };
}

macro_rules! fetch {
    ($name:ident, $value:ty, $($method:ident = $about:literal),*) => {
        impl $name {
            $(
                #[doc = concat!($about, ", and returns the value before.")]
                #[track_caller]
                pub fn $method(&self, operand: $value, order: Ordering) -> $value {
                    access(self.address(), Access::Update, Location::caller());
                    done(self.0.$method(operand, order))
                }
            )*
        }
    };
}

macro_rules! integer {
    ($name:ident, $value:ty) => {
        atomic!($name, $value);
        fetch!(
            $name,
            $value,
            fetch_add = "Adds, with a wrap-around",
            fetch_sub = "Subtracts, with a wrap-around",
            fetch_or = "Sets bits",
            fetch_and = "Keeps bits",
            fetch_max = "Raises the value to this one, if it is lower",
            fetch_min = "Lowers the value to this one, if it is higher"
        );
    };
}

atomic!(AtomicBool, bool);
integer!(AtomicU32, u32);
integer!(AtomicU64, u64);
integer!(AtomicU128, u128);
