//! The limits in a vector's header: a partial configuration over all-unlimited defaults.

use std::collections::BTreeMap;
use std::str::FromStr;

use rcmgr_atomic::{Limit, LimitValue, Limits};
use serde_json::{Map, Value};

pub fn limits(json: &Value) -> Limits {
    let scopes = json.as_object().expect("limits are an object");
    let one = |name: &str| limit(scopes.get(name), Limit::UNLIMITED);
    let service_default = one("ServiceDefault");
    let service_peer_default = one("ServicePeerDefault");
    let protocol_default = one("ProtocolDefault");
    let protocol_peer_default = one("ProtocolPeerDefault");
    let peer_default = one("PeerDefault");
    Limits {
        system: one("System"),
        transient: one("Transient"),
        allowlisted_system: one("AllowlistedSystem"),
        allowlisted_transient: one("AllowlistedTransient"),
        service_default: Some(service_default),
        service: named(scopes, "Service", service_default),
        service_peer_default,
        service_peer: named(scopes, "ServicePeer", service_peer_default),
        protocol_default,
        protocol: named(scopes, "Protocol", protocol_default),
        protocol_peer_default,
        protocol_peer: named(scopes, "ProtocolPeer", protocol_peer_default),
        peer_default,
        peer: named(scopes, "Peer", peer_default),
        conn: one("Conn"),
        stream: one("Stream"),
    }
}

/// The entries of a map of limits; a field that an entry leaves out is the default's.
fn named<K: FromStr + Ord>(
    scopes: &Map<String, Value>,
    name: &str,
    default: Limit,
) -> BTreeMap<K, Limit> {
    let key = |key: &str| {
        key.parse()
            .unwrap_or_else(|_| panic!("{key:?} is no key of {name}"))
    };
    scopes
        .get(name)
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .map(|(entry, json)| (key(entry), limit(Some(json), default)))
        .collect()
}

pub fn limit(json: Option<&Value>, default: Limit) -> Limit {
    let field = |name: &str, default| match json.and_then(|json| json.get(name)) {
        None => default,
        Some(value) => limit_value(value),
    };
    Limit {
        memory: field("Memory", default.memory),
        fd: field("FD", default.fd),
        streams: field("Streams", default.streams),
        streams_inbound: field("StreamsInbound", default.streams_inbound),
        streams_outbound: field("StreamsOutbound", default.streams_outbound),
        conns: field("Conns", default.conns),
        conns_inbound: field("ConnsInbound", default.conns_inbound),
        conns_outbound: field("ConnsOutbound", default.conns_outbound),
    }
}

fn limit_value(json: &Value) -> LimitValue {
    match json.as_str() {
        Some("unlimited") => LimitValue::Unlimited,
        Some("blockAll") => LimitValue::BLOCK_ALL,
        Some(number) => LimitValue::Limited(number.parse().expect("a limit is a number")),
        None => LimitValue::Limited(json.as_u64().expect("a limit is a number")),
    }
}
