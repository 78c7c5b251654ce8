//! The `mutex` engine on a simulated machine: the sources of the real one, with other locks.
#![allow(clippy::duplicate_mod, reason = "built a second time, on purpose")]

#[path = "mutex/handle.rs"]
mod handle;
#[path = "mutex/manager.rs"]
mod manager;
#[path = "mutex/registry.rs"]
mod registry;
#[path = "mutex/scope.rs"]
mod scope;
#[path = "mutex/usage.rs"]
mod usage;

mod primitives {
    //! The atomics and locks of the simulated machine.

    pub use rcmgr_machine::{AtomicBool, AtomicU64, Mutex, Ordering, allocated, name_memory};
}

pub use manager::MutexResourceManager;
