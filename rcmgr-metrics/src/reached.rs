//! The limit that a scope reached, and the setting to change.

use std::fmt;

use rcmgr_atomic::ScopeReport;
use rcmgr_core::{AddressConfig, Limit, Limits, LimitsKey, Resource, ScopeClass, ScopeId};

use crate::label::escaped;

/// The tables with the limits that the limiter of open connections has. It does not count for
/// each table how often it refused, so both are named where both are set.
pub(crate) fn subnet_tables(config: &AddressConfig) -> &'static str {
    let of = &config.subnets;
    let has_sizes = !of.v4.is_empty() || !of.v6.is_empty();
    let has_networks = !of.v4_networks.is_empty() || !of.v6_networks.is_empty();
    match (has_sizes, has_networks) {
        (true, false) => "Addresses.Subnets",
        (false, true) => "Addresses.Networks",
        // The limits may have been removed since.
        _ => "Addresses.Subnets or Addresses.Networks",
    }
}

/// The limit that a scope reached.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub resource: Resource,
    /// The usage now; `None` if the scope no longer exists.
    pub used: Option<u64>,
    pub limit: u64,
    /// The entry of the limits that sets it; `None` if it is an override of this scope.
    pub entry: Option<LimitsKey>,
}

impl Reached {
    /// The setting to change; `None` for an override.
    pub fn setting(&self) -> Option<Setting> {
        let entry = self.entry.clone()?;
        let resource = self.resource;
        Some(Setting { entry, resource })
    }
}

/// A field of the limits, such as `System.ConnsInbound`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Setting {
    pub entry: LimitsKey,
    pub resource: Resource,
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.resource.field_name();
        match self.entry.name() {
            None => write!(f, "{}.{field}", self.entry.scope()),
            Some(name) => write!(f, "{}.{}.{field}", self.entry.scope(), escaped(&name)),
        }
    }
}

/// The limit that a scope reached when it refused. Usage may have dropped since; then it is the
/// fullest of the limits that were checked. `None` if there is no limit any longer.
pub(crate) fn reached(report: &ScopeReport, asked: Resource, limits: &Limits) -> Option<Reached> {
    let used = |resource| report.stat.get(resource);
    let part = |&(resource, limit): &(_, u64)| used(resource) as f64 / limit.max(1) as f64;
    // The first limit that is full refused, as a scope checks them in this order. A limit of zero
    // is always full.
    let is_full = |limit: &(_, u64)| limit.1 == 0 || part(limit) >= 1.0;
    let full = limited(asked, &report.limit).find(is_full);
    let fullest = || {
        let limited = limited(asked, &report.limit);
        limited.max_by(|a, b| part(a).total_cmp(&part(b)))
    };
    let (resource, limit) = full.or_else(fullest)?;
    // If the configuration has the same value, its entry is the one to change; otherwise it is an
    // override.
    let entry = entry_of(&report.id, limits);
    let configured = entry.as_ref().and_then(|entry| limits.lookup(entry));
    let is_configured =
        configured.is_some_and(|configured| configured.get(resource) == report.limit.get(resource));
    Some(Reached {
        resource,
        used: Some(used(resource)),
        limit,
        entry: entry.filter(|_| is_configured),
    })
}

/// The limit that a scope reached before it was destroyed: the lowest of those that were checked.
/// `None` if the configuration has no limit there.
pub(crate) fn reached_before(id: &ScopeId, asked: Resource, limits: &Limits) -> Option<Reached> {
    let entry = entry_of(id, limits)?;
    let limit = limits.lookup(&entry)?;
    let (resource, limit) = limited(asked, &limit).min_by_key(|&(_, limit)| limit)?;
    Some(Reached {
        resource,
        used: None,
        limit,
        entry: Some(entry),
    })
}

/// The resource that counts both directions of `asked` together.
pub(crate) const fn total_of(asked: Resource) -> Option<Resource> {
    match asked {
        Resource::StreamsInbound | Resource::StreamsOutbound => Some(Resource::Streams),
        Resource::ConnsInbound | Resource::ConnsOutbound => Some(Resource::Conns),
        _ => None,
    }
}

/// The finite limits that a request is checked against, in the order of the checks.
pub(crate) fn limited(
    asked: Resource,
    limit: &Limit,
) -> impl Iterator<Item = (Resource, u64)> + use<> {
    let limit = *limit;
    let number = move |resource| Some((resource, limit.get(resource).number()?));
    [Some(asked), total_of(asked)]
        .into_iter()
        .flatten()
        .filter_map(number)
}

/// The entry that applies to a scope: its own if there is one, otherwise the default of its class.
pub(crate) fn entry_of(id: &ScopeId, limits: &Limits) -> Option<LimitsKey> {
    let own = match id {
        ScopeId::Service(name) if limits.service.contains_key(&**name) => {
            LimitsKey::Service(name.to_string())
        }
        ScopeId::ServicePeer(name, _) if limits.service_peer.contains_key(&**name) => {
            LimitsKey::ServicePeer(name.to_string())
        }
        ScopeId::Protocol(name) if limits.protocol.contains_key(&**name) => {
            LimitsKey::Protocol(name.to_string())
        }
        ScopeId::ProtocolPeer(name, _) if limits.protocol_peer.contains_key(&**name) => {
            LimitsKey::ProtocolPeer(name.to_string())
        }
        ScopeId::Peer(peer) if limits.peer.contains_key(peer) => LimitsKey::Peer(*peer),
        _ => return default_of(id.class()),
    };
    Some(own)
}

pub(crate) const fn default_of(class: ScopeClass) -> Option<LimitsKey> {
    Some(match class {
        ScopeClass::System => LimitsKey::System,
        ScopeClass::Transient => LimitsKey::Transient,
        ScopeClass::AllowlistedSystem => LimitsKey::AllowlistedSystem,
        ScopeClass::AllowlistedTransient => LimitsKey::AllowlistedTransient,
        ScopeClass::Service => LimitsKey::ServiceDefault,
        ScopeClass::ServicePeer => LimitsKey::ServicePeerDefault,
        ScopeClass::Protocol => LimitsKey::ProtocolDefault,
        ScopeClass::ProtocolPeer => LimitsKey::ProtocolPeerDefault,
        ScopeClass::Peer => LimitsKey::PeerDefault,
        ScopeClass::Connection => LimitsKey::Conn,
        ScopeClass::Stream => LimitsKey::Stream,
        ScopeClass::Span => return None,
    })
}
