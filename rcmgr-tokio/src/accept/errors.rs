//! The errors of `accept`, sorted by the reaction of an accept loop.

use std::io;

/// The cause of an error of `accept`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// One connection failed before it was accepted. The next one may be fine.
    OneConnection,
    /// A resource is used up. Another attempt fails too until some of it is free.
    Shortage(Shortage),
    /// The listener may be broken.
    Unknown,
}

/// A resource that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shortage {
    /// The file descriptors that the process may have.
    OfProcess,
    /// The file descriptors of the machine.
    OfMachine,
    /// Memory for sockets.
    Memory,
}

impl AcceptError {
    pub(crate) fn of(error: &io::Error) -> Self {
        let code = error.raw_os_error();
        let is_one_of = |codes: &[i32]| code.is_some_and(|code| codes.contains(&code));
        if is_one_of(codes::OF_PROCESS) {
            return Self::Shortage(Shortage::OfProcess);
        }
        if is_one_of(codes::OF_MACHINE) {
            return Self::Shortage(Shortage::OfMachine);
        }
        if is_one_of(codes::MEMORY) {
            return Self::Shortage(Shortage::Memory);
        }
        if is_one_of(codes::ONE_CONNECTION) {
            return Self::OneConnection;
        }
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::Shortage(Shortage::Memory),
            io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::Interrupted
            | io::ErrorKind::InvalidData
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::TimedOut
            | io::ErrorKind::UnexpectedEof => Self::OneConnection,
            _ => Self::Unknown,
        }
    }
}

#[cfg(unix)]
mod codes {
    pub const OF_PROCESS: &[i32] = &[libc::EMFILE];
    pub const OF_MACHINE: &[i32] = &[libc::ENFILE];
    /// `ENOSPC`: the user has reached the limit of sockets that may be watched, which is one of memory.
    pub const MEMORY: &[i32] = &[libc::ENOBUFS, libc::ENOMEM, libc::ENOSPC];

    /// Those that accept(2) names as errors of the network that are already pending on the new
    /// socket, `ECONNABORTED`, and `EPERM` of a firewall.
    pub const ONE_CONNECTION: &[i32] = &[
        libc::ECONNABORTED,
        libc::ECONNRESET,
        libc::EPROTO,
        libc::ENOPROTOOPT,
        libc::EOPNOTSUPP,
        libc::ENETDOWN,
        libc::ENETUNREACH,
        libc::EHOSTDOWN,
        libc::EHOSTUNREACH,
        libc::ETIMEDOUT,
        libc::EPERM,
        libc::EINTR,
        #[cfg(any(target_os = "linux", target_os = "android"))]
        libc::ENONET,
    ];
}

#[cfg(not(unix))]
mod codes {
    /// `WSAEMFILE`.
    pub const OF_PROCESS: &[i32] = &[10024];
    pub const OF_MACHINE: &[i32] = &[];
    /// `WSAENOBUFS`.
    pub const MEMORY: &[i32] = &[10055];
    /// `WSAENETDOWN`, `WSAECONNABORTED`, `WSAECONNRESET`.
    pub const ONE_CONNECTION: &[i32] = &[10050, 10053, 10054];
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_connection_are_told_from_a_shortage() {
        let of = |code| AcceptError::of(&io::Error::from_raw_os_error(code));
        for code in [
            libc::ECONNABORTED,
            libc::EPROTO,
            libc::ENETDOWN,
            libc::EPERM,
        ] {
            assert_eq!(of(code), AcceptError::OneConnection, "{code}");
        }
        for (code, shortage) in [
            (libc::EMFILE, Shortage::OfProcess),
            (libc::ENFILE, Shortage::OfMachine),
            (libc::ENOBUFS, Shortage::Memory),
            (libc::ENOMEM, Shortage::Memory),
        ] {
            assert_eq!(of(code), AcceptError::Shortage(shortage), "{code}");
        }
        for code in [libc::EBADF, libc::EINVAL, libc::ENOTSOCK] {
            assert_eq!(of(code), AcceptError::Unknown, "{code}");
        }
    }

    #[test]
    fn errors_without_a_code_are_told_apart_by_kind() {
        let of = |kind| AcceptError::of(&io::Error::new(kind, "handshake"));
        let aborted = io::ErrorKind::ConnectionAborted;
        assert_eq!(of(aborted), AcceptError::OneConnection);
        let memory = AcceptError::Shortage(Shortage::Memory);
        assert_eq!(of(io::ErrorKind::OutOfMemory), memory);
        assert_eq!(of(io::ErrorKind::Other), AcceptError::Unknown);
    }
}
