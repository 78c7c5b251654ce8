//! Managers with usage to show.

use rcmgr_atomic::{
    Connection, Direction, Endpoint, KIB, Limits, MIB, Manager, Priority, Stream, UsesFd,
};

/// An unused manager with these limits.
pub fn manager(change: impl FnOnce(&mut Limits)) -> Manager {
    let mut limits = Limits::unlimited();
    change(&mut limits);
    Manager::new(limits).expect("limits alone work")
}

pub fn stream(manager: &Manager, peer: &str, protocol: &str, memory: u64) -> Stream {
    let peer = peer.parse().expect("a peer");
    let stream = manager.open_stream(&peer, Direction::Inbound);
    let stream = stream.expect("there is room");
    stream.set_protocol(protocol).expect("there is room");
    let reserved = stream.reserve_memory(memory, Priority::Always);
    reserved.expect("there is room");
    stream
}

pub fn connection(manager: &Manager, peer: &str) -> Connection {
    let opened = manager.open_connection(Direction::Inbound, UsesFd::Yes, Endpoint::None);
    let connection = opened.expect("there is room");
    let set = connection.set_peer(&peer.parse().expect("a peer"));
    set.expect("there is room");
    connection
}

/// The handles that keep scopes in use.
pub type Held = (Vec<Stream>, Vec<Connection>);

/// A manager with all kinds of usage: 24 peers whose usage increases with their number. The last
/// one has been refused 1234 streams.
pub fn rich() -> (Manager, Held) {
    let manager = manager(|limits| {
        limits.system.memory = (512 * MIB).into();
        limits.system.streams = 2048.into();
        limits.system.conns = 1000.into();
        limits.system.fd = 1024.into();
        limits.transient.conns = 64.into();
        limits.peer_default.memory = (16 * MIB).into();
        limits.peer_default.conns_inbound = 8.into();
        limits.peer_default.streams_inbound = 20.into();
        limits.protocol_default.memory = (128 * MIB).into();
        limits.protocol_default.streams = 512.into();
        limits.protocol_peer_default.streams_inbound = 24.into();
        limits.service_default = Some(limits.protocol_default);
    });
    let (mut streams, mut connections) = (Vec::new(), Vec::new());
    let protocols = ["/ipfs/kad/1.0.0", "/ipfs/id/1.0.0", "/meshsub/1.1.0"];
    for number in 0..24_u64 {
        let peer = format!("ClientPeer{number:02}");
        connections.extend((0..=number % 8).map(|_| connection(&manager, &peer)));
        for at in 0..number.min(20) {
            let protocol = protocols[(at % 3) as usize];
            let one = stream(&manager, &peer, protocol, (at + 1) * 64 * KIB);
            if at % 3 == 0 {
                one.set_service("dht").expect("there is room");
            }
            streams.push(one);
        }
    }
    let full = "ClientPeer23".parse().expect("a peer");
    for _ in 0..1234 {
        let refused = manager.open_stream(&full, Direction::Inbound);
        refused.expect_err("it has as many as it may");
    }
    (manager, (streams, connections))
}
