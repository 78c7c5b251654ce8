//! Warnings about limits that cannot have the effect that they seem to have.

use std::fmt;

use rcmgr_core::{Limit, LimitValue, Limits, LimitsKey, Resource};

use crate::{ByteSize, Machine};

/// A limit that cannot have the effect that it seems to have. It is not an error.
///
/// [`LimitsExt::warnings`](crate::LimitsExt::warnings) lists the checks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The scope.
    pub key: LimitsKey,
    /// The field of its limit.
    pub resource: Resource,
    /// The problem.
    pub kind: WarningKind,
}

/// The problem that a [`Warning`] reports.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarningKind {
    /// The limit is over the limit of the scope above, which refuses first.
    OverParent {
        /// This limit.
        limit: u64,
        /// The scope above.
        parent: LimitsKey,
        /// The limit of the scope above.
        parent_limit: u64,
    },
    /// The limit of one direction is over the limit of both directions together.
    OverTotal {
        /// This limit.
        limit: u64,
        /// The limit of both directions together.
        total: u64,
    },
    /// The limit is more than the process can have.
    OverMachine {
        /// This limit.
        limit: u64,
        /// The amount that the process can have.
        machine: u64,
    },
    /// A service may have connections or descriptors, but each peer's share of them is zero, so no
    /// connection with a peer can be attached to the service.
    NoneForPeers {
        /// This limit.
        limit: u64,
        /// The entry of the share per peer.
        share: LimitsKey,
    },
    /// The total is above zero, but both directions are zero.
    NoDirection {
        /// This limit.
        limit: u64,
    },
    /// The limit allows nothing, so no memory can be reserved, or no connection opened.
    BlocksEverything,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            key,
            resource,
            kind,
        } = self;
        let amount = |amount: &u64| match resource {
            Resource::Memory => ByteSize(*amount).to_string(),
            _ => amount.to_string(),
        };
        write!(f, "{key}.{}: ", resource.field_name())?;
        match kind {
            WarningKind::OverParent {
                limit,
                parent,
                parent_limit,
            } => write!(
                f,
                "{} cannot be reached: {parent} allows {}",
                amount(limit),
                amount(parent_limit)
            ),
            WarningKind::OverTotal { limit, total } => write!(
                f,
                "{} cannot be reached: the limit of both directions together is {}",
                amount(limit),
                amount(total)
            ),
            WarningKind::OverMachine { limit, machine } => write!(
                f,
                "{} is more than the {} that this process can have",
                amount(limit),
                amount(machine)
            ),
            WarningKind::NoneForPeers { limit, share } => {
                write!(f, "{} cannot be used: {share} allows none", amount(limit))
            }
            WarningKind::NoDirection { limit } => write!(
                f,
                "{} cannot be used: the limits of both directions are 0",
                amount(limit)
            ),
            WarningKind::BlocksEverything if *resource == Resource::Memory => {
                f.write_str("no memory is allowed, so none can be reserved")
            }
            WarningKind::BlocksEverything => {
                f.write_str("no connections are allowed, so none can be opened")
            }
        }
    }
}

/// A number of streams is reported only above this multiple of the parent's: in go-libp2p's own
/// table a service may have up to twice the streams of the system.
const STREAM_TOLERANCE: u64 = 2;

/// See [`LimitsExt::warnings`](crate::LimitsExt::warnings).
pub(crate) fn warnings(limits: &Limits, machine: Option<&Machine>) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (key, limit) in limits.entries() {
        let class = key.class_default();
        let default = class.as_ref().and_then(|class| limits.lookup(class));
        for resource in Resource::ALL {
            let kinds = |key: &LimitsKey, limit: &Limit| {
                let value = limit.get(resource);
                [
                    over_parent(limits, key, resource, value),
                    over_machine(key, resource, value, machine),
                    none_for_peers(limits, key, resource, value),
                ]
            };
            // A named entry does not repeat a warning that the default of its class has.
            let of_default = class.as_ref().zip(default);
            let of_default = of_default.map(|(class, default)| kinds(class, &default));
            let new =
                |kind: &WarningKind| !of_default.iter().flatten().flatten().any(|old| old == kind);
            let kinds = kinds(&key, &limit).into_iter().flatten().filter(new);
            warnings.extend(kinds.map(|kind| Warning {
                key: key.clone(),
                resource,
                kind,
            }));
        }
        // The same for the directions of a limit, which are independent of other scopes.
        let directions = directions(&limit).filter(|(resource, _)| {
            default.is_none_or(|default| directions(&default).all(|(other, _)| other != *resource))
        });
        let blocked =
            blocked(&key, &limit).map(|resource| (resource, WarningKind::BlocksEverything));
        warnings.extend(directions.chain(blocked).map(|(resource, kind)| Warning {
            key: key.clone(),
            resource,
            kind,
        }));
    }
    warnings
}

