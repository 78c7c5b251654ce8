//! The resources that limits apply to.

use std::fmt;
use std::str::FromStr;

use crate::{BadConfiguration, Direction};

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

    /// The name in the JSON of the live view and in the fields of log lines, such as
    /// `streams-inbound`. People and limits files use [`field_name`](Self::field_name).
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

    /// The name in limits files and in messages, such as `StreamsInbound`. It is also the text of a
    /// resource.
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
        f.pad(self.field_name())
    }
}

impl FromStr for Resource {
    type Err = BadConfiguration;

    /// Reads the name of limits files. For command lines, the case does not matter, nor do `-` and
    /// `_` between words.
    ///
    /// ```
    /// use rcmgr_core::Resource;
    ///
    /// for text in ["ConnsInbound", "conns-inbound", "conns_inbound", "CONNSINBOUND"] {
    ///     assert_eq!(text.parse(), Ok(Resource::ConnsInbound));
    /// }
    /// let bad = "cons".parse::<Resource>().unwrap_err();
    /// assert!(bad.to_string().starts_with("cons: there is no such resource; "));
    /// ```
    fn from_str(text: &str) -> Result<Self, BadConfiguration> {
        let mut resources = Self::IN_FILES.into_iter();
        let found = resources.find(|resource| is_same_word(resource.field_name(), text));
        found.ok_or_else(|| BadConfiguration {
            field: text.into(),
            reason: format!(
                "there is no such resource; the resources are {}",
                Self::IN_FILES.map(Self::field_name).join(", "),
            ),
            ..BadConfiguration::default()
        })
    }
}

/// Whether two names are the same apart from their case and the separators of their words.
pub(crate) fn is_same_word(known: &str, text: &str) -> bool {
    let letters = |text: &str| {
        let bytes = text.bytes().filter(|byte| !matches!(byte, b'-' | b'_'));
        bytes
            .map(|byte| byte.to_ascii_lowercase())
            .collect::<Vec<_>>()
    };
    // A known name has no separators, so a text with as many separators as letters is none.
    text.len() <= 2 * known.len() && letters(known) == letters(text)
}
