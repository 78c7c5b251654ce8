//! The accept loop of a guarded listener.

#![cfg(unix)]

mod admission;
mod bursts;
mod cancel;
mod log;
mod own_admission;
mod pauses;
mod script;
