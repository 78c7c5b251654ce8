//! The errors of `accept`, by what an accept loop should do about them.

use std::io;

/// What an error of `accept` is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AcceptError {
    /// One connection failed before it was accepted. The next one may be fine.
    OneConnection,
    /// The process or the machine is out of file descriptors or memory. It is of no use to try
    /// again at once.
    Shortage,
    /// Perhaps the listener is broken, perhaps not.
    Unknown,
}

impl AcceptError {
    pub(crate) fn of(error: &io::Error) -> Self {
        if let Some(code) = error.raw_os_error() {
            if codes::SHORTAGE.contains(&code) {
                return Self::Shortage;
            }
            if codes::ONE_CONNECTION.contains(&code) {
                return Self::OneConnection;
            }
        }
        match error.kind() {
            io::ErrorKind::OutOfMemory => Self::Shortage,
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

/// Whether an error says that there is no file descriptor left, in the process or on the machine.
pub(crate) fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code.is_some_and(|code| codes::OUT_OF_DESCRIPTORS.contains(&code))
}

#[cfg(unix)]
mod codes {
    pub const OUT_OF_DESCRIPTORS: &[i32] = &[libc::EMFILE, libc::ENFILE];

    /// `ENOSPC`: the user has reached the limit of sockets that may be watched.
    pub const SHORTAGE: &[i32] = &[
        libc::EMFILE,
        libc::ENFILE,
        libc::ENOBUFS,
        libc::ENOMEM,
        libc::ENOSPC,
    ];

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
    pub const OUT_OF_DESCRIPTORS: &[i32] = &[10024];
    /// `WSAEMFILE` and `WSAENOBUFS`.
    pub const SHORTAGE: &[i32] = &[10024, 10055];
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
        for code in [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM] {
            assert_eq!(of(code), AcceptError::Shortage, "{code}");
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
        assert_eq!(of(io::ErrorKind::OutOfMemory), AcceptError::Shortage);
        assert_eq!(of(io::ErrorKind::Other), AcceptError::Unknown);
    }
}
