//! The presets of scaling limits: go-libp2p's table, and a table for plain servers.

use rcmgr_core::address::{AddressConfig, AddressLimits, SubnetLimit, SubnetLimits};
use rcmgr_core::{GIB, KIB, Limit, LimitValue, MIB};

use crate::{LimitIncrease, PerScope, ScalingLimit, ScalingLimits};

/// The limits of inbound, of outbound, and of both together.
type InOutTotal = [u64; 3];

const NONE: InOutTotal = [0; 3];

/// The connections of one peer in the table for servers.
const PEER_CONNS: u64 = 16;

fn base(conns: InOutTotal, streams: InOutTotal, memory: u64, fd: u64) -> Limit {
    let [conns_inbound, conns_outbound, conns] = conns.map(LimitValue::from);
    let [streams_inbound, streams_outbound, streams] = streams.map(LimitValue::from);
    Limit {
        memory: memory.into(),
        fd: fd.into(),
        streams,
        streams_inbound,
        streams_outbound,
        conns,
        conns_inbound,
        conns_outbound,
    }
}

fn per_gib(
    [conns_inbound, conns_outbound, conns]: InOutTotal,
    [streams_inbound, streams_outbound, streams]: InOutTotal,
    memory: u64,
    fd_fraction: f64,
) -> LimitIncrease {
    LimitIncrease {
        memory,
        fd_fraction,
        streams,
        streams_inbound,
        streams_outbound,
        conns,
        conns_inbound,
        conns_outbound,
    }
}

const fn scaling(base: Limit, increase: LimitIncrease) -> ScalingLimit {
    ScalingLimit { base, increase }
}

impl Default for ScalingLimits {
    /// The default table of go-libp2p. Each cell has the base, and after the plus sign the increase
    /// per GiB of memory.
    ///
    /// | scope | conns in / out / total | streams in / out / total | memory | fd |
    /// | --- | --- | --- | --- | --- |
    /// | system, allowlisted system | 64 / 128 / 128, + the same | 1024 / 2048 / 2048, + the same | 128 MiB, + 1 GiB | 256, or all |
    /// | transient, allowlisted transient | 32 / 64 / 64, + 16 / 32 / 32 | 128 / 256 / 256, + the same | 32 MiB, + 128 MiB | 64, or 1/4 |
    /// | service | none | 1024 / 4096 / 4096, + 512 / 2048 / 2048 | 64 MiB, + 128 MiB | none |
    /// | service, per peer | none | 128 / 256 / 256, + 4 / 8 / 8 | 16 MiB, + 4 MiB | none |
    /// | protocol | none | 512 / 2048 / 2048, + 256 / 512 / 512 | 64 MiB, + 164 MiB | none |
    /// | protocol, per peer | none | 64 / 128 / 256, + 4 / 8 / 16 | 16 MiB, + 4 bytes | none |
    /// | peer | 8 / 8 / 8 | 256 / 512 / 512, + 128 / 256 / 256 | 64 MiB, + 128 MiB | 4, or 1/64 |
    /// | conn | 1 / 1 / 1 | none | 32 MiB | 1 |
    /// | stream | none | 1 / 1 / 1 | 16 MiB | none |
    ///
    /// There are no limits by address. go-libp2p has some in its connection limiter:
    /// [`AddressConfig::reference_defaults`](rcmgr_core::AddressConfig::reference_defaults), in a
    /// file `ReferenceDefaults`.
    fn default() -> Self {
        let system = scaling(
            base([64, 128, 128], [1024, 2048, 2048], 128 * MIB, 256),
            per_gib([64, 128, 128], [1024, 2048, 2048], GIB, 1.0),
        );
        let transient = scaling(
            base([32, 64, 64], [128, 256, 256], 32 * MIB, 64),
            per_gib([16, 32, 32], [128, 256, 256], 128 * MIB, 0.25),
        );
        let scopes = PerScope {
            system,
            transient,
            allowlisted_system: system,
            allowlisted_transient: transient,
            service_default: scaling(
                base(NONE, [1024, 4096, 4096], 64 * MIB, 0),
                per_gib(NONE, [512, 2048, 2048], 128 * MIB, 0.0),
            ),
            service: Default::default(),
            service_peer_default: scaling(
                base(NONE, [128, 256, 256], 16 * MIB, 0),
                per_gib(NONE, [4, 8, 8], 4 * MIB, 0.0),
            ),
            service_peer: Default::default(),
            protocol_default: scaling(
                base(NONE, [512, 2048, 2048], 64 * MIB, 0),
                per_gib(NONE, [256, 512, 512], 164 * MIB, 0.0),
            ),
            protocol: Default::default(),
            protocol_peer_default: scaling(
                base(NONE, [64, 128, 256], 16 * MIB, 0),
                // go-libp2p has 4 bytes here, although 4 MiB may have been meant.
                per_gib(NONE, [4, 8, 16], 4, 0.0),
            ),
            protocol_peer: Default::default(),
            peer_default: scaling(
                base([8, 8, 8], [256, 512, 512], 64 * MIB, 4),
                per_gib(NONE, [128, 256, 256], 128 * MIB, 1.0 / 64.0),
            ),
            peer: Default::default(),
            conn: base([1, 1, 1], NONE, 32 * MIB, 1).into(),
            stream: base(NONE, [1, 1, 1], 16 * MIB, 0).into(),
        };
        Self {
            scopes,
            addresses: AddressLimits::default(),
        }
    }
}

