//! The direction of a connection or stream, and whether a connection uses a file descriptor.

use std::fmt;

/// Which side opened a connection or stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The remote opened it.
    Inbound,
    /// We opened it.
    Outbound,
}

impl Direction {
    /// Both directions, inbound first.
    pub const ALL: [Self; 2] = [Self::Inbound, Self::Outbound];

    /// The name used in errors, traces and metrics: `inbound` or `outbound`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a connection uses a file descriptor of its own.
///
/// A TCP connection does. A QUIC connection does not: it shares a socket with others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UsesFd {
    /// The connection is charged with one file descriptor.
    Yes,
    /// The connection is charged with no file descriptor.
    No,
}

impl From<bool> for UsesFd {
    fn from(uses_fd: bool) -> Self {
        if uses_fd { Self::Yes } else { Self::No }
    }
}
