//! A flood of one-time peers leaves nothing behind: no scope, and no memory.
//!
//! It is the only test of this program, because it measures the memory of the whole process.
//! `RCMGR_FLOOD_PEERS` says how many peers come. The default is a million in an optimised build, and a
//! tenth of that in a debug build.

use std::collections::VecDeque;
use std::env;

use rcmgr_atomic::{Direction, Endpoint, Limits, Manager, PeerId, ScopeId, UsesFd};

/// How many peers are connected at a time.
const AT_ONCE: usize = 4096;

const MOST_LEFT_BEHIND: u64 = 20 << 20;

fn peers() -> u64 {
    match env::var("RCMGR_FLOOD_PEERS") {
        Ok(peers) => peers.parse().expect("RCMGR_FLOOD_PEERS is a number"),
        Err(_) if cfg!(debug_assertions) => 100_000,
        Err(_) => 1_000_000,
    }
}

/// Resident memory in bytes, on systems that report it.
fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

fn flood(manager: &Manager, peers: u64) {
    let mut open = VecDeque::with_capacity(AT_ONCE);
    for number in 0..peers {
        if open.len() == AT_ONCE {
            open.pop_front();
        }
        let peer = PeerId::from_bytes(format!("one-time peer {number}").as_bytes()).unwrap();
        let connection = manager
            .open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
            .unwrap();
        connection.set_peer(&peer).unwrap();
        let stream = manager.open_stream(&peer, Direction::Inbound).unwrap();
        stream.set_protocol("/ping").unwrap();
        open.push_back((connection, stream));
    }
    assert_eq!(manager.peers().len(), AT_ONCE);
}

#[test]
fn a_million_peers_come_and_go() {
    let manager = Manager::new(Limits::unlimited()).unwrap();
    // Before the measurement, the maps and the allocator's pools grow to their final size.
    flood(&manager, 2 * AT_ONCE as u64);
    let before = resident();
    let peers = peers();
    flood(&manager, peers);

    let stat = manager.stat();
    assert!(stat.system.is_zero(), "{}", stat.system);
    assert!(stat.peers.is_empty() && stat.protocols.is_empty());
    let scopes: Vec<_> = manager.scopes().into_iter().map(|scope| scope.id).collect();
    assert_eq!(
        scopes,
        [
            ScopeId::System,
            ScopeId::Transient,
            ScopeId::AllowlistedSystem,
            ScopeId::AllowlistedTransient
        ]
    );

    match (before, resident()) {
        (Some(before), Some(after)) => {
            println!("{peers} peers: {before} bytes resident before, {after} after");
            assert!(after <= before + MOST_LEFT_BEHIND);
        }
        _ => println!("{peers} peers; this system does not say how much memory is resident"),
    }
}
