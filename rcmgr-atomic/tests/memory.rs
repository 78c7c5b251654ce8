//! How much memory an open connection or stream takes, with everything: handle, leaf, path, scopes, and
//! their entries in maps.
//!
//! `RCMGR_MEMORY_LEAVES` says how many are opened. The default is a million in an optimised build, and a
//! tenth of that in a debug build.

use std::env;

use allocation_counter::measure;
use rcmgr_atomic::{Connection, Direction, Endpoint, Limits, Manager, PeerId, Stream, UsesFd};

fn leaves() -> usize {
    match env::var("RCMGR_MEMORY_LEAVES") {
        Ok(leaves) => leaves.parse().expect("RCMGR_MEMORY_LEAVES is a number"),
        Err(_) if cfg!(debug_assertions) => 100_000,
        Err(_) => 1_000_000,
    }
}

fn peer(number: usize) -> PeerId {
    PeerId::from_bytes(format!("peer {number}").as_bytes()).unwrap()
}

fn manager() -> Manager {
    Manager::new(Limits::unlimited()).unwrap()
}

/// Opens this many. Returns how many bytes are allocated for each while they are open.
fn bytes_each<T>(count: usize, open: impl Fn(usize) -> T) -> f64 {
    let mut all = Vec::new();
    let allocated = measure(|| {
        // The handles count too.
        all.reserve_exact(count);
        all.extend((0..count).map(&open));
    });
    let each = allocated.bytes_current as f64 / count as f64;
    println!(
        "{count} of {}: {each:.1} bytes each",
        std::any::type_name::<T>()
    );
    each
}

#[test]
fn an_open_stream_takes_at_most_128_bytes() {
    let manager = manager();
    let count = leaves();
    let open = |number| -> Stream {
        let stream = manager
            .open_stream(&peer(number % (count / 1000)), Direction::Inbound)
            .unwrap();
        stream.set_protocol("/ipfs/kad/1.0.0").unwrap();
        stream.set_service("dht").unwrap();
        stream
    };
    let each = bytes_each(count, open);
    assert!(each <= 128.0, "{each} bytes");
}

#[test]
fn a_connection_with_a_peer_of_its_own_takes_at_most_1088_bytes() {
    let manager = manager();
    let open = |number| -> Connection {
        let connection = manager
            .open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)
            .unwrap();
        connection.set_peer(&peer(number)).unwrap();
        connection
    };
    let each = bytes_each(leaves(), open);
    assert!(each <= 1088.0, "{each} bytes");
}
