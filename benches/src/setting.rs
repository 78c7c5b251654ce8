//! What a manager is given before it is measured: limits, names, addresses and time.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rcmgr_atomic::SystemClock;
use rcmgr_core::{Clock, Endpoint, Limit, Limits, MIB, PeerId};

use crate::{Case, Workload};

/// The protocol of all streams.
pub const PROTOCOL: &str = "/ipfs/kad/1.0.0";

/// The service of all streams.
pub const SERVICE: &str = "dht";

/// The system's memory limit where usage is to be close to it.
pub const TIGHT_LIMIT: u64 = 1024 * MIB;

/// What somebody else holds then: all but half of 1 %.
pub const TIGHT_HELD: u64 = TIGHT_LIMIT - TIGHT_LIMIT / 200;

/// What a manager is made from.
#[derive(Debug, Clone)]
pub struct Setting {
    /// All are finite, so that every check is made, and but for a tight one never reached.
    pub limits: Limits,
    /// The time of the address limiters.
    pub clock: Arc<SteppedClock>,
}

impl Setting {
    /// What a case needs.
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

/// Limits that are never reached, and are none the less looked at.
pub fn plenty() -> Limits {
    let plenty = Limit::all((1 << 40).into());
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
        ..Limits::unlimited()
    }
}

/// A peer id as libp2p has them: an Ed25519 key, here one that is made from a number.
pub fn peer(number: u64) -> PeerId {
    // Identity multihash of a key message: kind Ed25519, 32 bytes.
    const HEAD: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];
    let mut bytes = [0; 38];
    bytes[..6].copy_from_slice(&HEAD);
    for (at, part) in bytes[6..].chunks_exact_mut(8).enumerate() {
        part.copy_from_slice(&scrambled(number * 4 + at as u64).to_le_bytes());
    }
    PeerId::from_bytes(&bytes).expect("it is short enough")
}

/// Numbers in sequence come out as if they were random: real keys share no prefix.
fn scrambled(number: u64) -> u64 {
    let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    bits ^ (bits >> 32)
}

/// The addresses that a thread's connections come from, in turn. No other thread has them.
pub fn addresses(thread: usize) -> Vec<Endpoint> {
    let first = u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (thread * ADDRESSES) as u32;
    let address = |at| Endpoint::Ip(Ipv4Addr::from(first + at).into());
    (0..ADDRESSES as u32).map(address).collect()
}

/// How many addresses each thread has.
pub const ADDRESSES: usize = 4096;

/// How much later it is with each connection. An address comes again after at least six seconds:
/// later than the five that its bucket of the default rates needs for another token, so that it is
/// never refused, and, on up to ten threads, sooner than it is forgotten.
pub const STEP: Duration = Duration::from_nanos(6_000_000_000 / ADDRESSES as u64);

/// After how many connections a thread moves the clock on. Doing it each time would make the
/// clock the line that the threads fight for.
pub const STRIDE: usize = 64;

/// Time as the workload needs it, at the price of the machine's clock: what a server pays.
#[derive(Debug, Default)]
pub struct SteppedClock {
    nanos: AtomicU64,
    real: SystemClock,
}

impl SteppedClock {
    /// Moves it on by that many steps of 6 s / 4096.
    pub fn step(&self, steps: usize) {
        let nanos = STEP.as_nanos() as u64 * steps as u64;
        // Relaxed: nothing but the time is read by it.
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
    fn threads_have_addresses_of_their_own() {
        let [one, other] = [0, 1].map(addresses);
        assert_eq!(one.len(), ADDRESSES);
        assert!(one.iter().all(|address| !other.contains(address)));
    }
}
