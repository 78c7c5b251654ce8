//! The resources that limits apply to.

use std::fmt;

use crate::Direction;

/// A resource: one of the eight fields of a [`Limit`](crate::Limit).
///
/// In an error it names the limit that was reached. For a request in one direction, that is the
/// limit of that direction or the limit of the total.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resource {
    /// Memory, in bytes.
    Memory,
    /// File descriptors.
    Fd,
    /// Streams of both directions together.
    Streams,
    /// Streams that the remote opened.
    StreamsInbound,
    /// Streams that we opened.
    StreamsOutbound,
    /// Connections of both directions together.
    Conns,
    /// Connections that the remote opened.
    ConnsInbound,
    /// Connections that we opened.
    ConnsOutbound,
}

impl Resource {
    /// All resources, in the order of the fields of [`Limit`](crate::Limit).
    pub const ALL: [Self; 8] = [
        Self::Memory,
        Self::Fd,
        Self::Streams,
        Self::StreamsInbound,
        Self::StreamsOutbound,
        Self::Conns,
        Self::ConnsInbound,
        Self::ConnsOutbound,
    ];

    /// The resources that have a counter of their own, in the order of [`ALL`](Self::ALL). Each of
    /// the others is the sum of two counters.
    pub const COUNTED: [Self; 6] = [
        Self::Memory,
        Self::Fd,
        Self::StreamsInbound,
        Self::StreamsOutbound,
        Self::ConnsInbound,
        Self::ConnsOutbound,
    ];

    /// All resources, in the order in which a limits file is written.
    ///
    /// ```
    /// use rcmgr_core::Resource;
    ///
    /// let names = Resource::IN_FILES.map(Resource::field_name);
    /// assert_eq!((names[0], names[7]), ("Streams", "Memory"));
    /// ```
    pub const IN_FILES: [Self; 8] = [
        Self::Streams,
        Self::StreamsInbound,
        Self::StreamsOutbound,
        Self::Conns,
        Self::ConnsInbound,
        Self::ConnsOutbound,
        Self::Fd,
        Self::Memory,
    ];

    /// The streams of one direction.
    pub const fn streams(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::StreamsInbound,
            Direction::Outbound => Self::StreamsOutbound,
        }
    }

    /// The connections of one direction.
    pub const fn conns(direction: Direction) -> Self {
        match direction {
            Direction::Inbound => Self::ConnsInbound,
            Direction::Outbound => Self::ConnsOutbound,
        }
    }

    /// The name used in errors and traces, such as `streams-inbound`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Fd => "fd",
            Self::Streams => "streams",
            Self::StreamsInbound => "streams-inbound",
            Self::StreamsOutbound => "streams-outbound",
            Self::Conns => "conns",
            Self::ConnsInbound => "conns-inbound",
            Self::ConnsOutbound => "conns-outbound",
        }
    }

    /// The name used in limits files, such as `StreamsInbound`.
    pub const fn field_name(self) -> &'static str {
        match self {
            Self::Memory => "Memory",
            Self::Fd => "FD",
            Self::Streams => "Streams",
            Self::StreamsInbound => "StreamsInbound",
            Self::StreamsOutbound => "StreamsOutbound",
            Self::Conns => "Conns",
            Self::ConnsInbound => "ConnsInbound",
            Self::ConnsOutbound => "ConnsOutbound",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
