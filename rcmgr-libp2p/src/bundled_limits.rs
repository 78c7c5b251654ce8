//! Limits for the behaviours that come with libp2p: those of go-libp2p for its own services.

use rcmgr_config::{LimitIncrease, ScalingLimit, ScalingLimits};
use rcmgr_core::{KIB, Limit, MIB};

use crate::services::{
    AUTONAT, AUTONAT_PROTOCOL, HOLEPUNCH, HOLEPUNCH_PROTOCOL, IDENTIFY, IDENTIFY_PROTOCOLS, PING,
    PING_PROTOCOL, RELAY, RELAY_PROTOCOLS,
};

/// Streams: inbound, outbound, and both together.
type InOutTotal = [u64; 3];

/// Adds limits for the services and protocols of identify, ping, AutoNAT, DCUtR and relay. They take
/// the place of limits that these names have.
///
/// The numbers are those of go-libp2p: `SetDefaultServiceLimits` in its `limits.go`, at commit
/// 0d90292. The first number of a cell is the base, the number after the plus sign is the increase per
/// GiB of memory. Streams are inbound / outbound / total.
///
/// | scope | streams | memory |
/// | --- | --- | --- |
/// | `libp2p.identify`; each of its protocols | 64 / 64 / 128, + the same | 4 MiB, + 4 MiB |
/// | of one peer: `libp2p.identify` | 16 / 16 / 32 | 1 MiB |
/// | of one peer: each of its protocols | 16 / 16 / 32 | 32 times 256 MiB + 16 KiB |
/// | `libp2p.ping` and its protocol | 64 / 64 / 64, + the same | 4 MiB, + 4 MiB |
/// | of one peer: both | 2 / 3 / 4 | 32 times 256 MiB + 16 KiB |
/// | `libp2p.autonat` and its protocol | 64 / 64 / 64, + 4 / 4 / 4 | 4 MiB, + 2 MiB |
/// | of one peer: both | 2 / 2 / 2 | 1 MiB |
/// | `libp2p.holepunch` and its protocol | 32 / 32 / 64, + 8 / 8 / 16 | 4 MiB, + 4 MiB |
/// | of one peer: both | 2 / 2 / 2 | 1 MiB |
/// | `libp2p.relay/v2` | 256 / 256 / 256, + the same | 16 MiB, + 16 MiB |
/// | of one peer: `libp2p.relay/v2` | 64 / 64 / 64 | 1 MiB |
/// | each of its protocols | 640 / 640 / 640, + the same | 16 MiB, + 16 MiB |
/// | of one peer: each of its protocols | 128 / 128 / 128 | 32 MiB |
///
/// Some numbers of go-libp2p for the memory of one peer are over the limit of its protocol or service.
/// They have no effect, and [`warnings`](rcmgr_config::LimitsExt::warnings) lists them.
///
/// Other behaviours, such as Kademlia and gossipsub, have the limits for protocols and services
/// without an entry, as in go-libp2p. In go-libp2p only the streams of a relay count for the service
/// `libp2p.relay/v2`; here the streams of its clients count, too.
///
/// ```
/// use rcmgr_config::ScalingLimits;
/// use rcmgr_core::{GIB, LimitValue};
///
/// let mut scaling = ScalingLimits::default();
/// rcmgr_libp2p::bundled_limits(&mut scaling);
/// let limits = scaling.scale(GIB, 4096);
/// assert_eq!(limits.service["libp2p.ping"].streams, LimitValue::Limited(128));
/// ```
pub fn bundled_limits(scaling: &mut ScalingLimits) {
    // 256 KiB and 16 KiB may have been meant: the window of a stream, and a message.
    let windows = 32 * (256 * MIB + 16 * KIB);

    let limit = growing([64, 64, 128], 4 * MIB, [64, 64, 128], 4 * MIB);
    service(scaling, IDENTIFY, limit, fixed([16, 16, 32], MIB));
    for name in IDENTIFY_PROTOCOLS {
        protocol(scaling, name, limit, fixed([16, 16, 32], windows));
    }

    let limit = growing([64; 3], 4 * MIB, [64; 3], 4 * MIB);
    let of_peer = fixed([2, 3, 4], windows);
    service(scaling, PING, limit, of_peer);
    protocol(scaling, PING_PROTOCOL, limit, of_peer);

    let of_peer = fixed([2; 3], MIB);
    let limit = growing([64; 3], 4 * MIB, [4; 3], 2 * MIB);
    service(scaling, AUTONAT, limit, of_peer);
    protocol(scaling, AUTONAT_PROTOCOL, limit, of_peer);
    let limit = growing([32, 32, 64], 4 * MIB, [8, 8, 16], 4 * MIB);
    service(scaling, HOLEPUNCH, limit, of_peer);
    protocol(scaling, HOLEPUNCH_PROTOCOL, limit, of_peer);

    let limit = growing([256; 3], 16 * MIB, [256; 3], 16 * MIB);
    service(scaling, RELAY, limit, fixed([64; 3], MIB));
    let limit = growing([640; 3], 16 * MIB, [640; 3], 16 * MIB);
    for name in RELAY_PROTOCOLS {
        protocol(scaling, name, limit, fixed([128; 3], 32 * MIB));
    }
}

fn service(scaling: &mut ScalingLimits, name: &str, limit: ScalingLimit, of_peer: ScalingLimit) {
    scaling.service.insert(name.to_owned(), limit);
    scaling.service_peer.insert(name.to_owned(), of_peer);
}

fn protocol(scaling: &mut ScalingLimits, name: &str, limit: ScalingLimit, of_peer: ScalingLimit) {
    scaling.protocol.insert(name.to_owned(), limit);
    scaling.protocol_peer.insert(name.to_owned(), of_peer);
}

/// The same limit on every machine.
fn fixed([inbound, outbound, total]: InOutTotal, memory: u64) -> ScalingLimit {
    // Connections belong to no service.
    ScalingLimit::from(Limit {
        memory: memory.into(),
        streams: total.into(),
        streams_inbound: inbound.into(),
        streams_outbound: outbound.into(),
        ..Limit::BLOCK_ALL
    })
}

fn growing(
    streams: InOutTotal,
    memory: u64,
    [inbound, outbound, total]: InOutTotal,
    memory_per_gib: u64,
) -> ScalingLimit {
    let increase = LimitIncrease {
        memory: memory_per_gib,
        streams: total,
        streams_inbound: inbound,
        streams_outbound: outbound,
        ..LimitIncrease::NONE
    };
    ScalingLimit {
        increase,
        ..fixed(streams, memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcmgr_config::{LimitsExt, Setting};
    use rcmgr_core::{GIB, LimitsKey, Resource};

    #[test]
    fn only_the_memory_of_a_peer_is_more_than_the_scope_above_allows() {
        let mut scaling = ScalingLimits::default();
        bundled_limits(&mut scaling);
        for gib in [0, 1, 16] {
            let warnings = scaling.scale(gib * GIB, 4096).warnings(None);
            assert!(!warnings.is_empty());
            for warning in warnings {
                let Setting::Field(field) = &warning.setting else {
                    panic!("{warning}");
                };
                let of_peer = matches!(
                    field.key,
                    LimitsKey::ServicePeer(_) | LimitsKey::ProtocolPeer(_)
                );
                assert!(of_peer && field.resource == Resource::Memory, "{warning}");
            }
        }
    }
}
