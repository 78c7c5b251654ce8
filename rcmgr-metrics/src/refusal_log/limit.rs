//! The limit that a scope reached, and its key in the configuration.

use std::fmt;

use rcmgr_atomic::ScopeReport;
use rcmgr_core::{Limit, Limits, LimitsKey, Resource, ScopeClass, ScopeId};

use super::words::amount;
use crate::label::escaped;

/// The limit that was reached.
#[derive(Debug)]
pub(super) enum Reached {
    Limit {
        key: Key,
        used: u64,
        limit: u64,
    },
    /// An override, which is not in the configuration.
    Override {
        resource: Resource,
        used: u64,
        limit: u64,
    },
    /// The limit has been removed since.
    Removed,
}

/// The key of a limit in the configuration.
#[derive(Debug)]
pub(super) struct Key {
    pub entry: LimitsKey,
    pub resource: Resource,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.resource.field_name();
        match self.entry.name() {
            None => write!(f, "{}.{field}", self.entry.scope()),
            Some(name) => write!(f, "{}.{}.{field}", self.entry.scope(), escaped(&name)),
        }
    }
}

impl Reached {
    pub fn fmt(&self, f: &mut fmt::Formatter<'_>, there: &str) -> fmt::Result {
        let (resource, used, limit) = match self {
            Self::Limit { key, used, limit } => (key.resource, *used, *limit),
            Self::Override {
                resource,
                used,
                limit,
            } => (*resource, *used, *limit),
            Self::Removed => return f.write_str("; this limit no longer exists"),
        };
        let [used_text, limit_text] = [used, limit].map(|value| amount(resource, value));
        write!(f, ": {used_text} of {limit_text} in use{there} now")?;
        if matches!(resource, Resource::Streams | Resource::Conns) {
            f.write_str(", both directions together")?;
        }
        match self {
            Self::Limit { key, .. } => write!(f, "; the limit is {key}")?,
            _ => f.write_str("; the limit is an override of this scope")?,
        }
        if resource == Resource::Memory {
            f.write_str("; low priority may use 40 % of it, medium 60 %, high 80 %")?;
        }
        Ok(())
    }
}

/// The limit that a scope reached when it refused. Usage may have dropped since; then it is the
/// fullest of the limits that were checked.
pub(super) fn reached(report: &ScopeReport, asked: Resource, limits: &Limits) -> Reached {
    let used = |resource| report.stat.get(resource);
    let part = |&(resource, limit): &(_, u64)| used(resource) as f64 / limit.max(1) as f64;
    // The first limit that is full refused, as a scope checks them in this order.
    let full = limited(asked, &report.limit).find(|limit| part(limit) >= 1.0);
    let fullest = || {
        let limited = limited(asked, &report.limit);
        limited.max_by(|a, b| part(a).total_cmp(&part(b)))
    };
    let Some((resource, limit)) = full.or_else(fullest) else {
        return Reached::Removed;
    };
    let used = used(resource);
    // If the configuration has the same value, its key is the one to change; otherwise it is an
    // override.
    let entry = entry_of(&report.id, limits);
    let configured = entry.as_ref().and_then(|entry| limits.lookup(entry));
    let is_configured = |limit: Limit| limit.get(resource) == report.limit.get(resource);
    match entry {
        Some(entry) if configured.is_some_and(is_configured) => Reached::Limit {
            key: Key { entry, resource },
            used,
            limit,
        },
        _ => Reached::Override {
            resource,
            used,
            limit,
        },
    }
}

/// The finite limits that a request is checked against, in the order of the checks.
pub(super) fn limited(
    asked: Resource,
    limit: &Limit,
) -> impl Iterator<Item = (Resource, u64)> + use<> {
    let total = match asked {
        Resource::StreamsInbound | Resource::StreamsOutbound => Some(Resource::Streams),
        Resource::ConnsInbound | Resource::ConnsOutbound => Some(Resource::Conns),
        _ => None,
    };
    let limit = *limit;
    let number = move |resource| Some((resource, limit.get(resource).number()?));
    [Some(asked), total]
        .into_iter()
        .flatten()
        .filter_map(number)
}

/// The entry that applies to a scope: its own if there is one, otherwise the default of its class.
fn entry_of(id: &ScopeId, limits: &Limits) -> Option<LimitsKey> {
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

pub(super) const fn default_of(class: ScopeClass) -> Option<LimitsKey> {
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
