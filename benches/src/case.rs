//! What can be measured: which operation, among how many threads, and what these share.

use std::fmt;
use std::str::FromStr;

/// Names that are read and written as they stand in the report.
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
            /// All of them, in the order of the report.
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
    };
}

/// A name that is not in the list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no {what} {name:?}")]
pub struct UnknownName {
    what: &'static str,
    name: String,
}

named! {
    /// What is done again and again. Each time is one operation.
    Workload, "workload" {
        /// Reserve and release 4 KiB on a stream with protocol and service: seven scopes.
        Memory = "memory",
        /// The same while usage is within 1 % of the system's memory limit.
        MemoryNearLimit = "memory-near-limit",
        /// Open a stream through a connection, set its protocol and its service, close it.
        Stream = "stream",
        /// Open a connection without an IP address, set its peer, close it.
        Connection = "connection",
        /// The same with an IP address, which the default address limiters look at.
        ConnectionIp = "connection-ip",
        /// Be refused a stream by its peer's limit, asked for through a connection to the peer.
        Refused = "refused",
        /// The same, asked for by the peer's id.
        RefusedById = "refused-by-id",
        /// Open a span on a stream with protocol and service, reserve 4 KiB on it, close it.
        Span = "span",
    }
}

impl Workload {
    /// Whether an operation is a refusal.
    pub const fn is_refused(self) -> bool {
        matches!(self, Self::Refused | Self::RefusedById)
    }

    /// What one operation is, in a sentence for the report.
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
                "As connection, from one of 4096 IPv4 addresses for each thread. The default rate and \
                 subnet limiters count every one; their time is moved on so that none is refused."
            }
            Self::Refused => {
                "Ask for a stream with a peer that is at its limit, through a connection to it."
            }
            Self::RefusedById => "Ask for a stream with a peer that is at its limit, by its id.",
            Self::Span => {
                "Open a span on a stream with protocol and service, reserve 4 KiB on it, close it."
            }
        }
    }
}

named! {
    /// What the threads have in common.
    Sharing, "sharing" {
        /// Nothing: each thread has a manager of its own.
        None = "none",
        /// Each thread has a peer of its own; they share protocol, service and system.
        System = "system",
        /// All scopes but the streams and connections themselves.
        Path = "path",
    }
}

impl Sharing {
    /// What it means, in a sentence for the report.
    pub const fn about(self) -> &'static str {
        match self {
            Self::None => "a manager for each thread",
            Self::System => "own peers; protocol, service and system are shared",
            Self::Path => "one peer: all scopes are shared but the leaves",
        }
    }
}

named! {
    /// What memory is reserved on: each is charged on more scopes than the one before.
    Place, "place" {
        /// The system scope itself: one scope.
        System = "system",
        /// A peer's scope: two.
        Peer = "peer",
        /// A connection with its peer: three.
        Connection = "connection",
        /// A stream without a protocol yet: four.
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
    /// How many scopes a reservation there is charged on.
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

/// The bytes of one reservation.
pub const SIZE: u64 = 4096;

/// One thing to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// What is done.
    pub workload: Workload,
    /// What the threads have in common.
    pub sharing: Sharing,
    /// How many threads do it at once.
    pub threads: usize,
    /// How many other peers have a stream open meanwhile.
    pub peers: usize,
    /// What [`Workload::Memory`] reserves on.
    pub place: Place,
    /// How much memory an operation reserves, in bytes.
    pub size: u64,
}

impl Case {
    /// The workload as it is named: nobody else is there, memory is reserved on a stream with
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

    /// How many managers there are.
    pub const fn managers(&self) -> usize {
        match self.sharing {
            Sharing::None => self.threads,
            Sharing::System | Sharing::Path => 1,
        }
    }
}
