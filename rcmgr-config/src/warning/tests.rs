//! Tests the warnings of the presets and of contradictory limits.

use super::*;
use rcmgr_core::{AddressConfig, AddressLimits, GIB, Limit, LimitValue, MIB};

use crate::{Budget, LimitsExt, PartialLimits, ScalingLimits};

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
            "ServiceDefault.Streams: no streams are allowed, so none can be opened",
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
    let expected = [
        "Service.uploads.Conns: 64 cannot be used: ServicePeerDefault allows none",
        "Service.uploads.FD: no file descriptors are allowed, so no TCP connection can be opened",
    ];
    assert_eq!(lines(&limits, None), expected);
    limits.service.get_mut("uploads").unwrap().fd = LimitValue::Limited(64);
    let mut share = limits.service_peer_default;
    share.conns = LimitValue::Limited(8);
    share.conns_inbound = share.conns;
    share.fd = share.conns;
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

/// The warnings of a file over defaults.
fn of_file(text: &str, defaults: &Limits) -> Vec<String> {
    let file = PartialLimits::from_toml(text).expect(text);
    let warnings = file.build(defaults).warnings_over(defaults, None);
    warnings.iter().map(ToString::to_string).collect()
}

fn server() -> Limits {
    let budget = Budget {
        memory: GIB,
        fds: 4096,
    };
    budget.limits_of(&ScalingLimits::server())
}

fn go() -> Limits {
    let budget = Budget {
        memory: GIB,
        fds: 4096,
    };
    budget.limits()
}

#[test]
fn descriptors_far_below_the_connections_of_the_same_scope_are_reported() {
    let line = |key: &str, fds: u64, conns: u64| {
        format!(
            "{key}.FD: {fds} file descriptors stop TCP connections far below the {conns} that \
             Conns allows"
        )
    };
    let cases = [
        ("[Transient]\nFD = 229", line("Transient", 229, 1152)),
        (
            "[PeerDefault]\nFD = 2\nConns = 16",
            line("PeerDefault", 2, 16),
        ),
        (
            "[Service.uploads]\nFD = 5",
            line("Service.uploads", 5, 3456),
        ),
        (
            "[AllowlistedSystem]\nFD = 500",
            line("AllowlistedSystem", 500, 4608),
        ),
    ];
    for (text, expected) in cases {
        let found = of_file(text, &server());
        assert!(found.contains(&expected), "{text}: {found:?}");
    }
    // Without the defaults too, and also where they have as few descriptors as the file.
    let mut limits = server();
    limits.system.fd = LimitValue::Limited(64);
    assert!(lines(&limits, None).contains(&line("System", 64, 4608)));
    let few = Budget {
        memory: GIB,
        fds: 100,
    };
    let found = of_file(
        "[System]\nConns = 4608\nConnsInbound = 4500",
        &few.limits_of(&ScalingLimits::server()),
    );
    assert_eq!(found, [line("System", 100, 4500)]);
    // A fifth is not far below, and a scope without connections needs none.
    assert_eq!(of_file("[Transient]\nFD = 231", &server()), [""; 0]);
    assert_eq!(
        of_file("[Service.a]\nFD = 1", &go()),
        ["Service.a.FD: 1 cannot be used: ServicePeerDefault allows none",]
    );
}

#[test]
fn a_zero_that_blocks_a_whole_class_is_reported() {
    let conns = "no connections are allowed, so none can be opened";
    let fds = "no file descriptors are allowed, so no TCP connection can be opened";
    let streams = "no streams are allowed, so none can be opened";
    let memory = "no memory is allowed, so none can be reserved";
    let cases = [
        ("System.FD", fds),
        ("System.Streams", streams),
        ("Transient.FD", fds),
        ("Transient.Streams", streams),
        ("Transient.Memory", memory),
        ("AllowlistedSystem.FD", fds),
        ("AllowlistedTransient.Streams", streams),
        ("PeerDefault.Conns", conns),
        ("PeerDefault.FD", fds),
        ("PeerDefault.Streams", streams),
        ("ServiceDefault.Conns", conns),
        ("ServiceDefault.FD", fds),
        ("ServiceDefault.Streams", streams),
        ("ServicePeerDefault.Streams", streams),
        ("ProtocolDefault.Streams", streams),
        ("ProtocolPeerDefault.Streams", streams),
        ("Service.uploads.FD", fds),
        ("Peer.tenant-7.FD", fds),
        ("Conn.FD", fds),
        ("Conn.Conns", conns),
        ("Stream.Streams", streams),
        ("Stream.Memory", memory),
    ];
    for (field, reason) in cases {
        for value in ["0", "'blockAll'"] {
            let found = of_file(&format!("{field} = {value}"), &server());
            assert!(
                found.contains(&format!("{field}: {reason}")),
                "{field}: {found:?}"
            );
        }
    }
    // One name that is blocked, and what go-libp2p's table has not.
    for text in [
        "Peer.tenant-7.Conns = 'blockAll'",
        "Service.debug.Conns = 0",
        "Protocol.\"/old\".Streams = 0",
        "AllowlistedTransient.Conns = 0",
    ] {
        assert_eq!(of_file(text, &server()), [""; 0], "{text}");
    }
    for text in [
        "ServiceDefault.Conns = 0",
        "ServiceDefault.FD = 0",
        "Conn.Streams = 0",
    ] {
        assert_eq!(of_file(text, &go()), [""; 0], "{text}");
    }
}

