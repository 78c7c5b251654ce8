//! Random limits of every kind, for property tests.

use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use rcmgr_config::{PartialLimit, PartialLimits};
use rcmgr_core::{LimitValue, PeerId, Resource};

pub fn limit_value() -> impl Strategy<Value = LimitValue> {
    prop_oneof![
        Just(LimitValue::Unlimited),
        Just(LimitValue::BLOCK_ALL),
        Just(LimitValue::from(i64::MAX as u64)),
        Just(LimitValue::from(i64::MAX as u64 + 1)),
        Just(LimitValue::from(u64::MAX)),
        (0u64..2000).prop_map(LimitValue::from),
        any::<u64>().prop_map(LimitValue::from),
    ]
}

pub fn partial_limit() -> impl Strategy<Value = PartialLimit> {
    proptest::array::uniform8(proptest::option::of(limit_value())).prop_map(|values| {
        let mut limit = PartialLimit::default();
        for (resource, value) in Resource::ALL.into_iter().zip(values) {
            *limit.get_mut(resource) = value;
        }
        limit
    })
}

/// Usual names, and unusual ones.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,8}",
        "/[a-z]{1,8}/[0-9]\\.[0-9]",
        Just(String::new()),
        any::<String>(),
    ]
}

fn peer() -> impl Strategy<Value = PeerId> {
    let bytes = prop_oneof![
        vec(any::<u8>(), 1..=PeerId::MAX_LEN),
        "[a-z0-9]{1,12}".prop_map(String::into_bytes),
        // A libp2p peer id: the multihash of SHA-256.
        vec(any::<u8>(), 32).prop_map(|digest| [vec![0x12, 0x20], digest].concat()),
    ];
    bytes.prop_map(|bytes| PeerId::from_bytes(&bytes).expect("not empty and not too long"))
}

fn named<T: std::fmt::Debug>(
    entry: impl Strategy<Value = T>,
) -> impl Strategy<Value = BTreeMap<String, T>> {
    btree_map(name(), entry, 0..3)
}

pub fn partial_limits() -> impl Strategy<Value = PartialLimits> {
    let scopes = vec(partial_limit(), 11);
    let classes = (
        named(partial_limit()),
        named(partial_limit()),
        named(partial_limit()),
        named(partial_limit()),
        btree_map(peer(), partial_limit(), 0..3),
    );
    (scopes, classes).prop_map(
        |(scopes, (service, service_peer, protocol, protocol_peer, peer))| PartialLimits {
            system: scopes[0],
            transient: scopes[1],
            allowlisted_system: scopes[2],
            allowlisted_transient: scopes[3],
            service_default: scopes[4],
            service,
            service_peer_default: scopes[5],
            service_peer,
            protocol_default: scopes[6],
            protocol,
            protocol_peer_default: scopes[7],
            protocol_peer,
            peer_default: scopes[8],
            peer,
            conn: scopes[9],
            stream: scopes[10],
        },
    )
}
