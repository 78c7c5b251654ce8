//! A busy server under attack: 100,000 peers, and floods that go on until they are dropped.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rcmgr_atomic::address::{AddressConfig, NetworkRate, Rate, SubnetLimit};
use rcmgr_atomic::{
    Connection, Direction, Endpoint, GIB, KIB, Limits, MIB, Manager, PeerId, Priority, Stream,
    UsesFd,
};

/// The peers that have a connection and a stream.
pub const PEERS: u32 = 100_000;

/// A manager with [`PEERS`] peers, and threads that flood it until this is dropped.
pub struct Flood {
    pub manager: Manager,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    _held: Vec<(Connection, Stream)>,
}

fn peer(number: u32) -> PeerId {
    let address = IpAddr::from((0x0a00_0000 + number).to_be_bytes());
    address.to_string().parse().expect("an address is a peer")
}

fn limits() -> Limits {
    let mut limits = Limits::unlimited();
    limits.system.memory = (6 * GIB).into();
    limits.system.conns = u64::from(PEERS + 20_000).into();
    limits.system.conns_inbound = u64::from(PEERS + 20).into();
    limits.system.fd = u64::from(2 * PEERS).into();
    limits.transient.conns_inbound = 4096.into();
    limits.service.insert("echo".into(), {
        let mut echo = limits.system;
        echo.memory = (4 * GIB).into();
        echo
    });
    limits.protocol_default.streams = u64::from(4 * PEERS).into();
    limits.peer_default.memory = (16 * MIB).into();
    limits.peer_default.conns_inbound = 8.into();
    limits.peer_default.streams_inbound = 20.into();
    limits
}

/// Limits that are only evaluated.
fn dry_run() -> Limits {
    let mut limits = limits();
    limits.peer_default.streams_inbound = 10.into();
    limits.system.memory = GIB.into();
    limits
}

/// Four connections for each address, and few from one network.
fn addresses() -> AddressConfig {
    let mut config = AddressConfig::none();
    config.subnets.v4 = vec![SubnetLimit {
        prefix_len: 32,
        conns: 4,
    }];
    config.rates.v4_networks = vec![NetworkRate {
        network: "198.51.100.0/24".parse().expect("a network"),
        rate: Some(Rate {
            per_second: 1.0,
            burst: 1,
        }),
    }];
    config
}

impl Flood {
    pub fn start() -> Self {
        let builder = Manager::builder().limits(limits()).dry_run(dry_run());
        let manager = builder.addresses(addresses()).build();
        let manager = manager.expect("the limits are valid");
        let open = |number| {
            let connection =
                manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None)?;
            connection.set_peer(&peer(number))?;
            let stream = connection.open_stream(Direction::Inbound)?;
            stream.set_protocol(["/echo/1", "/files/2", "/chat/1"][number as usize % 3])?;
            stream.set_service("echo")?;
            stream.reserve_memory(u64::from(number % 61) * KIB, Priority::Always)?;
            Ok::<_, rcmgr_atomic::Error>((connection, stream))
        };
        let held = (0..PEERS).map(|number| open(number).expect("there is room"));
        let held = held.collect();
        let stop = Arc::<AtomicBool>::default();
        let thread = thread::spawn({
            let (manager, stop) = (manager.clone(), stop.clone());
            move || attack(&manager, &stop)
        });
        Self {
            manager,
            stop,
            thread: Some(thread),
            _held: held,
        }
    }
}

/// Every ten milliseconds: connections of three addresses that have as many as they may; 40 others
/// that the full system refuses; streams of four peers that have as many as they may, the first one
/// most often; memory that a fifth peer may not have.
fn attack(manager: &Manager, stop: &AtomicBool) {
    let (mut conns, mut streams) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        for (address, times) in [("203.0.113.9", 8), ("203.0.113.77", 2), ("198.51.100.4", 5)] {
            let address: IpAddr = address.parse().expect("an address");
            for _ in 0..times {
                let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, address);
                if let Ok(connection) = opened {
                    conns.push(connection);
                }
            }
        }
        for _ in 0..40 {
            conns.extend(manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None));
        }
        for (number, times) in [(7, 60), (11, 9), (13, 4), (17, 1)] {
            for _ in 0..times {
                streams.extend(manager.open_stream(&peer(number), Direction::Inbound));
            }
        }
        let greedy = manager.view_peer(&peer(23));
        for _ in 0..2 {
            let reserved = greedy.reserve_memory(64 * MIB, Priority::Medium);
            reserved.expect_err("a peer may not have so much");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the flood panicked");
        }
    }
}
