//! Suggests limits for a trace.

use rcmgr_config::PartialLimits;
use rcmgr_core::{LimitValue, LimitsKey, MIB, Resource};

use super::addresses;
use super::report::Report;
use super::tally::Peak;

/// The default factor between need and suggested limit.
///
/// A trace of a few hours rarely contains the highest load, and a peak that is 50 % higher is still
/// normal load. A higher factor would weaken the protection: a client that takes three times the
/// highest need so far should be limited.
pub const HEADROOM: f64 = 1.5;

/// The entry of a limits file for each class.
const ENTRIES: [(&str, LimitsKey); 11] = [
    ("system", LimitsKey::System),
    ("transient", LimitsKey::Transient),
    ("allowlistedSystem", LimitsKey::AllowlistedSystem),
    ("allowlistedTransient", LimitsKey::AllowlistedTransient),
    ("service", LimitsKey::ServiceDefault),
    ("service-peer", LimitsKey::ServicePeerDefault),
    ("protocol", LimitsKey::ProtocolDefault),
    ("protocol-peer", LimitsKey::ProtocolPeerDefault),
    ("peer", LimitsKey::PeerDefault),
    ("conn", LimitsKey::Conn),
    ("stream", LimitsKey::Stream),
];

/// Limits that would have granted everything in the trace, with headroom.
///
/// A class gets the highest need of any of its scopes: see [`Needs`](super::needs::Needs). For memory it is the limit at which the priority of the request is
/// sufficient, which is more than the memory itself. The need, times the headroom, is rounded up to
/// a number that is easy to read. Resources that were never used are left to the defaults. So are
/// entries of single names, because the default of a class applies to each of its scopes.
///
/// System gets at least as much as any scope below it. A direction that was never used gets as much
/// as both together. Connections and streams get exactly the counts that were seen, since a
/// connection is one connection.
///
/// Where peers' ids are IP addresses, each subnet may have as many connections as any has had.
///
/// Each refused request counts on its own. A trace does not show how many of them would have
/// overlapped, because their duration is unknown.
pub fn suggest(report: &Report, headroom: f64) -> PartialLimits {
    let mut limits = PartialLimits::default();
    for (class, key) in ENTRIES {
        let needed = needed(report, class);
        let is_leaf = matches!(key, LimitsKey::Conn | LimitsKey::Stream);
        let entry = limits.entry(key);
        for resource in Resource::ALL {
            let limit = match (needed.get(resource), resource) {
                (0, _) => continue,
                (bytes, Resource::Memory) => readable_size(with(bytes, headroom)),
                (count, _) if is_leaf => count,
                (count, _) => readable_count(with(count, headroom)),
            };
            *entry.get_mut(resource) = Some(LimitValue::of(limit));
        }
        entry.streams_inbound = entry.streams_inbound.or(entry.streams);
        entry.streams_outbound = entry.streams_outbound.or(entry.streams);
        entry.conns_inbound = entry.conns_inbound.or(entry.conns);
        entry.conns_outbound = entry.conns_outbound.or(entry.conns);
    }
    let limit = |conns| readable_count(with(conns, headroom));
    limits.addresses = addresses::limits(&report.subnets, limit);
    limits
}

fn needed(report: &Report, class: &str) -> Peak {
    let is_below = |other: &str| match class {
        "system" => !other.starts_with("allowlisted"),
        "allowlistedSystem" => other == "allowlistedTransient",
        _ => false,
    };
    let mut needed = Peak::default();
    for other in &report.classes {
        if other.class == class || is_below(other.class) {
            needed.raise(&other.needed);
        }
    }
    needed
}

fn with(needed: u64, headroom: f64) -> u64 {
    // A cast from a float saturates. The rounding of floats must not reduce the need.
    ((needed as f64 * headroom).ceil() as u64).max(needed)
}

/// Rounds up to two significant digits: 23, 230, 2300.
fn readable_count(count: u64) -> u64 {
    let digits = count.checked_ilog10().unwrap_or(0);
    round_up(count, 10_u64.pow(digits.saturating_sub(1)))
}

/// Rounds up by at most an eighth to a whole number of a larger unit; from 8 MiB on, to whole MiB
/// at least.
fn readable_size(bytes: u64) -> u64 {
    let eighth = 1 << bytes.checked_ilog2().unwrap_or(0).saturating_sub(3);
    round_up(
        bytes,
        if bytes >= 8 * MIB {
            eighth.max(MIB)
        } else {
            eighth
        },
    )
}

fn round_up(number: u64, step: u64) -> u64 {
    number.checked_next_multiple_of(step).unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcmgr_core::KIB;

    #[test]
    fn numbers_are_rounded_up_to_readable_ones() {
        for (count, rounded) in [
            (1, 1),
            (23, 23),
            (101, 110),
            (1290, 1300),
            (99_001, 100_000),
        ] {
            assert_eq!(readable_count(count), rounded);
        }
        for (bytes, rounded) in [
            (1, 1),
            (1000, 1024),
            (900_000, 896 * KIB),
            (9 * MIB + 1, 10 * MIB),
            (1025 * MIB, 1152 * MIB),
        ] {
            assert_eq!(readable_size(bytes), rounded);
        }
        assert!(readable_size(u64::MAX) == u64::MAX && readable_count(u64::MAX) == u64::MAX);
        assert_eq!(with(10, 0.5), 10);
        assert_eq!(with(10, 1.5), 15);
    }
}
