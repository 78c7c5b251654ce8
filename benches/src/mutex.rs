//! The reference's design, in Rust: a mutex for each scope.
//!
//! A reservation locks the scope that it is made on, then, one by one and while that is locked,
//! each scope that it is charged on; where one refuses, those before it get theirs back. A span
//! locks its owner, which does the same. Named scopes are in maps behind one mutex, and each
//! service and protocol has a map of its peers' shares behind a mutex of its own.
//!
//! It is written to be measured, and leaves out what no workload asks for: an allowlist, the
//! background task that collects unused names (they stay as long as the manager), and the exact
//! treatment of programs that release more than they hold.

mod handle;
mod manager;
mod registry;
mod scope;
mod usage;

pub use manager::MutexResourceManager;
