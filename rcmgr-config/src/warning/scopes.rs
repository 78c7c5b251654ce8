//! The checks of the scopes' limits.

use rcmgr_core::{Limit, LimitValue, Limits, LimitsKey, Resource};

use super::kind::{Setting, Warning, WarningKind};
use crate::Machine;

/// A number of streams is reported only above this multiple of the parent's: in go-libp2p's own
/// table a service may have up to twice the streams of the system.
const STREAM_TOLERANCE: u64 = 2;

/// A scope has far fewer descriptors than connections if it has less than one for this many.
const FEW_DESCRIPTORS: u64 = 5;

/// The bytes that even the smallest buffers of a connection need.
const LEAST_MEMORY: u64 = 1024;

/// What the checks of one scope compare with.
struct Scopes<'a> {
    limits: &'a Limits,
    machine: Option<&'a Machine>,
    /// Whether numbers are reported that a table has on some machines.
    strict: bool,
}

/// The warnings about all scopes, in the order of [`LimitsKey`].
pub(super) fn warnings(limits: &Limits, machine: Option<&Machine>, strict: bool) -> Vec<Warning> {
    let scopes = Scopes {
        limits,
        machine,
        strict,
    };
    let mut warnings = Vec::new();
    for (key, limit) in limits.entries() {
        // A named entry does not repeat a warning that the default of its class has.
        let class = key.class_default();
        let default = class.and_then(|class| Some((limits.lookup(&class)?, class)));
        let known = default.map(|(limit, class)| scopes.check(&class, &limit));
        let known = known.unwrap_or_default();
        let new = scopes.check(&key, &limit);
        let new = new.into_iter().filter(|warning| !known.contains(warning));
        warnings.extend(new.map(|(resource, kind)| Warning {
            setting: Setting::field(key.clone(), resource),
            kind,
        }));
    }
    warnings
}

impl Scopes<'_> {
    /// The warnings about one scope.
    fn check(&self, key: &LimitsKey, limit: &Limit) -> Vec<(Resource, WarningKind)> {
        let blocked = blocked(key, limit, self.strict);
        let mut found = Vec::new();
        for (resource, value) in limit.iter() {
            let kinds = [
                over_parent(self.limits, key, resource, value),
                over_peer(self.limits, key, resource, value),
                over_machine(key, resource, value, self.machine),
                none_for_peers(self.limits, key, resource, value),
            ];
            found.extend(kinds.into_iter().flatten().map(|kind| (resource, kind)));
        }
        found.extend(
            directions(limit)
                .filter(|(resource, _)| !blocked.contains(resource))
                .chain(self.few_descriptors(key, limit))
                .chain(few_streams(key, limit))
                .chain(little_memory(key, limit)),
        );
        let blocks = |resource| (resource, WarningKind::BlocksEverything);
        found.extend(blocked.into_iter().map(blocks));
        found
    }

    /// Checks whether TCP connections stop at the descriptors, far below the connections.
    fn few_descriptors(&self, key: &LimitsKey, limit: &Limit) -> Option<(Resource, WarningKind)> {
        let (fds, conns) = (limit.fd.number()?, conns(limit)?);
        if fds == 0 || conns / FEW_DESCRIPTORS <= fds || matches!(key, LimitsKey::Conn) {
            return None;
        }
        // On a machine with much memory and few descriptors, the tables allow more connections than
        // descriptors too. Then it is not a mistake of these limits.
        let is_proportional = match key {
            _ if self.strict => false,
            LimitsKey::System | LimitsKey::AllowlistedSystem => {
                self.descriptors() / FEW_DESCRIPTORS <= fds
            }
            _ => {
                let system = &self.limits.system;
                match (system.fd.number(), self::conns(system)) {
                    (Some(all_fds), Some(all_conns)) => {
                        u128::from(conns) * u128::from(all_fds)
                            <= u128::from(fds) * u128::from(all_conns) * u128::from(FEW_DESCRIPTORS)
                    }
                    _ => false,
                }
            }
        };
        (!is_proportional).then_some((Resource::Fd, WarningKind::FewDescriptors { fds, conns }))
    }

    /// The descriptors of the process: the machine's, or else the most that any scope may have.
    fn descriptors(&self) -> u64 {
        let of_scopes = || {
            let fds = self.limits.entries().map(|(_, limit)| limit.fd.number());
            fds.map(|fds| fds.unwrap_or(u64::MAX)).max().unwrap_or(0)
        };
        self.machine.map_or_else(of_scopes, |machine| machine.fds)
    }
}

/// The maximum number of connections; `None` if it is unlimited.
fn conns(limit: &Limit) -> Option<u64> {
    let one_direction = limit.conns_inbound.max(limit.conns_outbound);
    limit.conns.min(one_direction).number()
}

