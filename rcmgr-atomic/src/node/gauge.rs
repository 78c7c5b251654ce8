//! Gauges: the usage of a node in one group of resources, the peak of it, and the limits of the
//! group. Each gauge has cache lines of its own.
//!
//! A charge takes two steps. [`check`](MemoryGauge::check) compares the counter with the limits.
//! [`commit`](MemoryGauge::commit) swaps the counter, if it still has the value that was checked.
//! Usage only falls when something is released, so the release notes the peak: it has just written
//! the cache line of the counter. A charge that is cancelled, because another node refused, leaves
//! no peak of its own. (A release by another thread in between may count it in.)

mod conns;
mod conns_credit;
mod memory;
mod peak;
mod streams;

pub use conns::ConnsGauge;
pub use conns_credit::{ConnsStock, ConnsStocks};
pub use memory::{MemoryGauge, threshold};
pub use streams::StreamsGauge;
