//! The key of one entry in the limits.

use std::fmt;
use std::str::FromStr;

use crate::{BadConfiguration, PeerId};

/// The key of an entry in [`Limits`](crate::Limits): a scope, the default of a class of scopes, or
/// one scope of a class by name.
///
/// Its text is the path of the entry in a limits file. Keys sort in the order in which a limits
/// file is written; the default of a class comes before the entries of the class.
///
/// ```
/// use rcmgr_core::LimitsKey;
///
/// let key: LimitsKey = "Service.dht".parse()?;
/// assert_eq!(key, LimitsKey::Service("dht".into()));
/// assert_eq!(key.class_default(), Some(LimitsKey::ServiceDefault));
/// assert_eq!(LimitsKey::System.to_string(), "System");
/// # Ok::<(), rcmgr_core::BadConfiguration>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LimitsKey {
    /// All connections and streams together.
    System,
    /// Connections without a peer or service, and streams without a protocol.
    Transient,
    /// The system scope of allowlisted connections.
    AllowlistedSystem,
    /// The transient scope of allowlisted connections.
    AllowlistedTransient,
    /// Services without an entry.
    ServiceDefault,
    /// A service by its name.
    Service(String),
    /// Each peer's share of a service without an entry.
    ServicePeerDefault,
    /// Each peer's share of a service, by the service's name.
    ServicePeer(String),
    /// Protocols without an entry.
    ProtocolDefault,
    /// A protocol by its id.
    Protocol(String),
    /// Each peer's share of a protocol without an entry.
    ProtocolPeerDefault,
    /// Each peer's share of a protocol, by the protocol's id.
    ProtocolPeer(String),
    /// Peers without an entry.
    PeerDefault,
    /// A peer by its id.
    Peer(PeerId),
    /// Every connection.
    Conn,
    /// Every stream.
    Stream,
}

impl LimitsKey {
    /// The keys that have no name, in order.
    pub const SCOPES: [Self; 11] = [
        Self::System,
        Self::Transient,
        Self::AllowlistedSystem,
        Self::AllowlistedTransient,
        Self::ServiceDefault,
        Self::ServicePeerDefault,
        Self::ProtocolDefault,
        Self::ProtocolPeerDefault,
        Self::PeerDefault,
        Self::Conn,
        Self::Stream,
    ];

    /// The classes of named keys: the first part of their text.
    pub const CLASSES: [&str; 5] = ["Service", "ServicePeer", "Protocol", "ProtocolPeer", "Peer"];

    /// For a named entry, the default of its class, which it overrides; else `None`.
    pub const fn class_default(&self) -> Option<Self> {
        match self {
            Self::Service(_) => Some(Self::ServiceDefault),
            Self::ServicePeer(_) => Some(Self::ServicePeerDefault),
            Self::Protocol(_) => Some(Self::ProtocolDefault),
            Self::ProtocolPeer(_) => Some(Self::ProtocolPeerDefault),
            Self::Peer(_) => Some(Self::PeerDefault),
            _ => None,
        }
    }

    /// The first part of the text: the scope, or the class of a named entry.
    pub const fn scope(&self) -> &'static str {
        match self {
            Self::System => "System",
            Self::Transient => "Transient",
            Self::AllowlistedSystem => "AllowlistedSystem",
            Self::AllowlistedTransient => "AllowlistedTransient",
            Self::ServiceDefault => "ServiceDefault",
            Self::Service(_) => "Service",
            Self::ServicePeerDefault => "ServicePeerDefault",
            Self::ServicePeer(_) => "ServicePeer",
            Self::ProtocolDefault => "ProtocolDefault",
            Self::Protocol(_) => "Protocol",
            Self::ProtocolPeerDefault => "ProtocolPeerDefault",
            Self::ProtocolPeer(_) => "ProtocolPeer",
            Self::PeerDefault => "PeerDefault",
            Self::Peer(_) => "Peer",
            Self::Conn => "Conn",
            Self::Stream => "Stream",
        }
    }

    /// The second part of the text, for a named entry.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Service(name)
            | Self::ServicePeer(name)
            | Self::Protocol(name)
            | Self::ProtocolPeer(name) => Some(name.clone()),
            Self::Peer(peer) => Some(peer.to_string()),
            _ => None,
        }
    }

    /// The unnamed key with this text.
    fn of_scope(scope: &str) -> Option<Self> {
        Self::SCOPES.into_iter().find(|key| key.scope() == scope)
    }

    /// The key of this class and name. `None` if there is no such class; an error if the name is
    /// not valid in the class.
    fn of_class(class: &str, name: &str) -> Option<Result<Self, String>> {
        let key = match class {
            "Service" => Self::Service(name.into()),
            "ServicePeer" => Self::ServicePeer(name.into()),
            "Protocol" => Self::Protocol(name.into()),
            "ProtocolPeer" => Self::ProtocolPeer(name.into()),
            "Peer" => match name.parse::<PeerId>() {
                Ok(peer) if reads_as_libp2p(name) && !peer.is_libp2p() => {
                    return Some(Err(
                        "it starts like a libp2p peer id but is not valid; check its spelling"
                            .into(),
                    ));
                }
                Ok(peer) => Self::Peer(peer),
                Err(error) => return Some(Err(format!("{error}"))),
            },
            _ => return None,
        };
        Some(Ok(key))
    }
}

/// Whether a name has the prefix and about the length of a libp2p peer id. Accepted as an opaque
/// name, a mistyped id would set a limit that applies to no peer.
fn reads_as_libp2p(name: &str) -> bool {
    [("12D3KooW", 52), ("16Uiu2HA", 53), ("Qm", 46)]
        .into_iter()
        .any(|(start, length)| name.starts_with(start) && name.len().abs_diff(length) <= 2)
}

impl fmt::Display for LimitsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            None => f.pad(self.scope()),
            Some(name) => f.pad(&format!("{}.{name}", self.scope())),
        }
    }
}

impl FromStr for LimitsKey {
    type Err = BadConfiguration;

    /// Reads an unnamed key such as `System`, or a class, a dot and a name. The name may contain
    /// dots.
    fn from_str(text: &str) -> Result<Self, BadConfiguration> {
        let bad = |reason: String| BadConfiguration {
            field: text.into(),
            reason,
            ..BadConfiguration::default()
        };
        let key = match text.split_once('.') {
            None => Self::of_scope(text).map(Ok),
            Some((class, name)) => Self::of_class(class, name),
        };
        key.ok_or_else(|| bad("there is no such scope".into()))?
            .map_err(bad)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_the_round_trip_through_text() {
        let named = [
            "Service.a.b",
            "ServicePeer.",
            "Protocol./a/1.0",
            "ProtocolPeer.x",
            "Peer.p",
        ];
        for text in LimitsKey::SCOPES
            .map(|key| key.to_string())
            .iter()
            .map(String::as_str)
            .chain(named)
        {
            let key: LimitsKey = text.parse().unwrap();
            assert_eq!(key.to_string(), text);
        }
        for text in ["", "Servce", "Service", "System.x", "Peer."] {
            assert!(text.parse::<LimitsKey>().is_err(), "{text:?}");
        }
    }
}
