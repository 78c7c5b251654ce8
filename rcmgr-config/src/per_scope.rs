//! A value for every scope: the common shape of partial and scaling limits.

use std::collections::BTreeMap;

use rcmgr_core::{LimitsKey, PeerId};

/// A `T` for every scope, for the default of every class, and for every named entry: the shape of
/// [`Limits`](rcmgr_core::Limits).
///
/// [`PartialLimits`](crate::PartialLimits) and [`ScalingLimits`](crate::ScalingLimits) contain one. The fields have the same meaning as those of
/// [`Limits`](rcmgr_core::Limits).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PerScope<T> {
    /// All connections and streams together.
    pub system: T,
    /// Connections without a peer or service, and streams without a protocol.
    pub transient: T,
    /// The system scope of allowlisted connections.
    pub allowlisted_system: T,
    /// The transient scope of allowlisted connections.
    pub allowlisted_transient: T,
    /// Services without an entry.
    pub service_default: T,
    /// Services by name.
    pub service: BTreeMap<String, T>,
    /// Each peer's share of a service without an entry in `service_peer`.
    pub service_peer_default: T,
    /// Each peer's share of a service, by the service's name.
    pub service_peer: BTreeMap<String, T>,
    /// Protocols without an entry.
    pub protocol_default: T,
    /// Protocols by id.
    pub protocol: BTreeMap<String, T>,
    /// Each peer's share of a protocol without an entry in `protocol_peer`.
    pub protocol_peer_default: T,
    /// Each peer's share of a protocol, by the protocol's id.
    pub protocol_peer: BTreeMap<String, T>,
    /// Peers without an entry.
    pub peer_default: T,
    /// Peers by id.
    pub peer: BTreeMap<PeerId, T>,
    /// Every connection.
    pub conn: T,
    /// Every stream.
    pub stream: T,
}

impl<T> PerScope<T> {
    /// All entries, in the order of [`LimitsKey`].
    pub fn entries(&self) -> impl Iterator<Item = (LimitsKey, &T)> {
        fn named<'a, K: Clone + 'a, T>(
            entries: &'a BTreeMap<K, T>,
            key: fn(K) -> LimitsKey,
        ) -> impl Iterator<Item = (LimitsKey, &'a T)> {
            entries
                .iter()
                .map(move |(name, entry)| (key(name.clone()), entry))
        }
        use std::iter::once;
        once((LimitsKey::System, &self.system))
            .chain(once((LimitsKey::Transient, &self.transient)))
            .chain(once((
                LimitsKey::AllowlistedSystem,
                &self.allowlisted_system,
            )))
            .chain(once((
                LimitsKey::AllowlistedTransient,
                &self.allowlisted_transient,
            )))
            .chain(once((LimitsKey::ServiceDefault, &self.service_default)))
            .chain(named(&self.service, LimitsKey::Service))
            .chain(once((
                LimitsKey::ServicePeerDefault,
                &self.service_peer_default,
            )))
            .chain(named(&self.service_peer, LimitsKey::ServicePeer))
            .chain(once((LimitsKey::ProtocolDefault, &self.protocol_default)))
            .chain(named(&self.protocol, LimitsKey::Protocol))
            .chain(once((
                LimitsKey::ProtocolPeerDefault,
                &self.protocol_peer_default,
            )))
            .chain(named(&self.protocol_peer, LimitsKey::ProtocolPeer))
            .chain(once((LimitsKey::PeerDefault, &self.peer_default)))
            .chain(named(&self.peer, LimitsKey::Peer))
            .chain(once((LimitsKey::Conn, &self.conn)))
            .chain(once((LimitsKey::Stream, &self.stream)))
    }

    /// One entry; `None` for a name without an entry.
    pub fn get(&self, key: &LimitsKey) -> Option<&T> {
        match key {
            LimitsKey::System => Some(&self.system),
            LimitsKey::Transient => Some(&self.transient),
            LimitsKey::AllowlistedSystem => Some(&self.allowlisted_system),
            LimitsKey::AllowlistedTransient => Some(&self.allowlisted_transient),
            LimitsKey::ServiceDefault => Some(&self.service_default),
            LimitsKey::Service(name) => self.service.get(name),
            LimitsKey::ServicePeerDefault => Some(&self.service_peer_default),
            LimitsKey::ServicePeer(name) => self.service_peer.get(name),
            LimitsKey::ProtocolDefault => Some(&self.protocol_default),
            LimitsKey::Protocol(name) => self.protocol.get(name),
            LimitsKey::ProtocolPeerDefault => Some(&self.protocol_peer_default),
            LimitsKey::ProtocolPeer(name) => self.protocol_peer.get(name),
            LimitsKey::PeerDefault => Some(&self.peer_default),
            LimitsKey::Peer(peer) => self.peer.get(peer),
            LimitsKey::Conn => Some(&self.conn),
            LimitsKey::Stream => Some(&self.stream),
        }
    }

    /// One entry; created for a name without an entry.
    pub fn entry(&mut self, key: LimitsKey) -> &mut T
    where
        T: Default,
    {
        match key {
            LimitsKey::System => &mut self.system,
            LimitsKey::Transient => &mut self.transient,
            LimitsKey::AllowlistedSystem => &mut self.allowlisted_system,
            LimitsKey::AllowlistedTransient => &mut self.allowlisted_transient,
            LimitsKey::ServiceDefault => &mut self.service_default,
            LimitsKey::Service(name) => self.service.entry(name).or_default(),
            LimitsKey::ServicePeerDefault => &mut self.service_peer_default,
            LimitsKey::ServicePeer(name) => self.service_peer.entry(name).or_default(),
            LimitsKey::ProtocolDefault => &mut self.protocol_default,
            LimitsKey::Protocol(name) => self.protocol.entry(name).or_default(),
            LimitsKey::ProtocolPeerDefault => &mut self.protocol_peer_default,
            LimitsKey::ProtocolPeer(name) => self.protocol_peer.entry(name).or_default(),
            LimitsKey::PeerDefault => &mut self.peer_default,
            LimitsKey::Peer(peer) => self.peer.entry(peer).or_default(),
            LimitsKey::Conn => &mut self.conn,
            LimitsKey::Stream => &mut self.stream,
        }
    }
}
