//! The accept loop of a guarded listener.

mod admission;
mod bursts;
mod cancel;
mod log;
mod pauses;
mod script;