impl ScalingLimits {
    /// A table for a plain server, which accepts connections and attaches them to its services.
    ///
    /// In go-libp2p's table ([`default`](Self::default)) a service has no connections, because only
    /// streams belong to services there. In this table a service has connections and file
    /// descriptors. The numbers are rcmgr's own:
    ///
    /// | scope | conns in / out / total | streams in / out / total | memory | fd |
    /// | --- | --- | --- | --- | --- |
    /// | system, allowlisted system | 512 / 128 / 512, + 4096 / 1024 / 4096 | 2048 each, + 16384 each | 128 MiB, + 1 GiB | 256, or all |
    /// | transient, allowlisted transient | 128 / 32 / 128, + 1024 / 256 / 1024 | 512 each, + 4096 each | 32 MiB, + 128 MiB | 64, or 1/4 |
    /// | service, protocol | 384 / 96 / 384, + 3072 / 768 / 3072 | 1536 each, + 12288 each | 96 MiB, + 768 MiB | 192, or 3/4 |
    /// | peer, and service and protocol per peer | 16 / 16 / 16 | 128 each, + 64 each | 32 MiB, + 32 MiB | 16, or 1/64 |
    /// | conn | 1 / 1 / 1 | none | 8 MiB | 1 |
    /// | stream | none | 1 / 1 / 1 | 4 MiB | none |
    ///
    /// Limits by address, on every machine: 16 connections from an IPv4 address and from an IPv6 /56,
    /// and 128 from an IPv6 /48. There is no limit on the rate of new connections. Loopback is
    /// trusted.
    ///
    /// Each connection is assumed to need 256 KiB, so 4096 fit into a GiB, and to have four
    /// streams, as with HTTP/2 or QUIC. A server dials less than it accepts, so a quarter of the
    /// connections may be outbound. A quarter may be in the handshake. A service may have three
    /// quarters, so that a busy service leaves room for others. A peer is one client or the address
    /// of a few; a browser opens six connections. A connection's buffers, 8 MiB, are a quarter of
    /// its peer's memory, and a stream's half of a connection's.
    ///
    /// An address may have as many connections as one peer, so that one client cannot use up the
    /// transient scope before it is identified. A household or a server usually has one IPv6 /56,
    /// and so counts like an IPv4 address. A /48 holds 256 of them, and costs an attacker little: it
    /// may have as many connections as eight. Clients behind one address translator share its 16:
    /// raise the number, or trust the network, where that is not enough.
    ///
    /// ```
    /// use rcmgr_config::{Budget, ScalingLimits};
    /// use rcmgr_core::{GIB, LimitValue};
    ///
    /// let limits = Budget { memory: GIB, fds: 4096 }.limits_of(&ScalingLimits::server());
    /// let service = limits.service_default.expect("services have a default");
    /// assert_eq!(service.fd, LimitValue::Limited(3072));
    /// assert_eq!(service.conns_inbound, LimitValue::Limited(384 + 3072));
    /// ```
    #[must_use]
    pub fn server() -> Self {
        const CONN: u64 = 256 * KIB;
        const CONNS: u64 = GIB / CONN;
        const STREAMS: u64 = 4 * CONNS;
        let conns = |conns: u64| [conns, conns / 4, conns];

        let system = scaling(
            base(conns(512), [2048; 3], 128 * MIB, 256),
            per_gib(conns(CONNS), [STREAMS; 3], GIB, 1.0),
        );
        let transient = scaling(
            base(conns(128), [512; 3], 32 * MIB, 64),
            per_gib(conns(CONNS / 4), [STREAMS / 4; 3], 128 * MIB, 0.25),
        );
        let service = scaling(
            base(conns(384), [1536; 3], 96 * MIB, 192),
            per_gib(conns(CONNS / 4 * 3), [STREAMS / 4 * 3; 3], 768 * MIB, 0.75),
        );
        let peer = scaling(
            base([PEER_CONNS; 3], [128; 3], 32 * MIB, 16),
            per_gib(NONE, [64; 3], 32 * MIB, 1.0 / 64.0),
        );
        let scopes = PerScope {
            system,
            transient,
            allowlisted_system: system,
            allowlisted_transient: transient,
            service_default: service,
            service: Default::default(),
            service_peer_default: peer,
            service_peer: Default::default(),
            protocol_default: service,
            protocol: Default::default(),
            protocol_peer_default: peer,
            protocol_peer: Default::default(),
            peer_default: peer,
            peer: Default::default(),
            conn: base([1, 1, 1], NONE, 8 * MIB, 1).into(),
            stream: base(NONE, [1, 1, 1], 4 * MIB, 0).into(),
        };
        Self {
            scopes,
            addresses: server_addresses(),
        }
    }
}

