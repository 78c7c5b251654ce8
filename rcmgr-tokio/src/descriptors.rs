//! The wait for a free file descriptor: each socket of this crate that is closed wakes the listeners
//! that wait for one.
//!
//! File descriptors belong to the process, so the list of waiting listeners does too: a socket of
//! any listener, or of none, frees a descriptor for each of them.

/// Wakes the listeners that wait for a file descriptor, when it is dropped. Put it behind the socket
/// in a struct: fields are dropped in their order, so the descriptor is free by then.
#[derive(Debug, Default)]
pub(crate) struct WakeAcceptors;