#[test]
fn limits_by_address_that_refuse_first_are_reported() {
    let cases = [
        (
            "Addresses.Subnets.\"IPv4/32\" = 5000",
            "Addresses.Subnets.\"IPv4/32\": 5000 cannot be reached: System allows 4608",
        ),
        (
            "Addresses.Networks.\"198.51.100.0/24\" = 5000",
            "Addresses.Networks.\"198.51.100.0/24\": 5000 cannot be reached: System allows 4608",
        ),
        (
            "Addresses.Subnets.\"IPv4/32\" = 4",
            "PeerDefault.Conns: 16 cannot be reached from one address: \
             Addresses.Subnets.\"IPv4/32\" allows 4",
        ),
        (
            "PeerDefault = { Conns = 64, ConnsInbound = 64 }",
            "PeerDefault.Conns: 64 cannot be reached from one address: \
             Addresses.Subnets.\"IPv4/32\" allows 16",
        ),
        (
            "Peer.\"192.0.2.7\" = { Conns = 64, ConnsInbound = 64 }",
            "Peer.192.0.2.7.Conns: 64 cannot be reached from one address: \
             Addresses.Subnets.\"IPv4/32\" allows 16",
        ),
        (
            "Addresses.Subnets = { \"IPv4/32\" = 20, \"IPv4/24\" = 18 }",
            "Addresses.Subnets.\"IPv4/32\": 20 cannot be reached from one address: \
             Addresses.Subnets.\"IPv4/24\" allows 18",
        ),
        (
            "Addresses.Subnets.\"IPv6/56\" = 0",
            "Addresses.Subnets.\"IPv6/56\": no connections are allowed, so none can be opened",
        ),
        (
            "Addresses.Rates.\"IPv4/32\" = { PerSecond = 3, Burst = 4 }",
            "Addresses.Rates.\"IPv4/32\": lets 4 connections in at once, fewer than the 16 that \
             Addresses.Subnets.\"IPv4/32\" allows",
        ),
        (
            "Addresses.Rates.\"IPv4/24\" = { PerSecond = 3, Burst = 4 }",
            "Addresses.Rates.\"IPv4/24\": lets 4 connections in at once, fewer than the 16 that \
             PeerDefault.Conns allows",
        ),
        (
            "Addresses.Rates.\"IPv4/32\" = { PerSecond = 0, Burst = 40 }",
            "Addresses.Rates.\"IPv4/32\": lets 40 connections in, and then none for as long as the \
             process runs",
        ),
        (
            "Addresses.Rates.Global = 0",
            "Addresses.Rates.Global: no connections are allowed, so none can be opened",
        ),
        (
            "Addresses.Networks.\"127.0.0.1\" = 5",
            "Addresses.Networks.\"127.0.0.1/32\": has no effect: all its addresses are in \
             Addresses.Trusted",
        ),
        (
            "Addresses.Allowlist = [\"/ip4/192.0.2.7\"]\nAllowlistedTransient.Conns = 0",
            "Addresses.Allowlist: has no effect: AllowlistedTransient.Conns lets no connection in",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(of_file(text, &server()), [expected], "{text}");
    }
    // What an address may have is enough here.
    for text in [
        "Addresses.Trusted = ['192.0.2.0/24']\nPeer.'192.0.2.7'.Conns = 64",
        "Addresses.Networks.'192.0.2.0/24' = 100\nPeer.'192.0.2.7'.Conns = 64",
        "Peer.tenant-7 = { Conns = 64, ConnsInbound = 64 }",
        "Addresses.Rates.'IPv4/32' = { PerSecond = 3, Burst = 40 }",
        "Addresses.Networks.'192.0.2.0/24' = 'blockAll'",
    ] {
        let found = of_file(text, &server());
        assert!(
            !found.iter().any(|line| line.contains("address")),
            "{text}: {found:?}"
        );
    }
}

#[test]
fn the_references_limits_by_address_cause_no_warnings_over_its_table() {
    let mut limits = go();
    let reference = AddressConfig::reference_defaults();
    limits.addresses = AddressLimits::new(reference).unwrap();
    assert_eq!(lines(&limits, None), [""; 0]);
    assert!(server().addresses.rates == AddressConfig::none().rates);
    assert!(go().addresses.limit_nothing());
}

#[test]
fn streams_and_memory_that_are_too_few_for_the_connections_are_reported() {
    let cases = [
        (
            "System = { StreamsInbound = 100 }",
            "System.StreamsInbound: 100 streams are fewer than the 4608 connections that are \
             allowed, and each needs one",
        ),
        (
            "System.Memory = '1 MiB'",
            "System.Memory: 1 MiB are less than 1 KiB for each of the 4608 connections that are \
             allowed",
        ),
        (
            "PeerDefault.Memory = '2 MiB'",
            "Conn.Memory: 7456540 B cannot be reached: PeerDefault allows 2 MiB",
        ),
    ];
    for (text, expected) in cases {
        let found = of_file(text, &server());
        assert!(found.contains(&expected.to_owned()), "{text}: {found:?}");
    }
}

#[test]
fn a_dry_run_of_the_enforced_limits_is_reported() {
    let line = "DryRun: the limits are the same as the enforced ones, so it shows nothing";
    assert_eq!(of_file("[DryRun]", &server()), [line]);
    assert_eq!(of_file("[DryRun.System]\nConns = 4608", &server()), [line]);
    assert_eq!(of_file("[DryRun.System]\nConns = 4600", &server()), [""; 0]);
}
