//! The words of the log.

use rcmgr_config::ByteSize;
use rcmgr_core::{Direction, Resource, ScopeClass, ScopeId};

use crate::label::MOST_CHARS;

/// The name of a scope. Remotes choose names, so it is escaped and cut.
pub(super) fn scope_name(id: &ScopeId) -> String {
    format!("{id:.MOST_CHARS$}")
}

/// The request, in words.
pub(super) fn asked(resource: Resource, count: u64) -> String {
    let plural = if count == 1 { "" } else { "s" };
    let direction = direction(resource).map_or("", Direction::as_str);
    match resource {
        Resource::Memory => format!("memory reservation{plural}"),
        Resource::Fd => format!("connection{plural} with a file descriptor"),
        Resource::Streams | Resource::StreamsInbound | Resource::StreamsOutbound => {
            format!("{direction} stream{plural}")
        }
        Resource::Conns | Resource::ConnsInbound | Resource::ConnsOutbound => {
            format!("{direction} connection{plural}")
        }
    }
}

pub(super) const fn direction(asked: Resource) -> Option<Direction> {
    match asked {
        Resource::StreamsInbound | Resource::ConnsInbound => Some(Direction::Inbound),
        Resource::StreamsOutbound | Resource::ConnsOutbound => Some(Direction::Outbound),
        _ => None,
    }
}

/// The word for scopes of a class.
pub(super) const fn classes(class: ScopeClass, count: u64) -> &'static str {
    match (class, count) {
        (ScopeClass::Service, 1) => "service",
        (ScopeClass::Service, _) => "services",
        (ScopeClass::ServicePeer, 1) => "peer's share of a service",
        (ScopeClass::ServicePeer, _) => "peers' shares of services",
        (ScopeClass::Protocol, 1) => "protocol",
        (ScopeClass::Protocol, _) => "protocols",
        (ScopeClass::ProtocolPeer, 1) => "peer's share of a protocol",
        (ScopeClass::ProtocolPeer, _) => "peers' shares of protocols",
        (ScopeClass::Peer, 1) => "peer",
        (ScopeClass::Peer, _) => "peers",
        (ScopeClass::Connection, _) => "connection",
        (ScopeClass::Stream, _) => "stream",
        (class, _) => class.as_str(),
    }
}

pub(super) fn amount(resource: Resource, value: u64) -> String {
    match resource {
        Resource::Memory => format!("{:.1}", ByteSize(value)),
        _ => grouped(value),
    }
}

/// A count with thousands separators: `12,345`.
pub(super) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
