//! The limits of all scopes.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::{AddressLimits, Limit, LimitValue, LimitsKey, PeerId};

/// The limits of all scopes: a default for each class of scopes, and entries for single scopes by
/// name. Every limit has a value.
///
/// The scopes and classes are those of go-libp2p's resource manager.
///
/// ```
/// use rcmgr_core::{Limit, LimitValue, Limits, MIB};
///
/// let mut limits = Limits::unlimited();
/// limits.system.memory = LimitValue::Limited(512 * MIB);
/// limits.peer_default.conns_inbound = LimitValue::Limited(8);
/// limits.service.insert("dht".into(), Limit::BLOCK_ALL);
/// assert_eq!(limits.service_limit("dht"), Some(Limit::BLOCK_ALL));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// All connections and streams together.
    pub system: Limit,
    /// Connections without a peer or service, and streams without a protocol.
    pub transient: Limit,
    /// The system scope of allowlisted connections.
    pub allowlisted_system: Limit,
    /// The transient scope of allowlisted connections.
    pub allowlisted_transient: Limit,
    /// The limit of a service without an entry. With `None`, such a service has no scope of its
    /// own: `open_service` returns a span of the system scope.
    pub service_default: Option<Limit>,
    /// Services by name.
    pub service: BTreeMap<String, Limit>,
    /// Each peer's share of a service without an entry in `service_peer`.
    pub service_peer_default: Limit,
    /// Each peer's share of a service, by the service's name.
    pub service_peer: BTreeMap<String, Limit>,
    /// The limit of a protocol without an entry.
    pub protocol_default: Limit,
    /// Protocols by id.
    pub protocol: BTreeMap<String, Limit>,
    /// Each peer's share of a protocol without an entry in `protocol_peer`.
    pub protocol_peer_default: Limit,
    /// Each peer's share of a protocol, by the protocol's id.
    pub protocol_peer: BTreeMap<String, Limit>,
    /// The limit of a peer without an entry.
    pub peer_default: Limit,
    /// Peers by id.
    pub peer: BTreeMap<PeerId, Limit>,
    /// Every connection.
    pub conn: Limit,
    /// Every stream.
    pub stream: Limit,
    /// How many requests may wait for room in a scope at a time, for each of its resources: see
    /// `reserve_when_available`. Zero: none may wait. The tables of limits, such as `auto_scale`,
    /// have [`WAITERS`](Self::WAITERS). A dry run ignores it.
    pub waiters: LimitValue,
    /// Limits by remote address, checked before the scopes. By default there are none.
    pub addresses: AddressLimits,
    /// A dry run: other limits that are evaluated and not enforced. What they would have refused
    /// is counted and logged. A dry run has no dry run of its own.
    pub dry_run: Option<Arc<Self>>,
}

impl Limits {
    /// How many requests may wait for a resource of a scope in every table of limits. A limits file
    /// may set another number.
    pub const WAITERS: LimitValue = LimitValue::Limited(1024);

    /// No limit on any scope or address: a starting point for setting some limits.
    pub fn unlimited() -> Self {
        Self {
            system: Limit::UNLIMITED,
            transient: Limit::UNLIMITED,
            allowlisted_system: Limit::UNLIMITED,
            allowlisted_transient: Limit::UNLIMITED,
            service_default: Some(Limit::UNLIMITED),
            service: BTreeMap::new(),
            service_peer_default: Limit::UNLIMITED,
            service_peer: BTreeMap::new(),
            protocol_default: Limit::UNLIMITED,
            protocol: BTreeMap::new(),
            protocol_peer_default: Limit::UNLIMITED,
            protocol_peer: BTreeMap::new(),
            peer_default: Limit::UNLIMITED,
            peer: BTreeMap::new(),
            conn: Limit::UNLIMITED,
            stream: Limit::UNLIMITED,
            waiters: LimitValue::Unlimited,
            addresses: AddressLimits::default(),
            dry_run: None,
        }
    }

    /// The limit of a service: its entry, or else the default, if there is one.
    pub fn service_limit(&self, name: &str) -> Option<Limit> {
        self.service.get(name).copied().or(self.service_default)
    }

    /// The limit of each peer's share of a service.
    pub fn service_peer_limit(&self, service: &str) -> Limit {
        entry_or(&self.service_peer, service, self.service_peer_default)
    }

    /// The limit of a protocol.
    pub fn protocol_limit(&self, id: &str) -> Limit {
        entry_or(&self.protocol, id, self.protocol_default)
    }

    /// The limit of each peer's share of a protocol.
    pub fn protocol_peer_limit(&self, protocol: &str) -> Limit {
        entry_or(&self.protocol_peer, protocol, self.protocol_peer_default)
    }

    /// The limit of a peer.
    pub fn peer_limit(&self, peer: &PeerId) -> Limit {
        self.peer.get(peer).copied().unwrap_or(self.peer_default)
    }

