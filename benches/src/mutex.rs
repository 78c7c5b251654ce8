//! The design of go-libp2p in Rust: a mutex for each scope.
//!
//! A reservation locks the scope that it is made on. While it holds this lock, it locks and charges
//! each scope above, one by one. If one of them refuses, the scopes charged before it are released.
//! A span locks its owner, which does the same. Named scopes are in maps behind one mutex. Each
//! service and protocol has a map of its peers' shares behind its own mutex.
//!
//! It exists to be measured. It leaves out the features that no workload uses: the allowlist, the
//! background task that collects unused names (names stay as long as the manager), and the exact
//! handling of over-releases.

mod handle;
mod manager;
mod primitives;
mod registry;
mod scope;
mod usage;

pub use manager::MutexResourceManager;
