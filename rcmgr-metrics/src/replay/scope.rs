//! Class, owner and limit of a scope, from its name.

use rcmgr_core::{Limit, Limits, PeerId, ScopeClass};

use crate::trace::Event;

/// The class of a name; `None` for unknown names. All spans are [`ScopeClass::Span`].
pub fn class_of(name: &str) -> Option<ScopeClass> {
    match owner_of(name) {
        Some(_) => Some(ScopeClass::Span),
        None => class_without_spans(name),
    }
}

fn class_without_spans(name: &str) -> Option<ScopeClass> {
    let is_of_a_peer = |rest: &str| rest.contains(".peer:");
    Some(match name {
        "system" => ScopeClass::System,
        "transient" => ScopeClass::Transient,
        "allowlistedSystem" => ScopeClass::AllowlistedSystem,
        "allowlistedTransient" => ScopeClass::AllowlistedTransient,
        _ if name.starts_with("conn-") => ScopeClass::Connection,
        _ if name.starts_with("stream-") => ScopeClass::Stream,
        _ if name.starts_with("peer:") => ScopeClass::Peer,
        _ => match (
            name.strip_prefix("service:"),
            name.strip_prefix("protocol:"),
        ) {
            (Some(rest), _) if is_of_a_peer(rest) => ScopeClass::ServicePeer,
            (Some(_), _) => ScopeClass::Service,
            (_, Some(rest)) if is_of_a_peer(rest) => ScopeClass::ProtocolPeer,
            (_, Some(_)) => ScopeClass::Protocol,
            (None, None) => return None,
        },
    })
}

/// The owner of a span; `None` if the name is not that of a span.
pub fn owner_of(name: &str) -> Option<&str> {
    let rest = name.trim_end_matches(|last: char| last.is_ascii_digit());
    let has_number = rest.len() < name.len();
    has_number.then(|| rest.strip_suffix(".span-")).flatten()
}

/// The scope at the base of nested spans, which is not a span itself.
pub fn base_of(mut name: &str) -> &str {
    while let Some(owner) = owner_of(name) {
        name = owner;
    }
    // The name of a deeply nested span leaves out the middle.
    name.split(".span-").next().unwrap_or(name)
}

/// Whether a scope ends with its handle: a connection, a stream, or a span.
pub fn ends_by_itself(class: Option<ScopeClass>) -> bool {
    use ScopeClass::{Connection, Span, Stream};
    matches!(class, Some(Connection | Stream | Span))
}

/// The class that a scope counts in. A span counts in the class of its owner.
pub fn counts_in(name: &str) -> &'static str {
    class_without_spans(base_of(name)).map_or("unknown", ScopeClass::as_str)
}

/// The value of the label `scope` of the metric `blocked_resources` for a class: a peer's share of
/// a service or protocol counts in that service or protocol.
pub fn metric_label(class: &'static str) -> &'static str {
    match class {
        "service-peer" => "service",
        "protocol-peer" => "protocol",
        other => other,
    }
}

/// The limit of an event's scope under a configuration. Unknown names have no limit.
pub fn limit_of(event: &Event, limits: &Limits) -> Limit {
    let name = base_of(event.scope_name());
    let labels = event.scope.as_ref();
    // The labels are more reliable than the name, because a service may have any name.
    let of = |label: Option<&String>, prefix: &str| -> String {
        let in_name = || {
            let rest = name.strip_prefix(prefix).unwrap_or_default();
            rest.rsplit_once(".peer:").map_or(rest, |(rest, _)| rest)
        };
        label
            .map_or_else(in_name, |label| base_of(label))
            .to_owned()
    };
    let service = || {
        of(
            labels.and_then(|labels| labels.service.as_ref()),
            "service:",
        )
    };
    let protocol = || {
        of(
            labels.and_then(|labels| labels.protocol.as_ref()),
            "protocol:",
        )
    };
    match class_without_spans(name) {
        Some(ScopeClass::System) => limits.system,
        Some(ScopeClass::Transient) => limits.transient,
        Some(ScopeClass::AllowlistedSystem) => limits.allowlisted_system,
        Some(ScopeClass::AllowlistedTransient) => limits.allowlisted_transient,
        // Without its own limit only system limits it, which is checked too.
        Some(ScopeClass::Service) => limits.service_limit(&service()).unwrap_or(Limit::UNLIMITED),
        Some(ScopeClass::ServicePeer) => limits.service_peer_limit(&service()),
        Some(ScopeClass::Protocol) => limits.protocol_limit(&protocol()),
        Some(ScopeClass::ProtocolPeer) => limits.protocol_peer_limit(&protocol()),
        Some(ScopeClass::Peer) => {
            let peer: Option<PeerId> = name
                .strip_prefix("peer:")
                .and_then(|peer| peer.parse().ok());
            peer.map_or(limits.peer_default, |peer| limits.peer_limit(&peer))
        }
        Some(ScopeClass::Connection) => limits.conn,
        Some(ScopeClass::Stream) => limits.stream,
        Some(ScopeClass::Span) | None => Limit::UNLIMITED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_determines_class_owner_and_label() {
        let cases = [
            ("system", "system", "system"),
            ("conn-3", "conn", "conn"),
            ("conn-3.span-2", "span", "conn"),
            ("service:a-b", "service", "service"),
            ("service:dht.peer:Qm.span-1.span-7", "span", "service"),
            ("protocol:/a/1.0.peer:Qm", "protocol-peer", "protocol"),
            ("peer:Qm", "peer", "peer"),
            ("service:.span-x", "service", "service"),
        ];
        for (name, class, label) in cases {
            assert_eq!(class_of(name).unwrap().as_str(), class, "{name}");
            assert_eq!(metric_label(counts_in(name)), label, "{name}");
        }
        assert_eq!(owner_of("stream-1.span-2.span-3"), Some("stream-1.span-2"));
        assert_eq!(base_of("stream-1.span-2.….span-9"), "stream-1");
        assert_eq!((class_of("sneeze"), counts_in("")), (None, "unknown"));
    }
}
