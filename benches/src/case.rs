//! The cases that can be measured: an operation, the number of threads, and the state that the
//! threads share.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};

/// Defines an enum whose variants have fixed names, used on the command line and in the report.
macro_rules! named {
    (
        $(#[$about:meta])*
        $kind:ident, $what:literal { $($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)? }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $kind {
            $($(#[$doc])* $variant),*
        }

        impl $kind {
            /// All variants, in the order of the report.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name on the command line and in the report.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),*
                }
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $kind {
            type Err = UnknownName;

            fn from_str(name: &str) -> Result<Self, UnknownName> {
                let known = Self::ALL.iter().find(|one| one.as_str() == name);
                known.copied().ok_or_else(|| UnknownName {
                    what: $what,
                    name: name.to_owned(),
                })
            }
        }

        impl Serialize for $kind {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $kind {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let name = String::deserialize(deserializer)?;
                name.parse().map_err(D::Error::custom)
            }
        }
    };
}

/// A name that no variant has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {name:?}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
}

named! {
    /// The operation that a worker repeats.
    Workload, "workload" {
        /// Reserve and release 4 KiB on a stream with protocol and service: seven scopes.
        Memory = "memory",
        /// As [`Memory`](Self::Memory), while usage is within 1 % of the system's memory limit.
        MemoryNearLimit = "memory-near-limit",
        /// Open a stream through a connection, set its protocol and its service, close it.
        Stream = "stream",
        /// Open a connection without an IP address, set its peer, close it.
        Connection = "connection",
        /// As [`Connection`](Self::Connection), with an IP address that the default address
        /// limiters check.
        ConnectionIp = "connection-ip",
        /// Open a stream through a connection to a peer that is at its limit: refused.
        Refused = "refused",
        /// As [`Refused`](Self::Refused), but the peer is looked up by its id.
        RefusedById = "refused-by-id",
        /// Open a span on a stream with protocol and service, reserve 4 KiB on it, close it.
        Span = "span",
    }
}

impl Workload {
    /// Whether every operation is refused.
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Refused | Self::RefusedById)
    }

    /// One operation, described in a sentence for the report.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Memory => {
                "Reserve 4 KiB and release them, on a stream with protocol and service: seven scopes."
            }
            Self::MemoryNearLimit => {
                "As memory, while usage is within 1 % of the system's memory limit."
            }
            Self::Stream => {
                "Open a stream through a connection, set its protocol and service, close it. Another \
                 stream of the peer has the same protocol and service."
            }
            Self::Connection => {
                "Open a connection without an IP address, set its peer, close it. The peer is known."
            }
            Self::ConnectionIp => {
                "As connection, from one of 4096 IPv4 addresses for each thread. The default rate \
                 and subnet limiters count each one. Their clock is advanced so that they refuse \
                 none."
            }
            Self::Refused => {
                "Open a stream through a connection to a peer that is at its limit: refused."
            }
            Self::RefusedById => "Open a stream by the id of a peer that is at its limit: refused.",
            Self::Span => {
                "Open a span on a stream with protocol and service, reserve 4 KiB on it, close it."
            }
        }
    }
}

named! {
    /// The state that the threads share.
    Sharing, "sharing" {
        /// Nothing: each thread has its own manager.
        None = "none",
        /// Each thread has its own peer; all share protocol, service and system.
        System = "system",
        /// All scopes except the streams and connections themselves.
        Path = "path",
    }
}

impl Sharing {
    /// The meaning, in a sentence for the report.
    pub const fn about(self) -> &'static str {
        match self {
            Self::None => "a manager for each thread",
            Self::System => "a peer for each thread; protocol, service and system are shared",
            Self::Path => "one peer: all scopes except the leaves are shared",
        }
    }
}

named! {
    /// The scope that memory is reserved on. Each one is charged on more scopes than the one
    /// before.
    Place, "place" {
        /// The system scope itself: one scope.
        System = "system",
        /// A peer's scope: two.
        Peer = "peer",
        /// A connection with its peer: three.
        Connection = "connection",
        /// A stream without a protocol: four.
        Stream = "stream",
        /// A stream with its protocol: five.
        Protocol = "stream with protocol",
        /// A stream with protocol and service: seven.
        Service = "stream with protocol and service",
        /// A span of such a stream: eight.
        Span = "span of such a stream",
    }
}

impl Place {
    /// The number of scopes that a reservation is charged on.
    pub const fn scopes(self) -> usize {
        match self {
            Self::System => 1,
            Self::Peer => 2,
            Self::Connection => 3,
            Self::Stream => 4,
            Self::Protocol => 5,
            Self::Service => 7,
            Self::Span => 8,
        }
    }
}

/// The size of one reservation, in bytes.
pub const SIZE: u64 = 4096;

/// One case to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The operation.
    pub workload: Workload,
    /// The state that the threads share.
    pub sharing: Sharing,
    /// The number of threads that work at once.
    pub threads: usize,
    /// The number of other peers that have a stream open.
    pub peers: usize,
    /// The scope that [`Workload::Memory`] reserves on.
    pub place: Place,
    /// The memory that an operation reserves, in bytes.
    pub size: u64,
}

impl Case {
    /// The plain case of a workload: no other peers, and memory is reserved on a stream with
    /// protocol and service.
    pub const fn new(workload: Workload, sharing: Sharing, threads: usize) -> Self {
        Self {
            workload,
            sharing,
            threads,
            peers: 0,
            place: Place::Service,
            size: SIZE,
        }
    }

    /// The number of managers.
    pub const fn managers(&self) -> usize {
        match self.sharing {
            Sharing::None => self.threads,
            Sharing::System | Sharing::Path => 1,
        }
    }
}
