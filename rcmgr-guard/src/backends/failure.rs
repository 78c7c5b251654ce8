//! Why a connection to a backend failed: the backend, or a shortage of this machine.

use std::io;

/// Where a failure comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The backend, or the network on the way.
    Backend,
    /// All local ports are in use for connections to this address (`EADDRNOTAVAIL`).
    NoLocalPort,
    /// This process or machine is out of file descriptors or memory.
    NoDescriptor,
}

impl Cause {
    pub(super) fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::AddrNotAvailable {
            return Self::NoLocalPort;
        }
        match error.raw_os_error() {
            Some(code) if SHORTAGES.contains(&code) => Self::NoDescriptor,
            _ => Self::Backend,
        }
    }
}

/// `EMFILE`, `ENFILE`, `ENOBUFS`, `ENOMEM`.
#[cfg(unix)]
const SHORTAGES: &[i32] = &[libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
/// `WSAEMFILE`, `WSAENOBUFS`.
#[cfg(not(unix))]
const SHORTAGES: &[i32] = &[10024, 10055];
