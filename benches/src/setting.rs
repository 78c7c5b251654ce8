//! The inputs of a manager: limits, names, addresses and a clock.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_atomic::SystemClock;
use rcmgr_core::{AddressConfig, AddressLimits, Clock, Endpoint, Limit, Limits, MIB, PeerId};

use crate::case::{Case, Workload};

/// The protocol of all streams.
pub const PROTOCOL: &str = "/ipfs/kad/1.0.0";

/// The service of all streams.
pub const SERVICE: &str = "dht";

/// The system's memory limit in the workload that runs close to it, in bytes.
pub const TIGHT_LIMIT: u64 = 1024 * MIB;

/// The memory that another peer holds in this workload: all except 0.5 %, in bytes.
pub const TIGHT_HELD: u64 = TIGHT_LIMIT - TIGHT_LIMIT / 200;

/// A limit that is checked, but never reached.
pub const PLENTY: u64 = 1 << 40;

/// The configuration of a manager.
#[derive(Debug, Clone)]
pub struct Setting {
    /// All limits are finite, so that every check is made. Except for a tight one, none is ever
    /// reached.
    pub limits: Limits,
    /// The clock of the address limiters.
    pub clock: Arc<SteppedClock>,
}

impl Setting {
    /// The configuration for a case.
    pub fn of(case: &Case) -> Self {
        let mut limits = plenty();
        if case.workload == Workload::MemoryNearLimit {
            limits.system.memory = TIGHT_LIMIT.into();
        }
        Self {
            limits,
            clock: Arc::default(),
        }
    }
}

/// Limits that are checked, but never reached. Limits by address are go-libp2p's.
pub fn plenty() -> Limits {
    let plenty = Limit::all(PLENTY.into());
    Limits {
        system: plenty,
        transient: plenty,
        allowlisted_system: plenty,
        allowlisted_transient: plenty,
        service_default: Some(plenty),
        service_peer_default: plenty,
        protocol_default: plenty,
        protocol_peer_default: plenty,
        peer_default: plenty,
        conn: plenty,
        stream: plenty,
        addresses: AddressLimits::new(AddressConfig::reference_defaults())
            .expect("the defaults are valid"),
        ..Limits::unlimited()
    }
}

/// A peer id in the format of libp2p: an Ed25519 key, derived from a number.
pub fn peer(number: u64) -> PeerId {
    // The header of the identity multihash of a key message: Ed25519, 32 bytes.
    const HEAD: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&HEAD);
    for (at, part) in bytes[6..].chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&scrambled(number * 4 + at as u64).to_le_bytes());
    }
    PeerId::from_bytes(&bytes).expect("it is short enough")
}

/// Mixes the bits of a number, because real keys share no prefix.
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits ^ (bits >> 32)
}

/// The addresses that a thread's connections come from, in turn. No two threads share an address.
pub fn addresses(thread: usize) -> Vec<Endpoint> {
    let first = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (thread * ADDRESSES) as u32;
    let address = |at| Endpoint::Ip(Ipv4Addr::from(first + at).into());
    (0..ADDRESSES as u32).map(address).collect()
}

/// The number of addresses of each thread.
pub const ADDRESSES: usize = 4096;

/// The time that the clock advances with each connection. An address comes back after at least six
/// seconds. Its bucket needs five seconds for the next token under the default rates, so it is
/// never refused. With up to ten threads, it also comes back before the limiter forgets it.
pub const STEP: Duration = Duration::from_nanos(6_000_000_000 / ADDRESSES as u64);

/// The number of connections between two advances of the clock. An advance for each connection
/// would make the clock the contended cache line.
pub const STRIDE: usize = 64;

/// A clock that the workload advances. Reading it also reads the system clock, so that it costs as
/// much as in a server.
#[derive(Debug, Default)]
pub struct SteppedClock {
    nanos: AtomicU64,
    real: SystemClock,
}

impl SteppedClock {
    /// Advances the clock by this number of steps of 6 s / 4096.
    pub fn step(&self, steps: usize) {
        let nanos = STEP.as_nanos() as u64 * steps as u64;
        // Relaxed: no other data is published by the clock.
        self.nanos.fetch_add(nanos, Ordering::Relaxed);
    }
}

impl Clock for SteppedClock {
    fn now(&self) -> Duration {
        black_box(self.real.now());
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_libp2p_ids_and_differ() {
        let text = peer(7).to_string();
        assert!(text.starts_with("12D3KooW"), "{text}");
        let all: std::collections::HashSet<_> = (0..10_000).map(peer).collect();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn threads_have_distinct_addresses() {
        let [one, other] = [0, 1].map(addresses);
        assert_eq!(one.len(), ADDRESSES);
        assert!(one.iter().all(|address| !other.contains(address)));
    }
}