    /// All entries, in the order of [`LimitsKey`].
    ///
    /// ```
    /// use rcmgr_core::Limits;
    ///
    /// let limits = Limits::unlimited();
    /// for (key, limit) in limits.entries() {
    ///     println!("{key}: {} of memory", limit.memory);
    /// }
    /// ```
    pub fn entries(&self) -> impl Iterator<Item = (LimitsKey, Limit)> {
        fn named<'a, K: Clone + 'a>(
            entries: &'a BTreeMap<K, Limit>,
            key: fn(K) -> LimitsKey,
        ) -> impl Iterator<Item = (LimitsKey, Limit)> {
            entries
                .iter()
                .map(move |(name, limit)| (key(name.clone()), *limit))
        }
        [
            (LimitsKey::System, self.system),
            (LimitsKey::Transient, self.transient),
            (LimitsKey::AllowlistedSystem, self.allowlisted_system),
            (LimitsKey::AllowlistedTransient, self.allowlisted_transient),
        ]
        .into_iter()
        .chain(
            self.service_default
                .map(|limit| (LimitsKey::ServiceDefault, limit)),
        )
        .chain(named(&self.service, LimitsKey::Service))
        .chain([(LimitsKey::ServicePeerDefault, self.service_peer_default)])
        .chain(named(&self.service_peer, LimitsKey::ServicePeer))
        .chain([(LimitsKey::ProtocolDefault, self.protocol_default)])
        .chain(named(&self.protocol, LimitsKey::Protocol))
        .chain([(LimitsKey::ProtocolPeerDefault, self.protocol_peer_default)])
        .chain(named(&self.protocol_peer, LimitsKey::ProtocolPeer))
        .chain([(LimitsKey::PeerDefault, self.peer_default)])
        .chain(named(&self.peer, LimitsKey::Peer))
        .chain([
            (LimitsKey::Conn, self.conn),
            (LimitsKey::Stream, self.stream),
        ])
    }

    /// The limit that applies to a scope: its entry, or else the default of its class. `None` only
    /// for a service without an entry when there is no default for services.
    pub fn lookup(&self, key: &LimitsKey) -> Option<Limit> {
        match key {
            LimitsKey::System => Some(self.system),
            LimitsKey::Transient => Some(self.transient),
            LimitsKey::AllowlistedSystem => Some(self.allowlisted_system),
            LimitsKey::AllowlistedTransient => Some(self.allowlisted_transient),
            LimitsKey::ServiceDefault => self.service_default,
            LimitsKey::Service(name) => self.service_limit(name),
            LimitsKey::ServicePeerDefault => Some(self.service_peer_default),
            LimitsKey::ServicePeer(service) => Some(self.service_peer_limit(service)),
            LimitsKey::ProtocolDefault => Some(self.protocol_default),
            LimitsKey::Protocol(id) => Some(self.protocol_limit(id)),
            LimitsKey::ProtocolPeerDefault => Some(self.protocol_peer_default),
            LimitsKey::ProtocolPeer(protocol) => Some(self.protocol_peer_limit(protocol)),
            LimitsKey::PeerDefault => Some(self.peer_default),
            LimitsKey::Peer(peer) => Some(self.peer_limit(peer)),
            LimitsKey::Conn => Some(self.conn),
            LimitsKey::Stream => Some(self.stream),
        }
    }

    /// Sets an entry, and adds it if it does not exist.
    pub fn set(&mut self, key: LimitsKey, limit: Limit) {
        match key {
            LimitsKey::System => self.system = limit,
            LimitsKey::Transient => self.transient = limit,
            LimitsKey::AllowlistedSystem => self.allowlisted_system = limit,
            LimitsKey::AllowlistedTransient => self.allowlisted_transient = limit,
            LimitsKey::ServiceDefault => self.service_default = Some(limit),
            LimitsKey::Service(name) => {
                self.service.insert(name, limit);
            }
            LimitsKey::ServicePeerDefault => self.service_peer_default = limit,
            LimitsKey::ServicePeer(service) => {
                self.service_peer.insert(service, limit);
            }
            LimitsKey::ProtocolDefault => self.protocol_default = limit,
            LimitsKey::Protocol(id) => {
                self.protocol.insert(id, limit);
            }
            LimitsKey::ProtocolPeerDefault => self.protocol_peer_default = limit,
            LimitsKey::ProtocolPeer(protocol) => {
                self.protocol_peer.insert(protocol, limit);
            }
            LimitsKey::PeerDefault => self.peer_default = limit,
            LimitsKey::Peer(peer) => {
                self.peer.insert(peer, limit);
            }
            LimitsKey::Conn => self.conn = limit,
            LimitsKey::Stream => self.stream = limit,
        }
    }
}

fn entry_or(entries: &BTreeMap<String, Limit>, name: &str, default: Limit) -> Limit {
    entries.get(name).copied().unwrap_or(default)
}
