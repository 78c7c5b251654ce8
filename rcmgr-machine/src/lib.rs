//! A simulated machine with many cores: the values of atomics and locks are real, their time is
//! simulated.
//!
//! Each core of the machine is a coroutine. The core whose clock is least runs next, up to its next
//! access to an atomic. The access takes the time that the state of its cache line and the costs of
//! the [`Machine`] give, and moves the line. Transfers of one line queue behind each other.
//!
//! | to learn about | see |
//! | --- | --- |
//! | the costs and the topology, as a file | [`Machine`] |
//! | a run of some tasks, one on each core | [`Simulation`] |
//! | its result: transfers, waiting, the hottest lines | [`Outcome`] |
//! | the stand-ins for atomics, locks and `Arc` | [`AtomicU64`] and others, [`Mutex`], [`Arc`] |
//! | the work between accesses, and how it is measured | [`Work`], [`Simulation::measure_work`] |
//!
//! ```
//! use std::sync::Arc;
//!
//! use rcmgr_machine::{AtomicU64, Machine, Ordering, Simulation};
//!
//! let counter = Arc::new(AtomicU64::new(0));
//! let task = |_| -> Box<dyn FnOnce() + Send> {
//!     let counter = counter.clone();
//!     Box::new(move || {
//!         for _ in 0..100 {
//!             counter.fetch_add(1, Ordering::Relaxed);
//!         }
//!     })
//! };
//! let machine = Machine::shipped("one-socket").expect("it is shipped");
//! let outcome = Simulation::new(machine).run((0..32).map(task).collect())?;
//! assert_eq!(counter.load(Ordering::Relaxed), 3200);
//! println!("{} transfers", outcome.transfers);
//! # Ok::<(), rcmgr_machine::RunError>(())
//! ```
//!
//! # What is not simulated
//!
//! - Plain memory: only atomics and locks have lines. False sharing with plain data is not seen.
//! - Caches have no size: a line stays where it was used last.
//! - A core runs one thread, and nothing preempts it.
//! - A core does its accesses in order, with two exceptions: it waits for the lines of several loads together, and stores
//!   are done later, one after the other. Values are sequentially consistent, whatever the ordering says.
//!
//! Outside of a run, the stand-ins are ordinary atomics and locks.

#![forbid(unsafe_code)]

mod announced;
mod atomics;
mod description;
mod line;
mod locks;
mod map;
mod memory;
mod once;
mod one_core;
mod outcome;
mod published;
mod run;
mod shared;
mod time;
mod work;

pub use announced::{allocated, name_memory};
pub use atomics::{AtomicBool, AtomicU32, AtomicU64, AtomicU128, Ordering, fence};
pub use description::{Costs, Machine, MachineError};
pub use line::{Access, Line, Served};
pub use locks::{Backoff, Mutex, MutexGuard, SpinMutex};
pub use once::{OnceBox, OnceLock};
pub use outcome::{HotLine, Outcome};
pub use published::ArcSwap;
pub use run::{
    RunError, Simulation, cores, current_core, measure_from_now, measure_until_now, now, work,
};
pub use shared::Arc;
pub use time::Time;
pub use work::{Work, WorkTimes};
