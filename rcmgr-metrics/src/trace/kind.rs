//! The kinds of events.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// The kind of an event.
///
/// ```
/// use rcmgr_metrics::trace::EventKind;
///
/// assert_eq!(EventKind::BlockAddConn.as_str(), "block_add_conn");
/// assert_eq!(EventKind::from("sneeze"), EventKind::Other("sneeze".into()));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// The manager was created.
    Start,
    /// A scope was created.
    CreateScope,
    /// A scope was destroyed, with all that it held.
    DestroyScope,
    /// Memory was reserved.
    ReserveMemory,
    /// A reservation of memory was refused.
    BlockReserveMemory,
    /// Memory was released.
    ReleaseMemory,
    /// Streams were added.
    AddStream,
    /// Streams were refused.
    BlockAddStream,
    /// Streams were removed.
    RemoveStream,
    /// Connections were added.
    AddConn,
    /// Connections were refused.
    BlockAddConn,
    /// Connections were removed.
    RemoveConn,
    /// An unknown kind.
    Other(Box<str>),
}

const KNOWN: [EventKind; 12] = [
    EventKind::Start,
    EventKind::CreateScope,
    EventKind::DestroyScope,
    EventKind::ReserveMemory,
    EventKind::BlockReserveMemory,
    EventKind::ReleaseMemory,
    EventKind::AddStream,
    EventKind::BlockAddStream,
    EventKind::RemoveStream,
    EventKind::AddConn,
    EventKind::BlockAddConn,
    EventKind::RemoveConn,
];

impl EventKind {
    /// The name in a trace.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Start => "start",
            Self::CreateScope => "create_scope",
            Self::DestroyScope => "destroy_scope",
            Self::ReserveMemory => "reserve_memory",
            Self::BlockReserveMemory => "block_reserve_memory",
            Self::ReleaseMemory => "release_memory",
            Self::AddStream => "add_stream",
            Self::BlockAddStream => "block_add_stream",
            Self::RemoveStream => "remove_stream",
            Self::AddConn => "add_conn",
            Self::BlockAddConn => "block_add_conn",
            Self::RemoveConn => "remove_conn",
            Self::Other(name) => name,
        }
    }

    /// Whether a scope was charged.
    pub const fn is_grant(&self) -> bool {
        matches!(self, Self::ReserveMemory | Self::AddStream | Self::AddConn)
    }

    /// Whether a scope refused.
    pub const fn is_refusal(&self) -> bool {
        matches!(
            self,
            Self::BlockReserveMemory | Self::BlockAddStream | Self::BlockAddConn
        )
    }

    /// Whether a scope was released.
    pub const fn is_release(&self) -> bool {
        matches!(
            self,
            Self::ReleaseMemory | Self::RemoveStream | Self::RemoveConn
        )
    }

    /// Whether the event is about memory.
    pub const fn is_of_memory(&self) -> bool {
        matches!(
            self,
            Self::ReserveMemory | Self::BlockReserveMemory | Self::ReleaseMemory
        )
    }

    /// Whether the event is about streams.
    pub const fn is_of_streams(&self) -> bool {
        matches!(
            self,
            Self::AddStream | Self::BlockAddStream | Self::RemoveStream
        )
    }

    /// Whether the event is about connections and their file descriptors.
    pub const fn is_of_conns(&self) -> bool {
        matches!(self, Self::AddConn | Self::BlockAddConn | Self::RemoveConn)
    }
}

impl From<&str> for EventKind {
    fn from(name: &str) -> Self {
        let known = KNOWN.iter().find(|kind| kind.as_str() == name);
        known.cloned().unwrap_or_else(|| Self::Other(name.into()))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Name;

        impl Visitor<'_> for Name {
            type Value = EventKind;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the type of an event")
            }

            fn visit_str<E>(self, name: &str) -> Result<EventKind, E> {
                Ok(name.into())
            }
        }

        deserializer.deserialize_str(Name)
    }
}
