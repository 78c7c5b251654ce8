//! The key of one entry in the limits.

use std::fmt;
use std::str::FromStr;

use crate::resource::is_same_word;
use crate::{BadConfiguration, PeerId, shown};

/// The key of an entry in [`Limits`](crate::Limits): a scope, the default of a class of scopes, or
/// one scope of a class by name.
///
/// Its text is the path of the entry in a limits file, for people: the name is shown as with
/// [`shown`]. Programs use [`exact`](Self::exact), or [`scope`](Self::scope) and
/// [`name`](Self::name). Keys sort in the order in which a limits file is written; the default of a
/// class comes before the entries of the class.
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

    /// The second part of the text, for a named entry: exact, as a limits file has it.
    pub fn name(&self) -> Option<String> {
        match self {
            Self::Service(name)
            | Self::ServicePeer(name)
            | Self::Protocol(name)
            | Self::ProtocolPeer(name) => Some(name.clone()),
            Self::Peer(peer) => Some(peer_name(peer)),
            _ => None,
        }
    }

    /// The text with the whole name, unescaped: for programs. Parsing it gives the key.
    pub fn exact(&self) -> String {
        match self.name() {
            None => self.scope().into(),
            Some(name) => format!("{}.{name}", self.scope()),
        }
    }

    /// The unnamed key with this text.
    fn of_scope(scope: &str) -> Option<Self> {
        Self::SCOPES
            .into_iter()
            .find(|key| is_same_word(key.scope(), scope))
    }

    /// The key of this class and name. `None` if there is no such class; an error if the name is
    /// not valid in the class.
    fn of_class(class: &str, name: &str) -> Option<Result<Self, BadConfiguration>> {
        let class = Self::CLASSES
            .into_iter()
            .find(|known| is_same_word(known, class))?;
        let key = match class {
            "Service" => Self::Service(name.into()),
            "ServicePeer" => Self::ServicePeer(name.into()),
            "Protocol" => Self::Protocol(name.into()),
            "ProtocolPeer" => Self::ProtocolPeer(name.into()),
            _ => return Some(PeerId::from_key(name).map(Self::Peer)),
        };
        Some(Ok(key))
    }
}

/// The name of a peer in a limits file. A name that a file refuses is written in hexadecimal.
fn peer_name(peer: &PeerId) -> String {
    let name = peer.to_string();
    match PeerId::from_key(&name) {
        Ok(read) if read == *peer => name,
        _ => peer.to_hex(),
    }
}

impl fmt::Display for LimitsKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.name()) {
            // The text of a peer is short and visible.
            (Self::Peer(_), _) | (_, None) => f.pad(&self.exact()),
            (_, Some(name)) => f.pad(&format!("{}.{}", self.scope(), shown(&name))),
        }
    }
}

impl FromStr for LimitsKey {
    type Err = BadConfiguration;

    /// Reads an unnamed key such as `System`, or a class, a dot and a name. The name may contain
    /// dots.
    ///
    /// For command lines, the case of the key or class does not matter, nor do `-` and `_` between
    /// its words: `peer-default` is `PeerDefault`. Names are exact.
    fn from_str(text: &str) -> Result<Self, BadConfiguration> {
        let key = match text.split_once('.') {
            None => Self::of_scope(text).map(Ok),
            Some((class, name)) => Self::of_class(class, name),
        };
        let bad = |reason: String| BadConfiguration {
            field: text.into(),
            reason,
            ..BadConfiguration::default()
        };
        key.unwrap_or_else(|| Err(bad("there is no such scope".into())))
            .map_err(|error| bad(error.reason))
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

    #[test]
    fn a_key_of_a_command_line_may_have_any_case_and_separators() {
        let cases = [
            ("system", LimitsKey::System),
            ("peer-default", LimitsKey::PeerDefault),
            ("protocol_peer_default", LimitsKey::ProtocolPeerDefault),
            ("ALLOWLISTED-SYSTEM", LimitsKey::AllowlistedSystem),
            (
                "service-peer.Up-Loads",
                LimitsKey::ServicePeer("Up-Loads".into()),
            ),
        ];
        for (text, key) in cases {
            assert_eq!(text.parse(), Ok(key), "{text}");
        }
    }

    #[test]
    fn a_name_is_escaped_and_cut_where_a_key_is_shown() {
        let key = LimitsKey::Protocol("a\n\u{202e}".to_owned() + &"x".repeat(1 << 20));
        let text = key.to_string();
        assert!(text.starts_with(r"Protocol.a\n\u{202e}xxx"), "{text}");
        assert!(text.chars().count() < 80, "{text}");
        assert_eq!(key.exact().parse(), Ok(key));
    }

    #[test]
    fn every_peer_has_a_key_that_a_file_accepts() {
        let names: [&[u8]; 7] = [
            b"tenant-7",
            b" tenant-7",
            b"192.0.2.7:4001",
            b"12D3KooW",
            b"0x",
            b"\xff\n",
            b"/ip4/192.0.2.7",
        ];
        for name in names {
            let key = LimitsKey::Peer(PeerId::from_bytes(name).unwrap());
            assert_eq!(key.to_string().parse(), Ok(key.clone()), "{key}");
        }
    }
}
