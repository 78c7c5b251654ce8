//! Plain counters, and the kinds that they count.

mod class_refusals;
mod conn_memory;
mod kind;
mod missed;
mod numbers;
mod own_memory;
mod per_thread;
mod refusals;
mod slot;
mod transfers;

pub use class_refusals::ClassRefusals;
pub use conn_memory::{ConnMemory, ConnMemoryBucket, ConnMemoryCounts};
pub use kind::Kind;
pub use missed::{Change, MissedCell};
pub use numbers::{LazyNumber, Numbers};
pub use own_memory::OwnMemory;
pub use per_thread::PerThread;
pub use refusals::RefusalCounts;
pub use slot::Slot;
pub use transfers::Transfers;