/// Checks whether a system scope has fewer streams than connections. Kubo's documentation asks its
/// users to keep streams above connections.
fn few_streams(key: &LimitsKey, limit: &Limit) -> Option<(Resource, WarningKind)> {
    if !is_system(key) {
        return None;
    }
    let pairs = [
        (Resource::Streams, Resource::Conns),
        (Resource::StreamsInbound, Resource::ConnsInbound),
    ];
    pairs.into_iter().find_map(|(resource, of)| {
        let (streams, conns) = (limit.get(resource).number()?, limit.get(of).number()?);
        let few = streams > 0 && streams < conns;
        few.then_some((resource, WarningKind::FewStreams { streams, conns }))
    })
}

/// Checks whether a system scope has memory for the buffers of its connections.
fn little_memory(key: &LimitsKey, limit: &Limit) -> Option<(Resource, WarningKind)> {
    let (memory, conns) = (limit.memory.number()?, conns(limit)?);
    let little = is_system(key) && memory > 0 && memory / LEAST_MEMORY < conns;
    little.then_some((
        Resource::Memory,
        WarningKind::LittleMemory { memory, conns },
    ))
}

const fn is_system(key: &LimitsKey) -> bool {
    matches!(key, LimitsKey::System | LimitsKey::AllowlistedSystem)
}

/// Checks whether a limit is over the limit of the scope above.
fn over_parent(
    limits: &Limits,
    key: &LimitsKey,
    resource: Resource,
    value: LimitValue,
) -> Option<WarningKind> {
    let parent = parent(limits, key)?;
    let limit = value.number()?;
    let parent_limit = limits.lookup(&parent)?.get(resource).number()?;
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

/// Checks whether a connection or stream may have more memory than its peer.
fn over_peer(
    limits: &Limits,
    key: &LimitsKey,
    resource: Resource,
    value: LimitValue,
) -> Option<WarningKind> {
    let in_peer = matches!(key, LimitsKey::Conn | LimitsKey::Stream);
    if !in_peer || resource != Resource::Memory {
        return None;
    }
    let limit = value.number()?;
    let parent_limit = limits.peer_default.memory.number()?;
    // Over the system's memory too, this is reported once.
    let is_new = limits.system.memory.allows(limit);
    (is_new && limit > parent_limit).then_some(WarningKind::OverParent {
        limit,
        parent: LimitsKey::PeerDefault,
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
        LimitValue::Limited(limit @ 0..=LimitValue::LARGEST) if limit > machine => {
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

/// The resources that a scope needs and does not allow. Some zeros are not reported:
///
/// - Services and protocols have no connections and descriptors in go-libp2p's table, a connection
///   has no streams, and a stream has nothing else.
/// - A named entry without connections or streams is a way to block one name.
/// - The scopes of allowlisted connections may be off.
fn blocked(key: &LimitsKey, limit: &Limit, strict: bool) -> Vec<Resource> {
    let none = |resource| limit.get(resource) == LimitValue::BLOCK_ALL;
    let no_conns =
        none(Resource::Conns) || (none(Resource::ConnsInbound) && none(Resource::ConnsOutbound));
    let no_streams = none(Resource::Streams)
        || (none(Resource::StreamsInbound) && none(Resource::StreamsOutbound));
    // Connections without a descriptor are still possible, as with QUIC.
    let no_fd = none(Resource::Fd) && !no_conns;
    let (conns, streams) = match key {
        LimitsKey::System | LimitsKey::Transient | LimitsKey::PeerDefault => (no_conns, no_streams),
        LimitsKey::AllowlistedSystem | LimitsKey::AllowlistedTransient => {
            (false, no_streams && !no_conns)
        }
        LimitsKey::Conn => (no_conns, false),
        LimitsKey::Stream => (false, no_streams),
        LimitsKey::ServiceDefault
        | LimitsKey::ServicePeerDefault
        | LimitsKey::ProtocolDefault
        | LimitsKey::ProtocolPeerDefault => (no_conns && strict, no_streams),
        LimitsKey::Service(_)
        | LimitsKey::ServicePeer(_)
        | LimitsKey::Protocol(_)
        | LimitsKey::ProtocolPeer(_)
        | LimitsKey::Peer(_) => (false, false),
    };
    let no_memory = none(Resource::Memory)
        && key.name().is_none()
        && (*key == LimitsKey::System || !(no_conns && no_streams));
    let blocked = [
        (no_memory, Resource::Memory),
        (no_fd && *key != LimitsKey::Stream, Resource::Fd),
        (streams, Resource::Streams),
        (conns, Resource::Conns),
    ];
    let blocked = blocked.into_iter().filter(|(blocked, _)| *blocked);
    blocked.map(|(_, resource)| resource).collect()
}
