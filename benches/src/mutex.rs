//! The design of go-libp2p in Rust: a mutex for each scope.
//!
//! A reservation locks the scope that it is made on. While it holds this lock, it locks and charges
//! each scope above, one by one. If one of them refuses, the scopes charged before it are released.
//! A span locks its owner, which does the same. Named scopes are in maps behind one mutex. Each
//! service and protocol has a map of its peers' shares behind its own mutex.
//!
//! Four things are as in go-libp2p because they cost time: a mutex waits as Go's does (`lock.rs`); each
//! scope has its name as text; each scope that a refusal passes puts its name before the text of the
//! refusal; and the numbers of connections and streams come from behind the mutex of all names.
//!
//! It exists to be measured. It leaves out the features that no workload uses: the allowlist, the
//! background task that collects unused names (names stay as long as the manager), and the exact
//! handling of over-releases.

mod handle;
mod lock;
mod manager;
mod primitives;
mod registry;
mod scope;
mod usage;

pub use manager::MutexResourceManager;
