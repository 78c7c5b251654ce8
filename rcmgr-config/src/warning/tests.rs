//! Tests the warnings of the presets and of contradictory limits.

use super::*;
use rcmgr_core::{GIB, MIB};

use crate::{Budget, LimitsExt, ScalingLimits};

fn lines(limits: &Limits, machine: Option<&Machine>) -> Vec<String> {
    let warnings = limits.warnings(machine);
    warnings.iter().map(ToString::to_string).collect()
}

#[test]
fn the_presets_cause_no_warnings_on_ordinary_machines() {
    let none: [&str; 0] = [];
    let mut memory = GIB;
    while memory <= 64 * GIB {
        for fds in [1000, 4096, 65_536, 100_000] {
            for table in [ScalingLimits::default(), ScalingLimits::server()] {
                let machine = Machine {
                    memory: 8 * memory,
                    fds: 2 * fds,
                };
                assert_eq!(lines(&table.scale(memory, fds), Some(&machine)), none);
                let budget = Budget { memory, fds };
                let machine = Machine { memory, fds };
                assert_eq!(lines(&budget.limits_of(&table), Some(&machine)), none);
            }
        }
        memory += 511 * MIB;
    }
    for (memory, fds) in [(16 * MIB, 8), (MIB, 1), (200 * MIB, 300)] {
        for table in [ScalingLimits::default(), ScalingLimits::server()] {
            assert_eq!(lines(&Budget { memory, fds }.limits_of(&table), None), none);
        }
    }
    assert_eq!(lines(&Limits::unlimited(), None), none);
}

#[test]
fn a_limit_over_its_parents_is_reported_once() {
    let mut limits = Limits::unlimited();
    limits.system.memory = LimitValue::Limited(32 * MIB);
    limits.system.streams = LimitValue::Limited(100);
    limits.peer_default.memory = LimitValue::Limited(64 * MIB);
    limits.peer_default.streams = LimitValue::Limited(200);
    limits
        .peer
        .insert("a".parse().unwrap(), limits.peer_default);
    let mut other = limits.peer_default;
    other.memory = LimitValue::Limited(128 * MIB);
    other.streams = LimitValue::Limited(201);
    limits.peer.insert("b".parse().unwrap(), other);
    assert_eq!(
        lines(&limits, None),
        [
            "PeerDefault.Memory: 64 MiB cannot be reached: System allows 32 MiB",
            "Peer.b.Memory: 128 MiB cannot be reached: System allows 32 MiB",
            "Peer.b.Streams: 201 cannot be reached: System allows 100",
        ]
    );
}

#[test]
fn a_share_per_peer_is_compared_with_its_service() {
    let eight = Limit {
        conns: LimitValue::Limited(8),
        ..Limit::UNLIMITED
    };
    let nine = Limit {
        conns: LimitValue::Limited(9),
        ..Limit::UNLIMITED
    };
    let mut limits = Limits::unlimited();
    limits.service.insert("a".into(), eight);
    limits.service_peer.insert("a".into(), nine);
    limits.service_peer.insert("b".into(), nine);
    limits.protocol_default = eight;
    limits.protocol_peer.insert("/c".into(), nine);
    let expected = [
        "ServicePeer.a.Conns: 9 cannot be reached: Service.a allows 8",
        "ProtocolPeer./c.Conns: 9 cannot be reached: ProtocolDefault allows 8",
    ];
    assert_eq!(lines(&limits, None), expected);
    limits.service_default = None;
    assert_eq!(lines(&limits, None), expected);
}

#[test]
fn a_direction_over_its_total_can_never_be_reached() {
    let mut limits = Limits::unlimited();
    limits.transient.conns = LimitValue::Limited(8);
    limits.transient.conns_inbound = LimitValue::Limited(16);
    let line =
        "Transient.ConnsInbound: 16 cannot be reached: the limit of both directions together is 8";
    assert_eq!(lines(&limits, None), [line]);

    // An entry with the same fault as the default of its class is not reported.
    let mut limits = Limits::unlimited();
    limits.service_default = Some(Limit {
        conns: LimitValue::Limited(8),
        ..Limit::UNLIMITED
    });
    let mut entry = limits.service_default.unwrap();
    entry.conns_outbound = LimitValue::Limited(9);
    limits.service.insert("a".into(), entry);
    assert_eq!(lines(&limits, None).len(), 1);
    limits.service_default = Some(entry);
    assert_eq!(lines(&limits, None).len(), 1);
}

#[test]
fn a_scope_that_blocks_everything_is_reported() {
    let mut limits = Limits::unlimited();
    limits.system.memory = LimitValue::BLOCK_ALL;
    limits.conn = Limit::BLOCK_ALL;
    limits.transient.conns_inbound = LimitValue::BLOCK_ALL;
    limits.transient.conns_outbound = LimitValue::BLOCK_ALL;
    limits.service_default = Some(Limit::BLOCK_ALL);
    assert_eq!(
        lines(&limits, None),
        [
            "System.Memory: no memory is allowed, so none can be reserved",
            "Transient.Conns: no connections are allowed, so none can be opened",
            "Conn.Conns: no connections are allowed, so none can be opened",
        ]
    );
}

#[test]
fn a_limit_over_the_machine_is_reported() {
    let limits = Budget {
        memory: GIB,
        fds: 4096,
    }
    .limits();
    let machine = Machine {
        memory: GIB,
        fds: 1024,
    };
    assert_eq!(
        lines(&limits, Some(&machine)),
        [
            "System.FD: 4096 is more than the 1024 that this process can have",
            "AllowlistedSystem.FD: 4096 is more than the 1024 that this process can have",
        ]
    );
}

#[test]
fn connections_of_a_service_without_a_share_for_peers_are_reported() {
    let mut limits = ScalingLimits::default().scale(GIB, 4096);
    let mut service = limits.service_default.unwrap();
    service.conns = LimitValue::Limited(64);
    service.conns_inbound = service.conns;
    limits.service.insert("uploads".into(), service);
    let line = "Service.uploads.Conns: 64 cannot be used: ServicePeerDefault allows none";
    assert_eq!(lines(&limits, None), [line]);
    let mut share = limits.service_peer_default;
    share.conns = LimitValue::Limited(8);
    share.conns_inbound = share.conns;
    limits.service_peer.insert("uploads".into(), share);
    assert_eq!(lines(&limits, None), [""; 0]);
}

#[test]
fn a_total_without_a_direction_can_never_be_used() {
    let mut limits = ScalingLimits::server().scale(GIB, 4096);
    let mut service = limits.service_default.unwrap();
    service.conns_inbound = LimitValue::BLOCK_ALL;
    limits.service.insert("uploads".into(), service);
    assert_eq!(lines(&limits, None), [""; 0]);
    service.conns_outbound = LimitValue::BLOCK_ALL;
    service.conns = LimitValue::Limited(64);
    limits.service.insert("uploads".into(), service);
    let line = "Service.uploads.Conns: 64 cannot be used: the limits of both directions are 0";
    assert_eq!(lines(&limits, None), [line]);
}

#[test]
fn a_named_share_of_zero_is_reported_for_a_service_equal_to_the_default() {
    let mut limits = ScalingLimits::server().scale(GIB, 4096);
    let service = limits.service_default.unwrap();
    limits.service.insert("uploads".into(), service);
    let mut share = limits.service_peer_default;
    share.conns = LimitValue::BLOCK_ALL;
    limits.service_peer.insert("uploads".into(), share);
    let line = "Service.uploads.Conns: 3456 cannot be used: ServicePeer.uploads allows none";
    assert_eq!(lines(&limits, None), [line]);
}