/// Checks whether a limit is over the limit of the scope above.
fn over_parent(
    limits: &Limits,
    key: &LimitsKey,
    resource: Resource,
    value: LimitValue,
) -> Option<WarningKind> {
    let parent = parent(limits, key)?;
    let (LimitValue::Limited(limit), LimitValue::Limited(parent_limit)) =
        (value, limits.lookup(&parent)?.get(resource))
    else {
        return None;
    };
    let allowed = match resource {
        Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
            parent_limit.saturating_mul(STREAM_TOLERANCE)
        }
        _ => parent_limit,
    };
    (limit > allowed).then_some(WarningKind::OverParent {
        limit,
        parent,
        parent_limit,
    })
}

/// Checks whether a service has connections or descriptors while each peer's share is zero.
fn none_for_peers(
    limits: &Limits,
    key: &LimitsKey,
    resource: Resource,
    value: LimitValue,
) -> Option<WarningKind> {
    let share = match key {
        LimitsKey::Service(name) if limits.service_peer.contains_key(name) => {
            LimitsKey::ServicePeer(name.clone())
        }
        LimitsKey::Service(_) | LimitsKey::ServiceDefault => LimitsKey::ServicePeerDefault,
        _ => return None,
    };
    match (resource, value) {
        (Resource::Conns | Resource::Fd, LimitValue::Limited(limit @ 1..))
            if limits.lookup(&share)?.get(resource) == LimitValue::BLOCK_ALL =>
        {
            Some(WarningKind::NoneForPeers { limit, share })
        }
        _ => None,
    }
}

/// The scope above: its limit applies to everything that this scope holds.
fn parent(limits: &Limits, key: &LimitsKey) -> Option<LimitsKey> {
    match key {
        LimitsKey::System | LimitsKey::AllowlistedSystem => None,
        LimitsKey::AllowlistedTransient => Some(LimitsKey::AllowlistedSystem),
        LimitsKey::ServicePeerDefault if limits.service_default.is_some() => {
            Some(LimitsKey::ServiceDefault)
        }
        LimitsKey::ServicePeer(name) => Some(match limits.service.contains_key(name) {
            true => LimitsKey::Service(name.clone()),
            false if limits.service_default.is_some() => LimitsKey::ServiceDefault,
            false => LimitsKey::System,
        }),
        LimitsKey::ProtocolPeerDefault => Some(LimitsKey::ProtocolDefault),
        LimitsKey::ProtocolPeer(id) => Some(match limits.protocol.contains_key(id) {
            true => LimitsKey::Protocol(id.clone()),
            false => LimitsKey::ProtocolDefault,
        }),
        _ => Some(LimitsKey::System),
    }
}

/// Checks whether a system scope is over the machine.
fn over_machine(
    key: &LimitsKey,
    resource: Resource,
    value: LimitValue,
    machine: Option<&Machine>,
) -> Option<WarningKind> {
    let machine = match (key, resource) {
        (LimitsKey::System | LimitsKey::AllowlistedSystem, Resource::Memory) => machine?.memory,
        (LimitsKey::System | LimitsKey::AllowlistedSystem, Resource::Fd) => machine?.fds,
        _ => return None,
    };
    match value {
        LimitValue::Limited(limit) if limit > machine => {
            Some(WarningKind::OverMachine { limit, machine })
        }
        _ => None,
    }
}

/// The directions that are over their total, and the totals whose directions are both zero.
fn directions(limit: &Limit) -> impl Iterator<Item = (Resource, WarningKind)> + use<> {
    let limit = *limit;
    let none = |resource| limit.get(resource) == LimitValue::BLOCK_ALL;
    let no_direction = [
        (
            Resource::Streams,
            [Resource::StreamsInbound, Resource::StreamsOutbound],
        ),
        (
            Resource::Conns,
            [Resource::ConnsInbound, Resource::ConnsOutbound],
        ),
    ]
    .map(|(total, directions)| match limit.get(total) {
        LimitValue::Limited(limit @ 1..) if directions.into_iter().all(none) => {
            Some((total, WarningKind::NoDirection { limit }))
        }
        _ => None,
    });
    let over_total = [
        (Resource::StreamsInbound, Resource::Streams),
        (Resource::StreamsOutbound, Resource::Streams),
        (Resource::ConnsInbound, Resource::Conns),
        (Resource::ConnsOutbound, Resource::Conns),
    ]
    .into_iter()
    .filter_map(
        move |(direction, total)| match (limit.get(direction), limit.get(total)) {
            // A total of zero is explicit enough.
            (LimitValue::Limited(limit), LimitValue::Limited(total @ 1..)) if limit > total => {
                Some((direction, WarningKind::OverTotal { limit, total }))
            }
            _ => None,
        },
    );
    over_total.chain(no_direction.into_iter().flatten())
}

/// The resources that every connection needs and the scope does not allow.
fn blocked(key: &LimitsKey, limit: &Limit) -> impl Iterator<Item = Resource> + use<> {
    let none = LimitValue::BLOCK_ALL;
    let no_memory = *key == LimitsKey::System && limit.memory == none;
    let needs_conns = matches!(
        key,
        LimitsKey::System | LimitsKey::Transient | LimitsKey::Conn
    );
    let no_conns =
        limit.conns == none || (limit.conns_inbound == none && limit.conns_outbound == none);
    [
        no_memory.then_some(Resource::Memory),
        (needs_conns && no_conns).then_some(Resource::Conns),
    ]
    .into_iter()
    .flatten()
}

#[cfg(test)]
mod tests;