/// The limits by address of [`ScalingLimits::server`].
fn server_addresses() -> AddressLimits {
    let size = |prefix_len, conns| SubnetLimit { prefix_len, conns };
    let subnets = SubnetLimits {
        v4: vec![size(32, PEER_CONNS)],
        v6: vec![size(56, PEER_CONNS), size(48, 8 * PEER_CONNS)],
        ..SubnetLimits::none()
    };
    let config = AddressConfig {
        subnets,
        ..AddressConfig::none()
    };
    AddressLimits::new(config).expect("the sizes are different and valid")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Budget;

    #[test]
    fn only_the_table_for_servers_limits_connections_by_address() {
        let budget = Budget {
            memory: GIB,
            fds: 4096,
        };
        let server = budget.limits_of(&ScalingLimits::server());
        let sizes = |subnets: &[SubnetLimit]| -> Vec<_> {
            let sizes = subnets.iter();
            sizes.map(|size| (size.prefix_len, size.conns)).collect()
        };
        assert_eq!(sizes(&server.addresses.subnets.v4), [(32, 16)]);
        assert_eq!(sizes(&server.addresses.subnets.v6), [(56, 16), (48, 128)]);
        let per_address = LimitValue::of(server.addresses.subnets.v4[0].conns);
        assert_eq!(server.peer_default.conns, per_address);
        assert_eq!(server.addresses.rates, AddressConfig::none().rates);
        assert_eq!(server.addresses.trusted, AddressConfig::none().trusted);
        for limits in [budget.limits(), ScalingLimits::default().scale(GIB, 4096)] {
            assert!(limits.addresses.limit_nothing());
        }
    }
}
